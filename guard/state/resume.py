"""What resuming would do, before anyone does it: which stops it lifts, which models that frees, which it does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from guard.state.merge import TWO_PERSON_ASL, State
from guard.state.orders import MAX_LIFTS, ResumeOrder, Scope, ScopeKind, Source, StopOrder, is_order_id


@dataclass(frozen=True, slots=True)
class Held:
    """A model that the resume would leave stopped, and why."""

    model: str
    why: str


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a resume would do; ``lifts`` goes into the order.

    ``freed`` are models below ASL-3 that nothing else would stop (for a tier or key scope: for that tier or key).
    ``refused`` is empty, or says why no such order may be written; then ``lifts`` and ``freed`` are empty.
    """

    lifts: tuple[str, ...]
    freed: tuple[str, ...]
    held: tuple[Held, ...]
    refused: str = ""


def plan_resume(
    state: State,
    target: str,
    levels: Mapping[str, int],
    tiers: Mapping[str, Collection[str]],
    keys: Mapping[str, str],
) -> ResumePlan:
    """Plan lifting one stop (by its id) or every liftable stop of exactly one scope (at most 1,000 at a time).

    ``levels`` is model -> ASL, ``tiers`` tier -> models, ``keys`` key -> tier. Refused when it would lift nothing
    for any model. A stop that is one of several over a model may be lifted alone, though that frees nothing yet:
    otherwise two stops of different scopes would hold each other for ever. Raises OrderError for a bad scope.
    """
    lifted, refused = _liftable(state, target)
    if refused:
        return ResumePlan((), (), (), refused)
    ids = tuple(stop.id for stop in lifted)
    after = state.merge(State.of([ResumeOrder("0" * 26, ids, "", "plan", Source.CLI, 0.0)]))
    freed, held = [], []
    below = False
    scope = lifted[0].scope
    tier = scope.subject if scope.kind is ScopeKind.TIER else ""
    key = scope.subject if scope.kind is ScopeKind.KEY else ""
    for model in _reach(scope, levels, tiers, keys):
        asl = levels[model]
        if asl >= TWO_PERSON_ASL:
            held.append(Held(model, f"ASL-{asl}: resuming needs two persons, which orders cannot express yet"))
            continue
        below = True
        other = after.holding(asl, model, tier or keys.get(key, ""), key)
        if other is None:
            freed.append(model)
        else:
            held.append(Held(model, f"also stopped by {other.order} ({other.scope})"))
    if not below:
        why = "only models at ASL-3 or above are covered" if held else "no configured model is covered"
        return ResumePlan((), (), tuple(held), f"{scope}: {why}, so nothing would be resumed")
    return ResumePlan(ids, tuple(freed), tuple(held))


def _liftable(state: State, target: str) -> tuple[tuple[StopOrder, ...], str]:
    """The stops to lift, all of one scope, or the reason why there are none."""
    held = state.still_held(0)
    if target.startswith("file:"):
        return (), f"{target}: holds while that file is in the orders' directory; remove the file"
    if is_order_id(target):
        known = [stop for stop in state.stops if stop.id == target]
        if not known:
            return (), f"{target}: no stop order has this id"
        found = tuple(stop for stop in known if stop in held)
        return found, "" if found else f"{target}: already lifted, except for models at ASL-3 or above"
    scope = Scope.parse(target)
    covering = [stop for stop in held if stop.scope == scope]
    orders = tuple(stop for stop in covering if isinstance(stop, StopOrder))[:MAX_LIFTS]
    if orders:
        return orders, ""
    if covering:
        return (), f"{scope}: {covering[0].id} holds while that file is in the orders' directory; remove the file"
    return (), f"{scope}: no stop order of exactly this scope is in force"


def _reach(
    scope: Scope, levels: Mapping[str, int], tiers: Mapping[str, Collection[str]], keys: Mapping[str, str]
) -> list[str]:
    """The configured models that a stop of this scope touches."""
    if scope.kind is ScopeKind.ALL:
        return sorted(levels)
    if scope.kind is ScopeKind.MODEL:
        return [scope.subject] if scope.subject in levels else []
    tier = scope.subject if scope.kind is ScopeKind.TIER else keys.get(scope.subject, "")
    return sorted(model for model in tiers.get(tier, ()) if model in levels)
