"""The lease: one word that only the supervisor writes, judged by each worker with its own clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.state.directory import OrderDirectory
from guard.state.lease import LONGEST, Lease, LeasedSwitches, LeaseWord, limits_of
from guard.state.orders import Source, issue_stop
from guard.state.scope import Scope
from guard.state.switches import FileSwitches
from tests.guard.state.parts import HandClock, exchange, of_a_known_host


def test_without_proof_no_level_that_has_a_limit_is_served_and_the_others_are(tmp_path: Path) -> None:
    LeaseWord(tmp_path)
    lease = Lease(tmp_path, LONGEST, HandClock())
    assert lease.age() is None
    assert [lease.lapsed(asl) for asl in (1, 2, 3, 4)] == [False, False, True, True]
    assert lease.any_lapsed() == {3, 4}


def test_a_level_lapses_when_its_own_time_since_the_proof_is_up(tmp_path: Path) -> None:
    clock = HandClock()
    word, lease = LeaseWord(tmp_path), Lease(tmp_path, LONGEST, clock)
    word.renew(clock.steady())
    for seconds, lapsed in ((0.0, set()), (2.9, set()), (0.2, {4}), (26.8, {4}), (0.2, {3, 4})):
        clock.time += seconds
        assert lease.any_lapsed() == lapsed
    word.renew(clock.steady())
    assert lease.any_lapsed() == frozenset()
    word.withdraw()
    assert lease.any_lapsed() == {3, 4}


def test_an_older_proof_takes_nothing_away(tmp_path: Path) -> None:
    clock = HandClock()
    word, lease = LeaseWord(tmp_path), Lease(tmp_path, LONGEST, clock)
    word.renew(clock.steady())
    word.renew(clock.steady() - 100.0)
    assert lease.age() == pytest.approx(0.0, abs=1e-6)


def test_a_moment_of_another_boot_is_no_proof(tmp_path: Path) -> None:
    clock = HandClock()
    word, lease = LeaseWord(tmp_path), Lease(tmp_path, LONGEST, clock)
    word.renew(clock.steady() + 3600.0)
    assert lease.age() is None
    assert lease.lapsed(3)


def test_a_new_supervisor_begins_without_proof_for_those_who_look_already(tmp_path: Path) -> None:
    clock = HandClock()
    word, lease = LeaseWord(tmp_path), Lease(tmp_path, LONGEST, clock)
    word.renew(clock.steady())
    assert not lease.lapsed(4)
    LeaseWord(tmp_path)
    assert lease.lapsed(4)


def test_a_worker_cannot_begin_without_the_word_and_cannot_write_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="lease"):
        Lease(tmp_path, LONGEST, HandClock())
    (tmp_path / "lease").write_bytes(b"short")
    with pytest.raises(OSError, match="another size"):
        Lease(tmp_path, LONGEST, HandClock())
    LeaseWord(tmp_path)
    lease = Lease(tmp_path, LONGEST, HandClock())
    with pytest.raises(TypeError):
        lease.word[0] = 1


def test_the_word_is_the_owners_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    LeaseWord(tmp_path)
    assert (tmp_path / "lease").stat().st_mode & 0o777 == 0o600
    (tmp_path / "lease").unlink()
    (tmp_path / "other").write_bytes(bytes(8))
    os.symlink(tmp_path / "other", tmp_path / "lease")  # noqa: PTH211 - as an attacker would
    with pytest.raises(OSError, match="lease"):
        LeaseWord(tmp_path)


@given(st.dictionaries(st.integers(1, 4), st.none() | st.floats(0.1, 1e6)))
def test_no_setting_makes_a_limit_longer(wanted: dict[int, float | None]) -> None:
    limits = limits_of(wanted)
    for asl, longest in LONGEST.items():
        assert limits[asl] == min(longest, wanted.get(asl) or longest)
    for asl in (1, 2):
        assert limits.get(asl) == wanted.get(asl)


def test_a_lapse_stops_its_level_and_an_order_keeps_its_own_name(tmp_path: Path) -> None:
    clock = HandClock()
    word = LeaseWord(tmp_path)
    directory = OrderDirectory(tmp_path)
    switches = LeasedSwitches(FileSwitches(directory, clock, of_a_known_host), Lease(tmp_path, LONGEST, clock))
    word.renew(clock.steady())
    assert switches.covering(exchange(asl=3)) is None
    clock.time += 31.0
    stop = switches.covering(exchange(asl=3))
    assert stop is not None
    assert (stop.order, stop.scope) == ("lease", "ASL-3")
    assert "30 s" in stop.reason
    assert switches.covering(exchange(asl=2)) is None
    order = issue_stop(Scope.parse("all"), reason="", who="a", source=Source.CLI, now=1.0, entropy=bytes(10))
    directory.put(order)
    for asl in (2, 3):
        found = switches.covering(exchange(asl=asl))
        assert found is not None
        assert found.order == order.id


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 40)),
    st.tuples(st.just("renew"), st.integers(-40, 40)),  # so many seconds from now
    st.tuples(st.just("begin anew"), st.just(0)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_what_is_asked_before_a_send_means_what_the_lease_means(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """At every level, whether proof is old, young, of the future, withdrawn, or was never there."""
    path, clock = tmp_path_factory.mktemp("state"), HandClock()
    word = LeaseWord(path)
    lease = Lease(path, {**LONGEST, 2: 7.5}, clock)
    switches = LeasedSwitches(FileSwitches(OrderDirectory(path), clock, of_a_known_host), lease)
    for step, seconds in steps:
        if step == "wait":
            clock.time += seconds + 0.25  # never on the limit itself, where a float's last digit decides
        elif step == "renew":
            word.renew(clock.steady() + seconds)
        else:
            word = LeaseWord(path)
        for asl in range(1, 10):
            for ask in (switches.covering, switches.cutting):
                assert (ask(exchange(asl=asl)) is not None) == lease.lapsed(asl)
