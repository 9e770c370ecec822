"""What is done about a signal: a stop of one of the hook's scopes, once for each occurrence, and never anything else.

An occurrence that was acted on is known by the id of its order (`guard.hooks.signal.entropy`), whether that order is in
force or was lifted since: a message that is repeated or replayed adds nothing and undoes no resume, and an alert that
fires anew is another occurrence. A crash between an order and the answer makes the sender try again, which finds the
order there. Where orders cannot be read, or were removed by hand, it is stopped again: that is the harmless mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from guard.hooks.hook import Hook
from guard.hooks.signal import Signal, entropy, mark
from guard.state.merge import State
from guard.state.orders import Source

MAX_STANDING: Final = 20
"""Stops of one hook and scope in force at once: what fires beyond them changes nothing until they are lifted."""
MAX_REMEMBERED: Final = 4096
RESOLVED: Final = frozenset({"resolved", "incident.resolved"})
_RANDOM_BYTES: Final = 3


class Result(StrEnum):
    """What became of a signal, or of a message that held none (`guard.telemetry.metric.Hooked` says the same)."""

    STOPPED = "stopped"
    REPEATED = "repeated"
    COVERED = "covered"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    UNBOUND = "unbound"
    FAILED = "failed"
    MALFORMED = "malformed"
    STALE = "stale"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Act:
    """One result: ``scope`` is empty where there was none to stop, ``order`` is that of a stop made just now."""

    result: Result
    scope: str
    words: str
    order: str = ""


class Switch(Protocol):
    """What stops; `guard.admin.switchboard` behind a few lines of the composition."""

    def stop(self, scope: str, reason: str, who: str, entropy: bytes) -> str:
        """Order a stop whose id ends in this entropy, and return its id; raises ValueError or OSError."""

    def state(self) -> State:
        """Everything that was ever ordered, as far as it is known."""


@dataclass(slots=True)
class _Past:
    """What this hook has ordered: the mark of each of its stops, and how many of each scope are not lifted."""

    marks: set[str]
    standing: Counter[str]

    @classmethod
    def of(cls, hook: Hook, state: State) -> _Past:
        stops = [stop for stop in state.stops if stop.source is Source.WEBHOOK and stop.who == hook.who]
        counting = (each.order for each in state.resumes if each.below or each.approved)
        lifted = {stop for resume in counting for stop in resume.lifts}
        standing = Counter(str(stop.scope) for stop in stops if stop.id not in lifted)
        return cls({mark(stop.id) for stop in stops}, standing)


class Desk:
    """Acts on signals; everything it does happens in one turn of the loop, so two senders never act twice."""

    def __init__(self, switch: Switch, randomness: Callable[[int], bytes]) -> None:
        """Take what stops, and random bytes."""
        self._switch = switch
        self._randomness = randomness
        self._remembered: dict[str, None] = {}

    def act(self, hook: Hook, signals: Iterable[Signal]) -> list[Act]:
        """Do what each signal asks for; raises nothing."""
        past: _Past | None = None
        acts: list[Act] = []
        for signal in signals:
            if signal.wrong:
                acts.append(Act(Result.MALFORMED, "", signal.wrong))
                continue
            if not signal.firing:
                result = Result.RESOLVED if signal.event in RESOLVED else Result.IGNORED
                acts.append(Act(result, "", signal.words or signal.event))
                continue
            scope = _bound(hook, signal.named)
            if scope is None:
                acts.append(_without_scope(hook, signal))
                continue
            own = mark(entropy(hook.name, scope, signal.identity, b""))
            if own in self._remembered:
                acts.append(Act(Result.REPEATED, scope, signal.words))
                continue
            past = past or _Past.of(hook, self._switch.state())
            acts.append(self._stop(hook, scope, signal, own, past))
        return acts

    def _stop(self, hook: Hook, scope: str, signal: Signal, own: str, past: _Past) -> Act:
        if own in past.marks:
            self._remember(own)
            return Act(Result.REPEATED, scope, signal.words)
        if past.standing[scope] >= MAX_STANDING:
            return Act(Result.COVERED, scope, signal.words)
        making = entropy(hook.name, scope, signal.identity, self._randomness(_RANDOM_BYTES))
        try:
            order = self._switch.stop(scope, signal.words, hook.who, making)
        except ValueError as wrong:
            return Act(Result.UNBOUND, scope, str(wrong))
        except OSError as failure:
            return Act(Result.FAILED, scope, f"the order could not be written: {failure.strerror}")
        past.standing[scope] += 1
        self._remember(own)
        return Act(Result.STOPPED, scope, signal.words, order)

    def _remember(self, own: str) -> None:
        """Know it before its order is known here, and where only a STOP file could be written."""
        self._remembered[own] = None
        while len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]


def _bound(hook: Hook, named: str | None) -> str | None:
    """Return which of the hook's scopes is meant, None if it is none of them."""
    settings = hook.settings
    if named is None:
        return settings.otherwise
    scope = (settings.values or {}).get(named, named)
    return scope if scope in settings.scopes else None


def _without_scope(hook: Hook, signal: Signal) -> Act:
    if signal.named is None:
        return Act(Result.IGNORED, "", f"it says no scope, and there is no default; {signal.words}")
    may = ", ".join(hook.settings.values or hook.settings.scopes)
    return Act(Result.UNBOUND, "", f"it names what this hook may not stop; it may stop: {may}")
