"""Sessions are few, short and found by the hash of a secret."""

from __future__ import annotations

import os

from guard.admin.sessions import MAX_SECRET, Proof, Session, Sessions
from tests.guard.admin.fakes import SetClock

ANA, BEN = Proof("token", "a"), Proof("token", "b")


def found(sessions: Sessions, secret: str, *, used: bool = True) -> Session | None:
    return sessions.find(secret, idle=10.0, longest=100.0, used=used)


def test_a_secret_finds_its_session_and_no_other_does() -> None:
    sessions = Sessions(SetClock(), os.urandom)
    ana, ben = sessions.open(ANA), sessions.open(BEN)
    session = found(sessions, ana)
    assert session is not None
    assert session.proof == ANA
    assert ana != ben
    assert len(ana) <= MAX_SECRET
    for wrong in ("", "x", ana + "x", ana[:-1], session.form, "\udcff", "x" * 100_000):
        assert found(sessions, wrong) is None


def test_neither_secret_nor_proof_shows_where_a_session_is_printed() -> None:
    sessions = Sessions(SetClock(), os.urandom)
    secret = sessions.open(Proof("token", "the-digest"))
    session = found(sessions, secret)
    assert session is not None
    assert session.form not in repr(session)
    assert "the-digest" not in repr(session)
    assert secret not in repr(vars(sessions))


def test_use_prolongs_it_up_to_its_longest_time() -> None:
    clock = SetClock()
    sessions = Sessions(clock, os.urandom)
    secret = sessions.open(ANA)
    for _ in range(11):
        clock.go(9)
        assert found(sessions, secret) is not None
    clock.go(1)
    assert found(sessions, secret) is None
    assert len(sessions) == 0


def test_what_is_no_use_does_not_prolong_it() -> None:
    clock = SetClock()
    sessions = Sessions(clock, os.urandom)
    secret = sessions.open(ANA)
    clock.go(9)
    assert found(sessions, secret, used=False) is not None
    clock.go(1)
    assert found(sessions, secret, used=False) is None


def test_one_credential_has_so_many_and_all_together_so_many_and_the_oldest_goes() -> None:
    clock = SetClock()
    sessions = Sessions(clock, os.urandom, most=4, each=2)

    def opened(proof: Proof) -> str:
        clock.go(1)
        return sessions.open(proof)

    first, second, third = opened(ANA), opened(ANA), opened(ANA)
    assert found(sessions, first, used=False) is None
    others = [opened(Proof("token", str(number))) for number in range(3)]
    assert len(sessions) == 4
    assert found(sessions, second, used=False) is None
    assert all(found(sessions, each, used=False) for each in (third, *others))


def test_a_closed_session_is_gone() -> None:
    sessions = Sessions(SetClock(), os.urandom)
    secret = sessions.open(ANA)
    sessions.close(secret)
    sessions.close(secret)
    assert found(sessions, secret) is None
