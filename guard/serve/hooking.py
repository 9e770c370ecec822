"""Webhooks within the supervisor: what they stop with, and what is counted, logged and recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.hooks.desk import Act, Result
from guard.hooks.hook import Hook, Hooks
from guard.serve.acts import Acts
from guard.state.merge import State
from guard.state.orders import Source
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Hooked
from safeguards.ports import Clock

MAX_TOLD: Final = 10
_NOT_AUTHENTIC: Final = frozenset({Result.REFUSED, Result.STALE})
_WRONG: Final = frozenset({Result.UNBOUND, Result.FAILED, Result.MALFORMED})


class HookSwitch:
    """Implements `guard.hooks.desk.Switch` over the host's switchboard."""

    def __init__(self, board: Switchboard) -> None:
        """Take the switchboard."""
        self._board = board

    def stop(self, scope: str, reason: str, who: str, entropy: bytes) -> str:
        """Order it."""
        return self._board.stop(scope, reason, who, Source.WEBHOOK, entropy=entropy).order

    def state(self) -> State:
        """Read every order."""
        return self._board.state()


class Hooking:
    """Implements `guard.hooks.receiver.Witness`."""

    def __init__(self, hooks: Hooks, acts: Acts, meter: Meter, log: JsonLog, clock: Clock) -> None:
        """Take where it is recorded and counted."""
        self._acts = acts
        self._meter = meter
        self._log = log
        self._clock = clock
        self.take(hooks)

    def take(self, hooks: Hooks) -> None:
        """Count from nought for every hook there is: an alert on an increase needs a beginning."""
        for name in hooks:
            for result in Hooked:
                self._meter.bind("guard_hook_received_total", name, result)
            self._meter.bind("guard_hook_last_authentic_timestamp_seconds", name)

    def received(self, hook: Hook, acts: Sequence[Act]) -> None:
        """Count every act; record a message once.

        A message that is not authentic is logged only: anybody could fill the record with them.
        """
        for act in acts:
            self._meter.inc(self._meter.bind("guard_hook_received_total", hook.name, Hooked(act.result.value)))
        if acts[0].result in _NOT_AUTHENTIC:
            self._log.emit(Level.WARNING, Event.HOOK_REFUSED, who=hook.who, reason=acts[0].words)
            return
        last = self._meter.bind("guard_hook_last_authentic_timestamp_seconds", hook.name)
        self._meter.set(last, self._clock.now())
        # A stop is on record by its order already, whoever gave it.
        told = [act for act in acts if act.result is not Result.STOPPED]
        if told:
            wrong = any(act.result in _WRONG for act in told)
            subject = ", ".join(f"{act.result.value} {act.scope}".strip() for act in told[:MAX_TOLD])
            more = f" and {len(told) - MAX_TOLD} more" if len(told) > MAX_TOLD else ""
            level = Level.WARNING if wrong else Level.INFO
            self._acts.remember(Event.HOOK_RECEIVED, hook.who, "hook", subject + more, _line(told), level)


def _line(acts: Sequence[Act]) -> str:
    """One line for people; a sender's text may hold anything."""
    words = "; ".join(dict.fromkeys(act.words for act in acts[:MAX_TOLD] if act.words))
    return "".join(letter if letter.isprintable() else " " for letter in words[:500])
