"""What can be switched off, how, and which test must notice."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from guard.policy.model import CheckName, SafeguardKind
from guard.policy.proof import CHECKS, SAFEGUARDS
from safeguards.verdict import PASS, Cleared


@dataclass(frozen=True, slots=True)
class Mutation:
    """``target`` is ``module:attribute.path``, ``replaced`` makes of what is there what takes its place."""

    name: str
    target: str
    replaced: Callable[[Any], Any]
    test: str


def _blind(check: CheckName) -> Callable[[Any], Any]:
    """Let `why_unmet` find nothing wrong with any row of this check."""

    def replaced(original: Any) -> Any:
        @functools.wraps(original)
        def why_unmet(view: Any, row: Any, at: Any) -> Any:
            return None if row.check is check else original(view, row, at)

        return why_unmet

    return replaced


def _always(value: Callable[..., Any]) -> Callable[[Any], Any]:
    """Put a function in place of whatever is there."""
    return lambda _: value


def _passes(*_: Any) -> Any:
    return PASS


def _clears(_: Any, __: Any, channel: Any) -> Any:
    return Cleared(channel.end)


def _does_nothing(*_: Any) -> None:
    return None


# Every moment of every safeguard: what it would take to switch it off without anybody noticing.
_MOMENTS: Final[tuple[tuple[SafeguardKind, str, Callable[..., Any]], ...]] = (
    (SafeguardKind.REQUEST_LOG, "safeguards.request_log:RequestLog.admit", _passes),
    (SafeguardKind.REQUEST_LOG, "safeguards.request_log:RequestLog.watch", _clears),
    (SafeguardKind.REQUEST_LOG, "safeguards.request_log:RequestLog.close", _does_nothing),
    (SafeguardKind.KILL_SWITCH, "safeguards.kill_switch:KillSwitch.admit", _passes),
    (SafeguardKind.KILL_SWITCH, "safeguards.kill_switch:KillSwitch.watch", _clears),
    (SafeguardKind.EVIDENCE, "safeguards.evidence:Evidence.admit", _passes),
    (SafeguardKind.ACCESS, "safeguards.access:Access.admit", _passes),
    (SafeguardKind.LIMITS, "safeguards.limits:Limits.admit", _passes),
    (SafeguardKind.CLASSIFIER, "safeguards.classifier:Classification.admit", _passes),
    (SafeguardKind.CLASSIFIER, "safeguards.classifier:Classification.watch", _clears),
)
MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(
        Mutation(f"check {check}", "guard.policy.checks:why_unmet", _blind(check), proof.test)
        for check, proof in CHECKS.items()
    ),
    *(
        Mutation(f"{kind} {target.rpartition('.')[2]}", target, _always(value), SAFEGUARDS[kind].test)
        for kind, target, value in _MOMENTS
    ),
)


def mutate(mutation: Mutation) -> None:
    """Put the replacement in place, wherever the original was imported by name as well; for a process of its own."""
    module, _, path = mutation.target.partition(":")
    holder: Any = importlib.import_module(module)
    *steps, last = path.split(".")
    for step in steps:
        holder = getattr(holder, step)
    original = getattr(holder, last)
    replacement = mutation.replaced(original)
    setattr(holder, last, replacement)
    for name, loaded in list(sys.modules.items()):
        if name.partition(".")[0] in {"guard", "safeguards"}:
            for attribute, value in list(vars(loaded).items()):
                if value is original:
                    setattr(loaded, attribute, replacement)
