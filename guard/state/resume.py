"""What resuming would do, before anyone does it: which stops it lifts, which models that frees, which it does not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from guard.state.merge import TWO_PERSON_ASL, InForce, Judged, State
from guard.state.orders import MAX_APPROVED_LIFTS, MAX_LIFTS, ResumeOrder, Source, StopOrder, is_order_id
from guard.state.scope import Scope
from guard.state.served import Served
from guard.state.shown import Liftable, Shown
from safeguards.mode import RUNGS

NEEDS_TWO = "resuming takes two people's approval"


@dataclass(frozen=True, slots=True)
class Held:
    """A model that the resume would leave stopped, and why; ``approval`` is whether two people's would free it."""

    model: str
    why: str
    approval: bool = False


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a resume would do; ``lifts`` goes into the order.

    ``freed`` are models for which no other order is in force (for a narrower scope: for what it covers). ``refused`` is
    empty, or says why no such order may be written; then ``lifts`` and ``freed`` are empty. ``approvable`` are the
    stops that would have to be approved by two people for the models that are held for want of it.
    """

    lifts: tuple[str, ...]
    freed: tuple[str, ...]
    held: tuple[Held, ...]
    refused: str = ""
    approvable: tuple[Liftable, ...] = ()

    @property
    def mark(self) -> str:
        """What a form that shows this plan carries: another one, with a stop more or less, has another."""
        named = sorted({*self.lifts, *(each.id for each in self.approvable)})
        return hashlib.sha256(" ".join(named).encode("ascii")).hexdigest()


def plan_resume(state: State, target: str, served: Served, *, approved: bool = False) -> ResumePlan:
    """Plan lifting one stop (by its id) or every liftable stop of exactly one scope (at most 1,000 at a time).

    ``approved`` plans it as with the approval of two people, which frees models from ASL-3 on too, 50 stops at a time.
    Refused when it would lift nothing for any model. A stop that is one of several over a model may be lifted alone,
    though that frees nothing yet: otherwise two stops of different scopes would hold each other for ever. Raises
    OrderError for a bad scope.
    """
    found, refused = _liftable(state, target, served)
    if refused:
        return ResumePlan((), (), (), refused)
    return plan_lifting(state, found, served, approved=approved)


def plan_lifting(state: State, found: tuple[StopOrder, ...], served: Served, *, approved: bool) -> ResumePlan:
    """Plan lifting these stops, all of one scope unless ``approved``."""
    lifted = found[:MAX_APPROVED_LIFTS] if approved else found
    ids = tuple(stop.id for stop in lifted)
    shown = frozenset(map(Shown.of, lifted)) if approved else frozenset[Shown]()
    after = state.merge(State(resumes=frozenset({Judged(_imagined(ids), below=True, approved=shown)})))
    freed: dict[str, None] = {}
    held: dict[str, Held] = {}
    below = False
    lower = frozenset(state.still_held(0))
    for stop in lifted:
        touched = served.touched(stop.scope)
        # What covers nothing here today may be lifted too: it would stop the model that comes tomorrow.
        below = below or not touched
        for alias in touched:
            asl = served.models[alias].asl
            words = served.about(alias, stop.scope)
            other = after.holding(asl, words)
            below = below or approved or (asl < TWO_PERSON_ASL and stop in lower)
            if other is None:
                freed[alias] = None
            elif asl >= TWO_PERSON_ASL and other.order in ids:
                held[alias] = Held(alias, f"ASL-{asl}: {NEEDS_TWO}", approval=True)
            else:
                how = other.mode.value if other.mode in RUNGS else "stopped"
                held[alias] = Held(alias, f"also {how} by {other.order} ({other.scope})")
    freed = {alias: None for alias in freed if alias not in held}
    approvable = _approvable(state, lifted) if any(each.approval for each in held.values()) else ()
    told = tuple(held[alias] for alias in sorted(held))
    if not below:
        scope = lifted[0].scope
        why = f"only models at ASL-3 or above are left, and {NEEDS_TWO}; nothing is resumed"
        return ResumePlan((), (), told, f"{scope}: {why}", approvable)
    return ResumePlan(ids, tuple(sorted(freed)), told, "", approvable)


def _approvable(state: State, lifted: tuple[StopOrder, ...]) -> tuple[StopOrder, ...]:
    strict = frozenset(state.still_held(TWO_PERSON_ASL))
    return tuple(stop for stop in lifted if stop in strict)[:MAX_APPROVED_LIFTS]


def _touches_strict(stop: InForce, served: Served) -> bool:
    return any(served.models[alias].asl >= TWO_PERSON_ASL for alias in served.touched(stop.scope))


def _imagined(ids: tuple[str, ...]) -> ResumeOrder:
    return ResumeOrder("0" * 26, ids, "", "plan", Source.CLI, 0.0)


def _liftable(state: State, target: str, served: Served) -> tuple[tuple[StopOrder, ...], str]:
    """The stops to lift, all of one scope, or the reason why there are none."""
    lower = frozenset(state.still_held(0))
    # What was lifted below ASL-3 is still there to be lifted for the models from there on, if it touches any.
    strict = (stop for stop in state.still_held(TWO_PERSON_ASL) if stop in lower or _touches_strict(stop, served))
    held = tuple(strict)
    if target.startswith("file:"):
        return (), f"{target}: holds while that file is in the orders' directory; remove the file"
    if is_order_id(target):
        known = [stop for stop in state.stops if stop.id == target]
        if not known:
            return (), f"{target}: no stop order has this id"
        found = tuple(stop for stop in known if stop in held)
        return found, "" if found else f"{target}: already lifted"
    scope = Scope.parse(target)
    covering = [stop for stop in held if stop.scope == scope]
    orders = tuple(stop for stop in covering if isinstance(stop, StopOrder))[:MAX_LIFTS]
    if orders:
        return orders, ""
    if covering:
        return (), f"{scope}: {covering[0].id} holds while that file is in the orders' directory; remove the file"
    return (), f"{scope}: no stop order of exactly this scope is in force"
