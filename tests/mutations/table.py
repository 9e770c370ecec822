"""What can be switched off, how, and which test must notice."""

from __future__ import annotations

import copy
import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from guard.credentials import bearer
from guard.pipeline import Pipeline
from guard.policy.invariants import Invariant
from guard.policy.model import CheckName, Mode, SafeguardKind
from guard.policy.proof import CHECKS, INVARIANTS, SAFEGUARDS
from guard.refusal import Refused
from guard.wire.strict_json import BadField
from safeguards.decision import Ending
from safeguards.verdict import PASS, Cleared, Code


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


def _always(value: Any) -> Callable[[Any], Any]:
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
    (SafeguardKind.REQUEST_LOG, "safeguards.request_log:RequestLog.before_last", _does_nothing),
    (SafeguardKind.REQUEST_LOG, "safeguards.request_log:RequestLog.close", _does_nothing),
    (SafeguardKind.KILL_SWITCH, "safeguards.kill_switch:KillSwitch.admit", _passes),
    (SafeguardKind.KILL_SWITCH, "safeguards.kill_switch:KillSwitch.watch", _clears),
    (SafeguardKind.EVIDENCE, "safeguards.evidence:Evidence.admit", _passes),
    (SafeguardKind.ACCESS, "safeguards.access:Access.admit", _passes),
    (SafeguardKind.LIMITS, "safeguards.limits:Limits.admit", _passes),
    (SafeguardKind.CLASSIFIER, "safeguards.classifier:Classification.admit", _passes),
    (SafeguardKind.CLASSIFIER, "safeguards.classifier:Classification.watch", _clears),
)


def _own_level_alone(_: Any) -> Any:
    return lambda self, asl: tuple(row for row in self.rows if row.level == asl.on(row.axis))


def _any_surface(original: Any) -> Any:
    def serving(self: Any, model: Any, dialect: Any, caller: Any) -> Any:
        found = self._catalogue.find(model)
        self._surface = next(iter(found.surfaces)) if found else self._surface
        return original(self, model, dialect, caller)

    return serving


def _any_audience(original: Any) -> Any:
    def serving(self: Any, model: Any, dialect: Any, caller: Any) -> Any:
        found = self._catalogue.find(model)
        return original(self, model, dialect, replace(caller, audience=found.audience) if found else caller)

    return serving


def _whatever_its_floor(original: Any) -> Any:
    def serving(self: Any, model: Any, dialect: Any, caller: Any) -> Any:
        try:
            return original(self, model, dialect, caller)
        except Refused as refused:
            if refused.code is Code.NOT_ROUTABLE:
                return self._catalogue.find(model)
            raise

    return serving


def _only_in_public(original: Any) -> Any:
    """Let the requests of every other surface by."""

    async def admit(self: Any, judgement: Any, request: Any) -> Any:
        if judgement.exchange.surface != "public":
            self = copy.copy(self)
            self.mounts = ()
        return await original(self, judgement, request)

    return admit


class _Lenient(dict[bytes, Any]):
    def get(self, path: bytes, default: Any = None) -> Any:
        return super().get(path.lower().rstrip(b"/"), default)


def _lenient(original: Any) -> Any:
    return _Lenient(original)


def _takes_everything(original: Any) -> Any:
    """Send what the table refuses as it came."""

    def read(self: Any, value: Any, place: str, into: Any) -> Any:
        try:
            return original(self, value, place, into)
        except BadField:
            return value

    return read


def _leaves_it(_: Any) -> Any:
    async def attempt(_: Any, attempt: Any, **__: Any) -> Any:
        return replace(attempt, problems=("nothing changes",))

    return attempt


def _clears_all(original: Any) -> Any:
    return lambda self, channel, _: original(self, channel, channel.end)


def _for_ever(_: Any) -> Any:
    return lambda self, headers: self._holders[self.digest(bearer(headers))].who


def _unrecorded_in_shadow(original: Any) -> Any:
    """One flag for both: a model with a mount in shadow is not recorded either."""

    def serving(self: Any, policy: Any) -> Any:
        made = original(self, policy)
        if any(mount.mode is Mode.SHADOW for mount in policy.safeguards):
            kept = [mount for mount in made.pipeline.mounts if mount.safeguard.kind != "request_log"]
            made = replace(made, pipeline=Pipeline(kept))
        return made

    return serving


def _judged_once(_: Any) -> Any:
    return lambda self, model: self._serving.get(model)


def _routable(original: Any) -> Any:
    def judge(self: Any, model: str) -> Any:
        self._serving[model] = replace(original(self, model), unmet=())
        return self._serving[model]

    return judge


def _as_served(original: Any) -> Any:
    """Count what ended within a status of 200 as served, as monitors of errors do."""

    def exchange_ended(meter: Any, exchange: Any, outcome: Any, route: str, provider: str) -> None:
        ending = Ending.SERVED if outcome.ending is Ending.BLOCKED_OUTPUT else outcome.ending
        original(meter, exchange, replace(outcome, ending=ending), route, provider)

    return exchange_ended


def _forgets_what_it_blocked(original: Any) -> Any:
    def close(self: Any, exchange: Any, outcome: Any) -> Any:
        return original(self, exchange, outcome) if outcome.ending is Ending.SERVED else None

    return close


def _releases_all(_: Any) -> Any:
    def release(self: Any) -> Any:
        events = list(self._queue)
        self._queue.clear()
        self._held = 0
        return events

    return release


def _without(words: str) -> Callable[[Any], Any]:
    """Leave out the problems that say this."""
    return lambda original: lambda *given: (each for each in original(*given) if words not in each.message)


_INVARIANTS: Final[tuple[tuple[Invariant, str, Callable[[Any], Any]], ...]] = (
    (Invariant.LEVELS_CUMULATE, "guard.policy.standard:Standard.binding", _own_level_alone),
    (Invariant.KNOWN_THRESHOLDS, "guard.policy.references:_thresholds", _always(lambda *_: iter(()))),
    (Invariant.KNOWN_SURFACES, "guard.arrival:Arrivals.serving", _any_surface),
    (Invariant.KNOWN_SURFACES, "guard.policy.references:_model", _without("no surface")),
    (Invariant.AUDIENCES_APART, "guard.arrival:Arrivals.serving", _any_audience),
    (Invariant.AUDIENCES_APART, "guard.policy.references:_tiers", _without("is for the audience")),
    (Invariant.BELOW_FLOOR_REFUSED, "guard.policy.floor:unmet", _always(lambda *_: ())),
    (Invariant.BELOW_FLOOR_REFUSED, "guard.policy.compile:Models._judge", _routable),
    (Invariant.BELOW_FLOOR_REFUSED, "guard.policy.compile:Models.find", _judged_once),
    (Invariant.FALLBACK_MEETS_FLOOR, "guard.arrival:Arrivals.serving", _whatever_its_floor),
    (Invariant.ONE_JOURNEY, "guard.pipeline:Pipeline.admit", _only_in_public),
    (Invariant.EXACT_ROUTES, "guard.wire.routes:ROUTES", _lenient),
    (Invariant.UNREADABLE_REFUSED, "guard.wire.table:Record.read", _takes_everything),
    (Invariant.UNREADABLE_REFUSED, "guard.wire.openai_chat:_Part.read", _takes_everything),
    (Invariant.RELEASED_WHEN_CLEARED, "guard.valve:Valve.clear", _clears_all),
    (Invariant.RELEASED_WHEN_CLEARED, "guard.valve:Valve.release", _releases_all),
    (Invariant.KEYS_END, "guard.credentials:Register.authenticate", _for_ever),
    (Invariant.REFUSALS_COUNTED, "guard.telemetry.observe:exchange_ended", _as_served),
    (Invariant.REFUSALS_COUNTED, "guard.telemetry.observe:refused", _always(_does_nothing)),
    (Invariant.LOG_APART, "guard.policy.compile:_Compiling.serving", _unrecorded_in_shadow),
    (Invariant.LOG_APART, "guard.policy.order:misplaced", _always(lambda _: iter(()))),
    (Invariant.LOG_APART, "guard.pipeline:Pipeline.close", _forgets_what_it_blocked),
    (Invariant.STANDARD_PINNED, "guard.policy.references:_standards", _always(lambda *_: iter(()))),
    (Invariant.STANDARD_PINNED, "guard.policy.fingerprint:of_standard", _always(lambda _: "")),
    (Invariant.CHANGED_WHILE_SERVED, "guard.serve.reloading:Reloading._attempt", _leaves_it),
    (Invariant.CHANGED_WHILE_SERVED, "safeguards.rapid_response:RapidResponse.admit", _always(_passes)),
    (Invariant.CHANGED_WHILE_SERVED, "safeguards.rapid_response:RapidResponse.watch", _always(_clears)),
    (Invariant.CHANGED_WHILE_SERVED, "safeguards.rapid_response:RapidResponse.close", _always(_does_nothing)),
    (Invariant.LOWERED_BY_TWO, "guard.policy.lowering:_lowerings", _always(lambda *_: iter(()))),
    (Invariant.INCIDENTS_TIMED, "guard.serve.handling:Handling._fixed", _always(_does_nothing)),
    (Invariant.INCIDENTS_TIMED, "guard.serve.handling:Handling._remember", _always(_does_nothing)),
    (Invariant.CLOSED_WHEN_FIXED, "guard.incidents.incident:Incident.unfixed", _always(lambda *_: ())),
    (Invariant.INCIDENTS_EXPORTED, "guard.incidents.bundle:_hash", _always(lambda _: "0" * 64)),
    (Invariant.LIMITS_STATED, "guard.policy.explain:_LIMIT", _always("")),
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
    *(
        Mutation(f"{invariant} {target.rpartition(':')[2]}", target, replaced, INVARIANTS[invariant].test)
        for invariant, target, replaced in _INVARIANTS
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
        if name.partition(".")[0] in {"guard", "safeguards", "tests"}:
            for attribute, value in list(vars(loaded).items()):
                if value is original:
                    setattr(loaded, attribute, replacement)
