"""Webhooks within the supervisor: what they stop with, and what is counted, logged and recorded of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.hooks.desk import Act, Desk, Result, Switch
from guard.hooks.hook import Hook, Hooks
from guard.hooks.receiver import Receiver
from guard.serve.acts import Acts
from guard.state.merge import State
from guard.state.orders import Source
from guard.state.scope import Scope
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Hooked
from safeguards.ports import Clock

MAX_TOLD: Final = 10
MAX_RECORDS: Final = 60
"""Messages of one hook that are put on record in a minute; what comes beyond is counted and logged."""
_MINUTE: Final = 60.0
_WRONG: Final = frozenset({Result.UNBOUND, Result.FAILED, Result.MALFORMED, Result.REFUSED})


class HookSwitch:
    """Implements `guard.hooks.desk.Switch` over the host's switchboard."""

    def __init__(self, board: Switchboard, known: Callable[[], State]) -> None:
        """Take the switchboard, and what is known of the orders without reading their files."""
        self._board = board
        self._known = known

    def stop(self, scope: str, reason: str, who: str, entropy: bytes) -> str:
        """Order it; no configured hook can name the self-test model, so what does is a drill's."""
        if Scope.parse(scope).of_self_test:
            return self._board.drill(scope, reason, who, entropy=entropy).order
        return self._board.stop(scope, reason, who, Source.WEBHOOK, entropy=entropy).order

    def state(self) -> State:
        """What is known."""
        return self._known()


class Hooking:
    """Implements `guard.hooks.receiver.Witness`; ``receiver`` takes the messages."""

    def __init__(
        self, hooks: Hooks, drills: Hooks, switch: Switch, acts: Acts, meter: Meter, log: JsonLog, clock: Clock
    ) -> None:
        """Take the configured hooks, those by which drills come, what stops, and where it is recorded and counted."""
        self._drills = drills
        self._acts = acts
        self._meter = meter
        self._log = log
        self._clock = clock
        self._minutes: dict[str, tuple[float, int]] = {}
        self.receiver = Receiver(hooks, Desk(switch, os.urandom), self, clock.now)
        self.take(hooks)

    def take(self, hooks: Hooks) -> None:
        """Go on with these, counting from nought for each: an alert on an increase needs a beginning."""
        self.receiver.take({**hooks, **self._drills})
        for name in hooks:
            for result in Hooked:
                self._meter.bind("guard_hook_received_total", name, result)
            self._meter.bind("guard_hook_last_authentic_timestamp_seconds", name)

    def received(self, hook: Hook, acts: Sequence[Act], *, proved: bool) -> None:
        """Count every act; record a message once.

        A message whose sender proved nothing is logged only: anybody could fill the record with them. Of a drill's
        nothing is counted or recorded but its order: drills have figures and records of their own.
        """
        if hook.drills:
            if acts[0].result is not Result.STOPPED:
                self._log.emit(Level.WARNING, Event.HOOK_REFUSED, who=hook.who, reason=acts[0].words)
            return
        for act in acts:
            self._meter.inc(self._meter.bind("guard_hook_received_total", hook.name, Hooked(act.result.value)))
        if not proved:
            self._log.emit(Level.WARNING, Event.HOOK_REFUSED, who=hook.who, reason=acts[0].words)
            return
        last = self._meter.bind("guard_hook_last_authentic_timestamp_seconds", hook.name)
        self._meter.set(last, self._clock.now())
        # An order is on record already, whoever gave it; a STOP file does not say who made it.
        told = [act for act in acts if act.result is not Result.STOPPED or act.order.startswith("file:")]
        if told:
            wrong = any(act.result in _WRONG for act in told)
            subject = ", ".join(f"{act.result.value} {act.scope}".strip() for act in told[:MAX_TOLD])
            more = f" and {len(told) - MAX_TOLD} more" if len(told) > MAX_TOLD else ""
            level = Level.WARNING if wrong else Level.INFO
            if self._may_record(hook.name):
                self._acts.remember(Event.HOOK_RECEIVED, hook.who, "hook", subject + more, _line(told), level)
            else:
                self._log.emit(level, Event.HOOK_RECEIVED, who=hook.who, subject=subject + more, reason=_line(told))

    def _may_record(self, name: str) -> bool:
        """Whoever holds a secret may not fill the record."""
        now = self._clock.steady()
        began, count = self._minutes.get(name, (now, 0))
        if now - began >= _MINUTE:
            began, count = now, 0
        self._minutes[name] = (began, count + 1)
        return count < MAX_RECORDS


def _line(acts: Sequence[Act]) -> str:
    """One line for people; a sender's text may hold anything."""
    words = "; ".join(dict.fromkeys(act.words for act in acts[:MAX_TOLD] if act.words))
    return "".join(letter if letter.isprintable() else " " for letter in words[:500])
