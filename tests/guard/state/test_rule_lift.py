"""Planning to lift a pushed rule: for which models it ends, and when it is refused."""

from __future__ import annotations

import pytest

from guard.state.merge import Judged, State
from guard.state.rule_lift import plan_rule_lift
from guard.state.served import Served, ServedModel
from guard.state.shown import Shown
from tests.guard.state.parts import merged, resume, rule, stop

SERVED = Served({alias: ServedModel(asl) for alias, asl in {"demo": 2, "large": 3}.items()}, {}, {})


def test_one_person_lifts_it_below_asl_3_and_the_rest_takes_two() -> None:
    order = rule("all")
    plan = plan_rule_lift(merged([order]), order.id, SERVED)
    assert (plan.lifts, plan.freed, plan.refused, plan.approvable) == ((order.id,), ("demo",), "", (order,))
    assert [(held.model, held.approval) for held in plan.held] == [("large", True)]
    after = merged([order, resume(order)])
    plan = plan_rule_lift(after, order.id, SERVED)
    assert plan.lifts == ()
    assert "takes two people's approval" in plan.refused
    assert plan.approvable == (order,)
    assert plan_rule_lift(after, order.id, SERVED, approved=True).freed == ("demo", "large")


@pytest.mark.parametrize(("scope", "freed"), [("model:demo", ("demo",)), ("model:gone", ())])
def test_what_covers_no_model_at_asl_3_is_lifted_by_one(scope: str, freed: tuple[str, ...]) -> None:
    order = rule(scope)
    plan = plan_rule_lift(merged([order]), order.id, SERVED)
    assert (plan.lifts, plan.freed, plan.held, plan.approvable) == ((order.id,), freed, (), ())
    assert plan_rule_lift(merged([order, resume(order)]), order.id, SERVED).refused == f"{order.id}: already lifted"


def test_what_is_lifted_or_is_no_rule_is_refused() -> None:
    order, other = rule("all"), stop("all", 2)
    approved = Judged(resume(order), below=True, approved=frozenset({Shown.of(order)}))
    state = State(frozenset({other}), frozenset({approved}), rules=frozenset({order}))
    assert plan_rule_lift(state, order.id, SERVED).refused == f"{order.id}: already lifted"
    assert plan_rule_lift(state, other.id, SERVED).refused == f"{other.id}: no rule order has this id"
