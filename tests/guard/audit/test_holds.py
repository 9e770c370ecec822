"""Holds: what is held is known for sure, or nothing may be deleted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from guard.audit.holds import Held, Hold, HoldError, Holds, held, of_request
from guard.audit.segments import listing
from tests.guard.audit.fakes import KEEP, exchange, quiet_ledger

DAY = "2023-11-14"
ALL = Hold("hold-0011223344556677", "ana", "case 7", 0.0)


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """One request of one owner to the model demo."""
    log = quiet_ledger(tmp_path / "audit")
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    log.intent(exchange("r2"), durable=False, keep=None)
    log.close()
    return tmp_path / "audit"


def test_a_hold_is_kept_listed_and_released(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    assert holds.all() == ()
    holds.add(ALL)
    assert Holds(tmp_path).all() == (ALL,)
    holds.release(ALL.id)
    assert holds.all() == ()


@pytest.mark.parametrize("name", ["hold-0000000000000000", "../x", "", "hold-0011223344556677.json"])
def test_a_hold_that_is_not_there_cannot_be_released(tmp_path: Path, name: str) -> None:
    with pytest.raises(HoldError, match="there is no hold"):
        Holds(tmp_path).release(name)


@pytest.mark.parametrize("content", ["", "{}", '{"id":"hold-ffffffffffffffff","who":"a","reason":"b","created":1}'])
def test_a_hold_that_cannot_be_read_is_an_error_and_not_passed_over(tmp_path: Path, content: str) -> None:
    holds = Holds(tmp_path)
    holds.add(ALL)
    (tmp_path / "holds" / f"{ALL.id}.json").write_text(content)
    with pytest.raises(HoldError, match=ALL.id):
        holds.all()


@pytest.mark.parametrize(
    ("hold", "expected"),
    [
        (Hold("x", "", "", 0.0), True),
        (Hold("x", "", "", 0.0, since=DAY, until=DAY), True),
        (Hold("x", "", "", 0.0, since="2023-11-15"), False),
        (Hold("x", "", "", 0.0, until="2023-11-13"), False),
        (Hold("x", "", "", 0.0, owner="search team"), True),
        (Hold("x", "", "", 0.0, owner="another"), False),
        (Hold("x", "", "", 0.0, model="demo"), True),
        (Hold("x", "", "", 0.0, model="other"), False),
        (Hold("x", "", "", 0.0, model="demo", since="2023-11-15"), False),
    ],
)
def test_a_hold_covers_what_it_says(audit: Path, hold: Hold, expected: bool) -> None:
    found = held(audit, (hold,))
    assert (found.by("search team", DAY) is hold) == expected


def test_where_the_log_is_damaged_a_model_hold_covers_everybody(audit: Path) -> None:
    path = listing(audit / "w1")[0]
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 0xFF
    path.write_bytes(raw)
    hold = Hold("x", "", "", 0.0, model="never used")
    assert held(audit, (hold,)).by("anybody", DAY) is hold
    assert Held((), None).by("anybody", DAY) is None


def test_a_request_is_held_by_its_owner_and_day(audit: Path) -> None:
    assert of_request(audit, "r1") == ("search team", DAY)
    assert of_request(audit, "r2") is None
    assert of_request(audit, "r9") is None


def test_a_hold_is_confirmed_only_when_no_deletion_is_under_way_that_has_not_seen_it(tmp_path: Path) -> None:
    holds, confirmed = Holds(tmp_path), threading.Event()

    def hold() -> None:
        Holds(tmp_path).add(ALL)
        confirmed.set()

    with holds.locked():
        assert holds.all() == ()  # what the deletion sees
        thread = threading.Thread(target=hold)
        thread.start()
        while not holds.all():
            assert not confirmed.is_set()
        assert not confirmed.wait(0.2)
    assert confirmed.wait(30)
    thread.join()


def test_a_deletion_that_does_not_end_is_said_and_the_hold_is_made(tmp_path: Path) -> None:
    holds = Holds(tmp_path)
    with holds.locked(), pytest.raises(HoldError, match=f"{ALL.id} is made, but a deletion"):
        Holds(tmp_path).add(ALL, 0.05)
    assert holds.all() == (ALL,)
    with holds.locked(), pytest.raises(HoldError, match="another command"), Holds(tmp_path).locked(0.05):
        raise AssertionError
