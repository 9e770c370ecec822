"""Acts of control as the supervisor sees them: every new order, whoever gave it, is spread, counted and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.audit.ledger import Ledger
from guard.policy.load import Config
from guard.serve.control import FromSupervisor, Wake
from guard.serve.telling import Telling
from guard.state.drilled import drills_own
from guard.state.merge import InForce, Judged, State, mode_of
from guard.state.orders import Order, RuleOrder, StopOrder
from guard.state.shown import fingerprint
from guard.state.switches import FileSwitches
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.decision import Unavailable
from safeguards.mode import RUNGS
from safeguards.ports import Clock

TICK_SECONDS: Final = 0.05


class Acts:
    """Looks for orders and remembers what was done; nothing in it may fail a stop."""

    def __init__(
        self,
        config: Config,
        switches: FileSwitches,
        board: Switchboard,
        ledger: Ledger,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        tell: Callable[[FromSupervisor], None],
        telling: Telling,
    ) -> None:
        """Take the orders, the records, and the ways to the workers and to people."""
        self._config = config
        self._switches = switches
        self._board = board
        self._ledger = ledger
        self._meter = meter
        self._log = log
        self._clock = clock
        self._tell = tell
        self._telling = telling
        self._writing: set[asyncio.Task[bool]] = set()
        self._state: State = switches.state
        self._gone: frozenset[str] = frozenset()
        self._unmeasured = False
        self.tell_peers: Callable[[StopOrder | RuleOrder], None] = lambda _: None
        """Called with each new stop and rule order, as soon as it is seen."""
        self.measure()

    async def watch(self) -> None:
        """Look for ever; a look that fails is logged and the next one comes."""
        while True:
            try:
                self.look()
            except Exception as problem:  # noqa: BLE001 - whatever it was, the next order must be seen
                self._log.failure(Event.INTERNAL_ERROR, problem)
            await asyncio.sleep(TICK_SECONDS)

    def take(self, config: Config) -> None:
        """Go by another configuration; its switchboard has it already."""
        self._config = config
        self.measure()

    def look(self) -> None:
        """Apply what is new to our own view, wake the workers, and put it on record."""
        failure = self._switches.failure
        self._switches.poll()
        if bool(failure) != bool(self._switches.failure):
            event = Event.STATE_UNREADABLE if self._switches.failure else Event.STATE_READABLE
            self._log.emit(Level.ERROR, event, reason=self._switches.failure or "the stop orders can be read again")
        before, now = self._state, self._switches.state
        self._removed()
        if before == now:
            if self._unmeasured:
                self.measure()
            return
        self._state = now
        self._tell(Wake())
        for given in now.stops - before.stops:
            self.tell_peers(given)
        for pushed in now.rules - before.rules:
            self.tell_peers(pushed)
        if _others(before) != _others(now):
            self._meter.set(self._meter.bind("guard_kill_switch_last_change_timestamp_seconds"), self._clock.now())
        self.measure()
        for order in sorted(now.stops - before.stops, key=lambda each: each.id):
            what = order.mode.value
            self.remember(Event.STOP_ORDERED, order.who, what, f"{order.id} {order.scope}", order.reason)
        for rule in sorted(now.rules - before.rules, key=lambda each: each.id):
            # The text of a rule is in the order alone: here is what it cannot be read from.
            subject = f"{rule.id} {rule.scope} sha256:{fingerprint(rule)}"
            self.remember(Event.RULE_PUSHED, rule.who, "rule", subject, rule.reason)
        for resume in sorted(now.resumes - before.resumes, key=lambda each: each.order.id):
            self._resumed(resume)
        for stop in now.standing - before.standing:
            self.remember(Event.STOP_ORDERED, "file", "stop", f"{stop.id} {stop.scope}", stop.reason)
        for stop in before.standing - now.standing:
            words = "the file was removed from the orders' directory"
            self.remember(Event.STOP_LIFTED, "file", "resume", f"{stop.id} {stop.scope}", words)
        self._announce(before, now)

    def _announce(self, before: State, now: State) -> None:
        """Tell people, last of all: nothing in it keeps an order from being spread and recorded."""
        try:
            for order in sorted(now.stops - before.stops, key=lambda each: each.id):
                self._telling.ordered(order)
            for rule in sorted(now.rules - before.rules, key=lambda each: each.id):
                self._telling.pushed(rule)
            for resume in sorted(now.resumes - before.resumes, key=lambda each: each.order.id):
                if resume.below or resume.approved:
                    self._telling.resumed(resume, now)
            for stop in now.standing - before.standing:
                self._telling.tripped(stop)
            for stop in before.standing - now.standing:
                self._telling.removed(stop)
        except Exception as problem:  # noqa: BLE001 - see above
            self._log.failure(Event.INTERNAL_ERROR, problem)

    def _resumed(self, resume: Judged) -> None:
        """Put a resume on record with who approved it by which policy, or why it does not count."""
        order = resume.order
        subject = f"{order.id} {' '.join(order.lifts)}"
        if resume.below or resume.approved:
            approved = f", approved by {resume.approved_by}, judged by {self._config.digest}"
            subject += approved if resume.people else ""
            self.remember(Event.STOP_LIFTED, order.who, "resume", subject, order.reason)
        if resume.why:
            self.remember(Event.RESUME_NOT_COUNTED, order.who, "resume refused", subject, resume.why)

    def measure(self) -> None:
        """Say in the metrics what is stopped; what cannot be read now is logged, and read again at the next look."""
        try:
            state = self._board.state()
            held = self._board.models_held(state)
            standing = self._board.in_force(state)
        except Exception as problem:  # noqa: BLE001 - a figure keeps no act from the record, nor a reload from its end
            if not self._unmeasured:
                self._log.failure(Event.INTERNAL_ERROR, problem)
            self._unmeasured = True
            return
        self._unmeasured = False
        refusing = {order for orders in held.values() for order in orders}
        self._meter.forget("guard_kill_switch_engaged")
        for stop in (each.stop for each in standing):
            if mode_of(stop) not in RUNGS or stop.id in refusing:  # a rung may refuse nobody
                key = self._meter.bind("guard_kill_switch_engaged", stop.scope.kind.value, stop.scope.subject)
                self._meter.set(key, 1.0)
        self._meter.forget("guard_ladder_rung")
        for alias in self._config.models:
            key = self._meter.bind("guard_kill_switch_engaged", "model", alias)
            self._meter.set(key, 1.0 if alias in held else 0.0)
            self._meter.set(self._meter.bind("guard_ladder_rung", alias, self._board.rung(alias, state)), 1.0)

    async def record(self, who: str, what: str, subject: str, reason: str) -> bool:
        """Put an act of control on record, and say whether it is; a log that fails never keeps a stop from being one.

        It ends only once the disk has it: whatever must go on when the disk does not uses `note`.
        """
        try:
            await self._ledger.control(who=who, what=what, subject=subject, reason=reason)
        except Unavailable as failure:
            self._log.emit(Level.ERROR, Event.LOG_FAILED, reason=failure.reason)
            return False
        return True

    def note(self, who: str, what: str, subject: str, reason: str) -> None:
        """Put an act on record as `record` does, without waiting for the disk."""
        writing = asyncio.ensure_future(self.record(who, what, subject, reason))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def settle(self) -> None:
        """Wait until everything remembered is on record."""
        await asyncio.gather(*self._writing)

    def _removed(self) -> None:
        """An order's file that somebody removed still holds here, but not for a process that starts later."""
        gone, self._gone = self._gone, self._switches.vanished
        for order in sorted(self._gone - gone):
            words = "its file was removed from the orders' directory; it holds until the guard is restarted"
            self.remember(Event.ORDER_REMOVED, "file", "remove", order, words)

    def remember(
        self, event: Event, who: str, what: str, subject: str, reason: str, level: Level = Level.WARNING
    ) -> None:
        """Log an act of control and put it on record, without waiting for the disk."""
        self._log.emit(level, event, who=who, subject=subject, reason=reason)
        self.note(who, what, subject, reason)


def _others(state: State) -> frozenset[str]:
    """The ids of all that is no drill's."""
    stops: list[InForce] = [*state.stops, *state.standing]
    named: Mapping[str, Order] = {each.id: each for each in state.stops} | {each.id: each for each in state.rules}
    return frozenset(each.id for each in stops if not each.scope.of_self_test) | {
        each.order.id for each in state.resumes if not drills_own(each.order, named.get)
    }
