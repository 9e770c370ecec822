"""What lifting a pushed rule would do, before anyone does it: by its id alone, never along with a scope's stops."""

from __future__ import annotations

from guard.state.merge import TWO_PERSON_ASL, State
from guard.state.resume import Held, ResumePlan
from guard.state.served import Served

NEEDS_TWO = "lifting a rule takes two people's approval"


def plan_rule_lift(state: State, order: str, served: Served, *, approved: bool = False) -> ResumePlan:
    """Plan lifting one rule order; ``freed`` are then the models that it no longer screens.

    ``approved`` plans it as with the approval of two people, which models from ASL-3 on need. Refused when it would
    lift nothing for any model.
    """
    known = [each for each in state.rules if each.id == order]
    if not known:
        return ResumePlan((), (), (), f"{order}: no rule order has this id")
    rule = known[0]
    touched = served.touched(rule.scope)
    strict = [alias for alias in touched if served.models[alias].asl >= TWO_PERSON_ASL]
    lower = [alias for alias in touched if alias not in strict]
    below, from_three = rule in state.rules_held(0), rule in state.rules_held(TWO_PERSON_ASL)
    # What covers nothing here today may be lifted too: it would screen the model that comes tomorrow.
    if not from_three or not (below or strict):
        return ResumePlan((), (), (), f"{order}: already lifted")
    if approved:
        return ResumePlan((order,), tuple(touched), ())
    held = tuple(Held(alias, f"ASL-{served.models[alias].asl}: {NEEDS_TWO}", approval=True) for alias in strict)
    approvable = (rule,) if strict else ()
    if below and (lower or not touched):
        return ResumePlan((order,), tuple(lower), held, "", approvable)
    why = f"{order}: only models at ASL-3 or above are left, and {NEEDS_TWO}; nothing is lifted"
    return ResumePlan((), (), held, why, approvable)
