"""Pushed rules in a worker: compiled in a thread beside the streams, in force between two turns, then acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

from guard.pushed_rules import PushedRules, screen_of
from guard.serve.beside import gently
from guard.state.merge import State
from guard.state.orders import RuleOrder
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Pushed
from safeguards.ports import Screen


class Responding:
    """Follows the orders of one worker; used from its loop, and nothing in it raises."""

    def __init__(
        self,
        pushed: PushedRules,
        state: Callable[[], State],
        meter: Meter,
        log: JsonLog,
        acknowledge: Callable[[Mapping[str, int], float], None],
    ) -> None:
        """Take the rules, what is ordered, the records, and who is told that an order is in force here."""
        self._pushed = pushed
        self._orders = state
        self._meter = meter
        self._log = log
        self._acknowledge = acknowledge
        self._seen: State | None = None
        self._waiting: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()
        self._work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Enforce what is ordered already, before the worker serves anybody."""
        self._follow()
        self._pushed.take({order: screen_of(order) for order in self._pushed.lacking})
        self._follow()

    def turn(self, applied: Collection[str] = ()) -> frozenset[str]:
        """Look whether anything changed; returns which of these newly applied orders cannot be acknowledged yet."""
        if self._orders() is not self._seen or self._pushed.overdue():
            self._follow()
        early = frozenset(order for order in applied if not self._pushed.enforces(order))
        self._waiting |= early
        if self._pushed.lacking and (self._work is None or self._work.done()):
            self._work = asyncio.ensure_future(self._compile())
        return early

    def _follow(self) -> None:
        state = self._seen = self._orders()
        pushed = self._pushed
        pushed.follow(state)
        for standing, count in ((Pushed.ENFORCED, pushed.count), (Pushed.REFUSING, len(pushed.faults) + pushed.late)):
            self._meter.set(self._meter.bind("guard_pushed_rules", standing), float(count))
        for order in sorted(pushed.faults.keys() - self._told):
            self._log.emit(Level.ERROR, Event.RULE_UNUSABLE, order=order, reason=pushed.faults[order])
        self._told = frozenset(pushed.faults)
        if done := {order: 0 for order in self._waiting if pushed.enforces(order)}:
            self._waiting -= done.keys()
            self._acknowledge(done, time.time())

    async def _compile(self) -> None:
        while lacking := self._pushed.lacking:
            self._pushed.take(await asyncio.to_thread(compile_all, lacking))
            self._follow()


def compile_all(orders: Collection[RuleOrder]) -> dict[RuleOrder, Screen]:
    """Compile these; for a thread beside a loop."""
    with gently():
        return {order: screen_of(order) for order in orders}
