"""A rehearsed stop covers the self-test model as a real one would, beside whatever is really stopped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.drills.places import LEASE_SECONDS, REHEARSAL
from guard.rehearsing import Rehearsed
from guard.state.directory import OrderDirectory
from guard.state.lease import LeaseWord
from guard.state.orders import Source, issue_stop
from guard.state.scope import Scope
from guard.state.switches import FileSwitches
from safeguards.ports import Clock
from tests.guard.state.parts import HandClock, exchange, of_a_known_host, stop

OURS = exchange("guard-selftest")


def rehearsed(state: Path, clock: Clock, *, leased: bool = False) -> Rehearsed:
    real = FileSwitches(OrderDirectory(state), clock, of_a_known_host)
    (state / "run").mkdir(exist_ok=True)
    return Rehearsed(real, state / "run", of_a_known_host, clock, leased=leased)


@pytest.mark.parametrize("scope", ["all", "level:1", "level:2", "operation:chat", "model:guard-selftest"])
def test_what_is_rehearsed_and_what_is_real_both_stop_it(tmp_path: Path, scope: str) -> None:
    found = rehearsed(tmp_path, HandClock())
    assert found.covering(OURS) is None
    order = issue_stop(Scope.parse(scope), reason="", who="x", source=Source.DRILL, now=1.0, entropy=os.urandom(10))
    OrderDirectory(tmp_path / "run" / REHEARSAL).put(order)
    assert found.changed()
    for asked in (found.covering(OURS), found.cutting(OURS)):
        assert asked is not None
        assert (asked.order, asked.scope) == (order.id, scope)
    assert not found.changed()
    OrderDirectory(tmp_path).put(stop("all", 7))
    real = found.covering(OURS)
    assert real is not None
    assert real.order == stop("all", 7).id


def test_a_rehearsal_of_another_level_leaves_it_alone(tmp_path: Path) -> None:
    found = rehearsed(tmp_path, HandClock())
    OrderDirectory(tmp_path / "run" / REHEARSAL).put(stop("level:3"))
    assert found.changed()
    assert found.covering(OURS) is found.cutting(OURS) is None
    assert found.detour(OURS) is found.tightens(OURS) is found.withdrawn(2, OURS.scopes) is None


def test_in_a_fleet_it_is_served_only_while_somebody_holds_its_lease(tmp_path: Path) -> None:
    clock = HandClock()
    found = rehearsed(tmp_path, clock, leased=True)
    refused = found.covering(OURS)
    assert refused is not None
    assert refused.order == "lease"
    word = LeaseWord(tmp_path / "run")
    word.renew(clock.steady())
    assert found.covering(OURS) is None
    assert not found.changed()
    clock.time += LEASE_SECONDS + 0.1
    assert found.changed()
    assert not found.changed()  # told once: what comes later is refused
    assert found.cutting(OURS) is not None


def test_another_worker_does_not_take_the_lease_from_who_holds_it(tmp_path: Path) -> None:
    clock = HandClock()
    first = rehearsed(tmp_path, clock, leased=True)
    LeaseWord(tmp_path / "run").renew(clock.steady())
    second = rehearsed(tmp_path, clock, leased=True)
    assert first.covering(OURS) is second.covering(OURS) is None
