"""A message from its first header to its answer: is it authentic, what does it say, what was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from guard.hooks.alerts import read_alerts
from guard.hooks.desk import Act, Desk, Result
from guard.hooks.events import read_event
from guard.hooks.hook import Hook, Hooks
from guard.hooks.proof import Headers, NotAuthenticError, check_sender, check_signature
from guard.hooks.signal import Signal
from guard.hooks.slack import read_slack
from guard.policy.model import HookAuth, HookKind
from guard.wire.strict_json import BadField

MAX_SIGNED_BODY: Final = 262_144
"""Read before it is known who sends it."""
MAX_BODY: Final = 2_097_152
"""Of a sender that has proved itself before: a large group of alerts."""
_STATUS: Final = {Result.REFUSED: 401, Result.STALE: 401, Result.MALFORMED: 400}


class UnreadableError(Exception):
    """A body that is too long or too late; the words say which."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request: ``peer`` names the client certificate, ``body`` reads at most so many bytes.

    ``body`` raises `UnreadableError`.
    """

    headers: Headers
    peer: str
    body: Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told: the acts, the status of it all, and whether it is who it should be."""

    status: int
    acts: tuple[Act, ...]
    proved: bool = True

    @property
    def orders(self) -> tuple[str, ...]:
        """The stops that were ordered."""
        return tuple(act.order for act in self.acts if act.order)


class Witness(Protocol):
    """Who counts and records what hooks receive; never keeps a stop from being one."""

    def received(self, hook: Hook, acts: Sequence[Act], *, proved: bool) -> None:
        """A message came, whose sender proved itself or did not, and this is what was done about it."""


class Receiver:
    """Takes the messages of every hook."""

    def __init__(self, hooks: Hooks, desk: Desk, witness: Witness, now: Callable[[], float]) -> None:
        """Take the hooks, what acts, who is told, and seconds since the epoch."""
        self._hooks = hooks
        self._desk = desk
        self._witness = witness
        self._now = now

    def take(self, hooks: Hooks) -> None:
        """Go on with others."""
        self._hooks = hooks

    def find(self, name: str) -> Hook | None:
        """The hook at this address."""
        return self._hooks.get(name)

    async def receive(self, hook: Hook, delivery: Delivery) -> Answer:
        """Take one message; raises nothing of its own."""
        signed = hook.settings.proof is HookAuth.SIGNATURE
        try:
            check_sender(hook, delivery.headers, delivery.peer)
            body = await delivery.body(MAX_SIGNED_BODY if signed else MAX_BODY)
            identity = check_signature(hook, delivery.headers, body, self._now())
        except NotAuthenticError as wrong:
            return self._refused(hook, Result.STALE if wrong.stale else Result.REFUSED, str(wrong))
        except UnreadableError as wrong:
            return self._refused(hook, Result.MALFORMED, str(wrong), proved=not signed)
        try:
            signals = _read(hook, body, identity)
        except BadField as wrong:
            return self._refused(hook, Result.MALFORMED, str(wrong), proved=True)
        except NotAuthenticError as wrong:
            return self._refused(hook, Result.REFUSED, str(wrong), proved=True)
        acts = tuple(self._desk.act(hook, signals))
        self._witness.received(hook, acts, proved=True)
        return Answer(_status(hook, acts), acts)

    def _refused(self, hook: Hook, result: Result, words: str, *, proved: bool = False) -> Answer:
        act = Act(result, "", words)
        self._witness.received(hook, [act], proved=proved)
        return Answer(_STATUS[result], (act,), proved=proved)


def _read(hook: Hook, body: bytes, identity: str) -> list[Signal]:
    if hook.settings.kind in {HookKind.ALERTMANAGER, HookKind.GRAFANA}:
        return read_alerts(hook, body)
    return [read_slack(hook, body) if hook.settings.kind is HookKind.SLACK else read_event(hook, body, identity)]


def _status(hook: Hook, acts: Sequence[Act]) -> int:
    """5xx asks a sender to try again, 4xx says that it would not help; PagerDuty pauses who refuses too much."""
    results = {act.result for act in acts}
    if Result.FAILED in results:
        return 500
    if Result.MALFORMED in results:
        return 400
    return 422 if Result.UNBOUND in results and hook.settings.kind is not HookKind.PAGERDUTY else 200
