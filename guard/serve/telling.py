"""What people are told of: every order that this host issued, once it is known what it did, and what was found.

Nothing here is in the way of a stop or of a request: orders are in force before they come here, and what cannot be
sent is counted and given up. What was ordered while no supervisor ran is told when one does.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.app import storage
from guard.notices.courier import Courier, Sent
from guard.notices.forms import Receiver
from guard.notices.notice import Notice
from guard.policy.load import Config
from guard.policy.notify import Occasion
from guard.serve.told import ToldOrders
from guard.state.drilled import drills_stop
from guard.state.issuer import own_issuer
from guard.state.merge import Judged, StandingStop, State
from guard.state.orders import Order, RuleOrder, Source, StopOrder
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Told
from safeguards.ports import Clock

TICK_SECONDS: Final = 0.1
OBEYED_SECONDS: Final = 3.0
"""How long a notice of a stop waits for every worker's word, to say what it cut."""
LEASE_SECONDS: Final = 5.0
MAX_PENDING: Final = 32
"""What is ordered while so many wait is told at once, without what it did."""
LAST_SECONDS: Final = 2.0
Tell = Callable[[Occasion, str, str, str, str], None]
"""`Telling.found`, as other parts take it."""


@dataclass(slots=True)
class _Pending:
    """A stop that is in force, and the monotonic time at which it is told at the latest."""

    order: str
    notice: Notice
    until: float


class Telling:
    """The couriers of one supervisor, and what they are given."""

    def __init__(
        self,
        config: Config,
        receivers: Iterable[Receiver],
        board: Switchboard,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
    ) -> None:
        """Take who is told, who knows which worker has obeyed, and where figures and lines go."""
        self._board = board
        self._meter = meter
        self._log = log
        self._clock = clock
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None] | None]] = {}
        self._pending: list[_Pending] = []
        self._failing: dict[str, str] = {}
        self._config = config
        self._receivers = tuple(receivers)
        self._orders = ToldOrders(storage(config)[0])
        self._lapsed: tuple[frozenset[int], float] = frozenset(), 0.0
        self._told: frozenset[int] = frozenset()
        self.lapsed: Callable[[], Collection[int]] = tuple
        """Which levels are refused for want of a fleet's lease; none without a fleet."""

    def take(self, config: Config, receivers: Iterable[Receiver]) -> None:
        """Go on with these; what waits for a receiver that stays as it is goes on waiting."""
        self._config = config
        self._receivers = tuple(receivers)
        self._set_up()

    def _set_up(self) -> None:
        wanted = {each.name: each for each in self._receivers}
        for name, (courier, task) in list(self._couriers.items()):
            if wanted.get(name) != courier.receiver:
                courier.give_up("its receiver was changed")
                if task is not None:
                    task.cancel()
                del self._couriers[name]
        for name, receiver in wanted.items():
            for result in Told:
                self._meter.bind("guard_notices_total", name, result)
            if name not in self._couriers:
                courier = Courier(receiver, self._count, self._clock.now)
                self._couriers[name] = courier, asyncio.ensure_future(courier.run())

    def begin(self, state: State) -> None:
        """Tell what was ordered since somebody last did; where nobody ever did, nothing of before is news."""
        self._set_up()
        known: tuple[Order, ...] = (*state.stops, *state.rules, *(resume.order for resume in state.resumes))
        self._orders.begin([each.id for each in known])
        if self._orders.first:
            self._orders.note([each.id for each in known])
            return
        for stop in sorted(state.stops, key=lambda each: each.id):
            self.ordered(stop)
        for rule in sorted(state.rules, key=lambda each: each.id):
            self.pushed(rule)
        for resume in sorted(state.resumes, key=lambda each: each.order.id):
            if resume.below or resume.approved:
                self.resumed(resume, state)

    async def watch(self) -> None:
        """Send for ever."""
        try:
            while True:
                try:
                    self.look()
                except Exception as problem:  # noqa: BLE001 - whatever it was, the next must be told
                    self._log.failure(Event.INTERNAL_ERROR, problem)
                await asyncio.sleep(TICK_SECONDS)
        finally:
            for _, task in self._couriers.values():
                if task is not None:
                    task.cancel()

    async def close(self) -> None:
        """Let what waits be sent, for a short time."""
        for pending in self._pending:
            self.tell(pending.notice)
        self._pending.clear()
        await asyncio.gather(*(courier.settle(LAST_SECONDS) for courier, _ in self._couriers.values()))

    def look(self) -> None:
        """Tell of the stops whose effect is known by now, or will not be."""
        now, waiting = self._clock.steady(), []
        for pending in self._pending:
            obeyed = self._obeyed(pending.order)
            if obeyed is None and now < pending.until:
                waiting.append(pending)
            else:
                self.tell(replace(pending.notice, effect=obeyed or "not every worker has said that it obeys"))
        self._pending = waiting
        self._lease(now)

    def _obeyed(self, order: str) -> str | None:
        """What a stop did, once every worker has said so."""
        workers = tuple(str(index) for index in range(self._config.guard.workers))
        try:
            obeyed = self._board.obeyed(order, workers)
        except OSError:
            return None
        if obeyed.missing:
            return None
        return f"applied on {len(obeyed.acks)}/{len(workers)} workers, {obeyed.streams_cut} answers cut"

    # What happened.

    def ordered(self, stop: StopOrder) -> None:
        """A stop is in force here; it is told if this host issued it."""
        if not self._news(stop):
            return
        occasion = Occasion.TRIP if stop.source is Source.TRIP else Occasion.STOP
        occasion = Occasion.DRILL if drills_stop(stop) else occasion
        mode = stop.mode.value
        self._wait(stop.id, self._notice(occasion, mode, str(stop.scope), stop.who, stop.reason, stop, mode))

    def pushed(self, rule: RuleOrder) -> None:
        """Rules screen here from now on; it is told if this host issued it, and never what the rules say."""
        if self._news(rule):
            mode = "rule"
            self._wait(rule.id, self._notice(Occasion.STOP, mode, str(rule.scope), rule.who, rule.reason, rule, mode))

    def tripped(self, stop: StandingStop) -> None:
        """A file in the directory of orders stops."""
        said = f"{stop.id} {self._clock.now()}"
        notice = self._notice(
            _occasion(stop, Occasion.STOP), "stop", str(stop.scope), "a file", stop.reason, said, "stop"
        )
        self._wait(stop.id, notice)

    def removed(self, stop: StandingStop) -> None:
        """Such a file is gone."""
        said, words = f"{stop.id} {self._clock.now()}", "the file was removed"
        self.tell(self._notice(_occasion(stop, Occasion.RESUME), "resume", str(stop.scope), "a file", words, said))

    def resumed(self, resume: Judged, state: State) -> None:
        """A resume counts, at least in part; it is told if this host issued it."""
        order = resume.order
        if not self._news(order):
            return
        every: tuple[StopOrder | RuleOrder, ...] = (*state.stops, *state.rules)
        lifted = [each for each in every if each.id in order.lifts]
        # By what it lifts, all of which must be known: what an order says of its source is not enough to hide it.
        drill = len(lifted) == len(order.lifts) and all(drills_stop(each) for each in lifted)
        people = f"approved by {resume.approved_by}; " if resume.people else ""
        why = f"; {resume.why}" if resume.why else ""
        notice = self._notice(
            Occasion.DRILL if drill else Occasion.RESUME,
            "resume",
            " ".join(sorted({str(stop.scope) for stop in lifted})) or "nothing known",
            order.who,
            order.reason,
            order,
            " ".join(sorted({each.mode.value if isinstance(each, StopOrder) else "rule" for each in lifted})),
        )
        since = min((stop.created for stop in lifted), default=None)
        lifts = f"{people}lifts {' '.join(order.lifts)}{why}"
        self.tell(replace(notice, effect=lifts, since=None if since is None else min(since, notice.at)))

    def found(self, occasion: Occasion, did: str, subject: str, who: str, reason: str) -> None:
        """Something was found or done that is no order; the words must hold nothing of any exchange."""
        self.tell(self._notice(occasion, did, subject, who, reason, f"{occasion} {did} {subject} {self._clock.now()}"))

    def tell(self, notice: Notice) -> None:
        """Give it to everybody who hears of such."""
        for courier, _ in self._couriers.values():
            if courier.receiver.settings.hears(notice.occasion):
                courier.put(notice)

    # How.

    def _wait(self, order: str, notice: Notice) -> None:
        if not self._couriers:
            return
        if len(self._pending) >= MAX_PENDING:
            self.tell(notice)
        else:
            self._pending.append(_Pending(order, notice, self._clock.steady() + OBEYED_SECONDS))

    def _news(self, order: Order) -> bool:
        """Whether it is for this host to tell, and was not yet; from now on it was."""
        if order.id in self._orders or not self._own(order):
            return False
        self._orders.note([order.id])
        return True

    def _own(self, order: Order) -> bool:
        """Whether this host issued it: of a fleet, one tells. What nobody signed, everybody tells."""
        if self._config.guard.fleet is None or not order.issuer:
            return True
        state: Path = storage(self._config)[0]
        try:
            return order.issuer in own_issuer(state)
        except OSError:
            return True

    def _notice(
        self, occasion: Occasion, did: str, subject: str, who: str, reason: str, of: Order | str, mode: str = ""
    ) -> Notice:
        fleet, now = self._config.guard.fleet, self._clock.now()
        said, order = (of, "") if isinstance(of, str) else (of.id, of.id)
        unique = order or hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:26]
        return Notice(
            id=f"{occasion}-{unique}",
            occasion=occasion,
            at=now if isinstance(of, str) else min(of.created, now),
            host=os.uname().nodename if fleet is None else fleet.replica,
            did=did,
            subject=subject,
            who=who,
            reason=reason,
            mode=mode,
            order=order,
        )

    def _lease(self, now: float) -> None:
        """Tell when a lease has been up for some seconds, and when it no longer is."""
        lapsed = frozenset(self.lapsed())
        if lapsed != self._lapsed[0]:
            self._lapsed = lapsed, now
        if lapsed == self._told or (lapsed and now - self._lapsed[1] < LEASE_SECONDS):
            return
        self._told = lapsed
        levels = ", ".join(f"ASL-{asl}" for asl in sorted(lapsed))
        reason = f"no proof that every stop order is known: {levels} refused" if lapsed else "there is proof again"
        self.found(Occasion.LEASE, "lease lapsed" if lapsed else "lease renewed", "fleet", "guard", reason)

    def _count(self, receiver: str, sent: Sent, why: str) -> None:
        self._meter.inc(self._meter.bind("guard_notices_total", receiver, Told(sent.value)))
        if sent is Sent.SENT:
            if self._failing.pop(receiver, ""):
                self._log.emit(Level.INFO, Event.NOTICES_SENT, receiver=receiver)
        elif sent is Sent.LOST or self._failing.get(receiver) != why:
            self._failing[receiver] = why
            level = Level.ERROR if sent is Sent.LOST else Level.WARNING
            self._log.emit(level, Event.NOTICE_FAILED, receiver=receiver, result=sent.value, reason=why)


def _occasion(stop: StandingStop, otherwise: Occasion) -> Occasion:
    return Occasion.DRILL if stop.scope.of_self_test else otherwise
