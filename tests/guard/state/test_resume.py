"""Planning a resume: what it lifts and frees, and when it is refused."""

from __future__ import annotations

import pytest

from guard.state.merge import StandingStop, State
from guard.state.resume import ResumePlan, plan_resume
from guard.state.scope import EVERYTHING, OrderError
from guard.state.served import Principal, Served, ServedModel
from tests.guard.state.parts import exchange, merged, resume, stop

LEVELS = {"demo": 2, "small": 1, "large": 3}
SERVED = Served(
    {alias: ServedModel(asl) for alias, asl in LEVELS.items()},
    {"general": ["demo", "small", "gone"], "research": ["large"]},
    {"demo-app": Principal("general", "demo"), "lab": Principal("research", "lab")},
)


def plan(state: State, target: str, *, approved: bool = False) -> ResumePlan:
    return plan_resume(state, target, SERVED, approved=approved)


def test_resuming_everything_frees_what_is_below_asl_3_and_says_why_the_rest_is_held() -> None:
    first, second = stop("all", 1), stop("all", 2)
    found = plan(merged([second, first]), "all")
    assert found.lifts == (first.id, second.id)
    assert found.freed == ("demo", "small")
    assert [held.model for held in found.held] == ["large"]
    assert "two people" in found.held[0].why
    assert found.approvable == (first, second)
    assert found.refused == ""


@pytest.mark.parametrize("scope", ["model:large", "tier:research", "key:lab"])
def test_a_stop_that_covers_only_asl_3_models_cannot_be_lifted(scope: str) -> None:
    order = stop(scope)
    for target in (scope, order.id):
        found = plan(merged([order]), target)
        assert "ASL-3" in found.refused
        assert found.lifts == found.freed == ()
        assert [held.model for held in found.held] == ["large"]
        assert found.approvable == (order,)
        assert plan(merged([order]), target, approved=True) == ResumePlan((order.id,), ("large",), ())


def test_with_approval_everything_is_freed_also_what_was_lifted_below_asl_3_before() -> None:
    order = stop("all")
    for state in (merged([order]), merged([order, resume(order)])):
        found = plan(state, "all", approved=True)
        assert found.lifts == (order.id,)
        assert found.freed == ("demo", "large", "small")
        assert found.held == ()


def test_a_model_that_another_stop_holds_is_not_called_freed_yet_the_lift_is_allowed() -> None:
    everything, one = stop("all", 1), stop("model:demo", 2)
    found = plan(merged([everything, one]), "model:demo")
    assert found.lifts == (one.id,)
    assert found.freed == ()
    assert found.held[0].why == f"also stopped by {everything.id} (all)"
    after = merged([everything, one, resume(one)])
    assert plan(after, "all").freed == ("demo", "small")


@pytest.mark.parametrize(("scope", "other"), [("tier:general", "model:demo"), ("key:demo-app", "tier:general")])
def test_tier_and_key_stops_are_planned_for_the_models_of_that_tier(scope: str, other: str) -> None:
    order, wider = stop(scope, 1), stop(other, 2)
    assert plan(merged([order]), scope).freed == ("demo", "small")
    held = plan(merged([order, wider]), scope).held
    assert {one.model for one in held} == ({"demo"} if other == "model:demo" else {"demo", "small"})


def test_one_of_two_stops_of_a_scope_can_be_lifted_by_its_id() -> None:
    first, second = stop("model:demo", 1), stop("model:demo", 2)
    found = plan(merged([first, second]), first.id)
    assert found.lifts == (first.id,)
    assert found.freed == ()
    assert second.id in found.held[0].why


@pytest.mark.parametrize(
    ("state", "target", "why"),
    [
        (State(), "all", "no stop order"),
        (merged([stop("model:demo")]), "all", "no stop order"),
        (State(), stop().id, "no stop order"),
        (merged([stop(), resume(stop())]), stop().id, "two people"),
        (merged([stop(), resume(stop())]), "all", "two people"),
        (merged([stop("model:demo"), resume(stop("model:demo"))]), stop().id, "already lifted"),
        (merged([stop("model:demo"), resume(stop("model:demo"))]), "model:demo", "no stop order"),
        (merged([resume(stop())]), resume(stop()).id, "no stop order"),
        (merged([], [StandingStop("file:STOP", EVERYTHING, "")]), "all", "remove the file"),
        (merged([], [StandingStop("file:STOP", EVERYTHING, "")]), "file:STOP", "remove the file"),
    ],
)
def test_what_would_lift_nothing_is_refused_with_the_reason(state: State, target: str, why: str) -> None:
    found = plan(state, target)
    assert why in found.refused
    assert found.lifts == found.freed == ()


@pytest.mark.parametrize("scope", ["model:unknown", "tier:unknown", "key:unknown", "level:4", "operation:responses"])
def test_what_covers_nothing_here_can_be_lifted_all_the_same(scope: str) -> None:
    order = stop(scope)
    assert plan(merged([order]), scope) == ResumePlan((order.id,), (), ())


def test_a_file_that_stands_for_a_stop_keeps_models_held() -> None:
    order = stop("model:demo")
    found = plan(merged([order], [StandingStop("file:STOP", EVERYTHING, "")]), "model:demo")
    assert found.lifts == (order.id,)
    assert found.freed == ()
    assert "file:STOP" in found.held[0].why


def test_a_scope_that_is_none_is_an_error_that_names_the_forms() -> None:
    with pytest.raises(OrderError, match="model:<alias>"):
        plan(State(), "everything")


def test_what_was_planned_as_freed_is_free_once_ordered() -> None:
    orders = [stop("all", 1), stop("model:small", 2), stop("model:large", 3)]
    found = plan(merged(orders), "all")
    after = merged([*orders, resume(orders[0])])
    for model, asl in LEVELS.items():
        assert (after.covering(exchange(model, asl)) is None) == (model in found.freed)
