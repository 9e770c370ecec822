"""Whoever tells whether an order was obeyed asks the whole fleet, waits for it, and never fails for asking."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.admin.obedience import confirmed, obedience
from guard.policy.load import load
from guard.state.orders import Source
from tests.guard.admin.fakes import HALF, WHOLE, Counter, InFleet
from tests.parts.configuration import write_configuration


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write_configuration(tmp_path)
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def test_alone_every_worker_here_counts(counter: Counter) -> None:
    order = counter.board.stop("all", "", "Ana", Source.ADMIN).order
    counter.behind.names = ("0", "1")
    counter.obey("0", cut=3)
    found = confirmed(counter.board, counter.behind, order)
    assert found.count == "1 of 2 workers"
    assert found.fields() == {"workers": 1, "missing": ["1"], "streams_cut": 3}


def test_in_a_fleet_every_replica_counts_and_not_this_host_alone(counter: Counter) -> None:
    order = counter.board.stop("all", "", "Ana", Source.ADMIN).order
    counter.behind.names = ("0",)
    counter.obey("0")
    counter.behind.member = InFleet([HALF])
    found = confirmed(counter.board, counter.behind, order)
    assert found.fields() == HALF.fields()
    assert found.missing == ("r1 (has not seen it)",)


def test_what_cannot_be_read_is_not_confirmed(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("guard.admin.switchboard.waiting_for", unreadable)
    counter.behind.names = ("0", "1")
    assert confirmed(counter.board, counter.behind, "x").missing == ("0", "1")
    counter.behind.member = InFleet(broken=True)
    found = confirmed(counter.board, counter.behind, "x")
    assert (found.count, len(found.missing)) == ("0 of 2 workers on 0 of 1 replicas", 1)


def test_who_waits_asks_the_others_more_often_and_for_no_longer(counter: Counter) -> None:
    member = counter.behind.member = InFleet([HALF, HALF, WHOLE])
    (found,) = asyncio.run(obedience(counter.board, counter.behind, ("x",), 30.0))
    assert (found.missing, member.waiting) == ((), [True, False])


def test_a_process_that_ends_waits_for_nobody(counter: Counter) -> None:
    counter.behind.member = InFleet([HALF])
    (found,) = asyncio.run(obedience(counter.board, counter.behind, ("x",), 3_600.0, leaving=lambda: True))
    assert found.missing == HALF.missing


def test_without_orders_nobody_is_asked(counter: Counter) -> None:
    member = counter.behind.member = InFleet([HALF])
    assert asyncio.run(obedience(counter.board, counter.behind, (), 3_600.0)) == []
    assert member.waiting == []
