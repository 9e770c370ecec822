"""Pushed rules in a worker's loop: compiled beside it, in force between two turns, and only then acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping

from guard.pushed_rules import PushedRules
from guard.serve.responding import Responding
from guard.state.merge import State
from guard.state.orders import Order
from guard.state.rule_text import PushedRule
from guard.state.served import Served, ServedModel
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from safeguards.category import Category
from tests.guard.state.parts import HandClock, exchange, merged, resume, rule, stop

TYPO = PushedRule("typo", Category.OTHER, pattern="FORBIDDEN-(MARKER")


class Place:
    """A worker's place: what is ordered, and what it says."""

    def __init__(self, *orders: Order) -> None:
        """Begin with these."""
        self.state: State = merged(orders)
        self.meter = Meter(Origin.WORKER)
        self.pushed = PushedRules(Served({"demo": ServedModel(2)}, {}, {}))
        self.told: list[str] = []
        self.reading, writing = os.pipe()
        log = JsonLog(HandClock(), writing)
        self.responding = Responding(self.pushed, lambda: self.state, self.meter, log, self._tell)

    def _tell(self, orders: Mapping[str, int], _: float) -> None:
        self.told.extend(orders)

    def order(self, *orders: Order) -> frozenset[str]:
        """Order these too; what of them has to wait."""
        self.state = self.state.merge(merged(orders))
        return self.responding.turn([order.id for order in orders])

    async def until_told(self, count: int) -> None:
        """Wait until so many orders were acknowledged late."""
        async with asyncio.timeout(30.0):
            while len(self.told) < count:  # noqa: ASYNC110 - what is told is a list
                await asyncio.sleep(0.005)

    def standing(self, word: str) -> float:
        """The gauge of this word."""
        return self.meter.state().gauges[("guard_pushed_rules", word)]

    def lines(self) -> list[dict[str, str]]:
        """What was logged."""
        return [json.loads(line) for line in os.read(self.reading, 65_536).splitlines()]


def test_what_is_ordered_before_the_worker_serves_is_in_force_before_it_does() -> None:
    order = rule("all")
    place = Place(order)
    place.responding.begin()
    assert [screen.order for screen in place.pushed.covering(exchange())] == [order.id]
    assert place.standing("enforced") == 1.0
    assert place.told == []


def test_a_rule_is_acknowledged_when_it_is_in_force_and_everything_else_at_once() -> None:
    async def test() -> None:
        place, order = Place(), rule("all")
        place.responding.begin()
        assert place.standing("enforced") == 0.0
        assert place.order(stop("all")) == frozenset()
        assert place.order(order) == {order.id}
        assert place.pushed.count == 0
        await place.until_told(1)
        assert place.told == [order.id]
        assert place.pushed.count == 1
        assert place.standing("enforced") == 1.0
        assert place.order(resume(order)) == frozenset()
        assert not place.pushed.any
        assert place.order(rule("model:elsewhere", 2)) == frozenset()

    asyncio.run(test())


def test_orders_that_come_while_others_are_compiled_are_compiled_too() -> None:
    async def test() -> None:
        place = Place()
        orders = [rule("all", number) for number in range(1, 5)]
        for order in orders:
            assert place.order(order) == {order.id}
            await asyncio.sleep(0)
        await place.until_told(4)
        assert sorted(place.told) == [order.id for order in orders]

    asyncio.run(test())


def test_what_cannot_be_used_is_told_in_the_log_once_and_acknowledged_when_it_is_lifted() -> None:
    async def test() -> None:
        place, order, sound = Place(), rule("all", 1, TYPO), rule("all", 2)
        assert place.order(order, sound) == {order.id, sound.id}
        await place.until_told(1)
        assert place.told == [sound.id]
        assert (place.standing("enforced"), place.standing("refusing")) == (1.0, 1.0)
        place.responding.turn()
        assert [(line["event"], line["order"]) for line in place.lines()] == [("rule_unusable", order.id)]
        assert place.order(resume(order)) == frozenset()
        assert place.told == [sound.id, order.id]
        assert place.standing("refusing") == 0.0

    asyncio.run(test())


def test_a_rule_that_came_late_is_counted_as_refusing_until_it_is_enforced() -> None:
    async def test() -> None:
        place, order = Place(), rule("all")
        place.responding.begin()
        assert place.order(order) == {order.id}
        (screen,) = place.pushed.covering(exchange())
        assert screen.classifier is None
        assert (place.standing("enforced"), place.standing("refusing")) == (0.0, 1.0)
        await place.until_told(1)
        assert (place.standing("enforced"), place.standing("refusing")) == (1.0, 0.0)

    asyncio.run(test())
