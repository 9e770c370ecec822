"""Pushed rules in one process: what is in force for whom, what waits, and what refuses all that it covers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.pushed_rules import (
    FRESH_SECONDS,
    MAX_IN_FORCE,
    MAX_SECONDS,
    BadRule,
    PushedRules,
    check_usable,
    needed,
    screen_of,
)
from guard.state.merge import State
from guard.state.orders import Order, RuleOrder
from guard.state.rule_text import PushedRule
from guard.state.served import Served, ServedModel
from safeguards.category import Category
from safeguards.decision import Target, Unavailable
from safeguards.ports import Screen
from safeguards.rapid_response import RapidResponse
from safeguards.verdict import PASS
from tests.guard.state.parts import exchange, merged, resume, rule, stop

SERVED = Served({"demo": ServedModel(2), "large": ServedModel(3, "2026-10")}, {}, {})
TYPO = PushedRule("typo", Category.OTHER, pattern="FORBIDDEN-(MARKER")
SCOPES = ["all", "level:1", "level:3", "model:demo", "model:large", "model:gone", "version:large/2026-10"]
RULES = [rule(scope, number) for number, scope in enumerate(SCOPES, 1)]


def following(state: State, served: Served = SERVED, now: float = 0.0) -> PushedRules:
    """The rules of a process that has compiled whatever it had to."""
    pushed = PushedRules(served, lambda: now)
    pushed.follow(state)
    pushed.take({order: screen_of(order) for order in pushed.lacking})
    pushed.follow(state)
    return pushed


def orders_on(pushed: PushedRules, model: str, asl: int, release: str = "") -> list[str]:
    return [screen.order for screen in pushed.covering(replace(exchange(model, asl), release=release))]


def test_a_rule_is_in_force_once_it_is_compiled_and_not_before() -> None:
    order = rule("model:demo")
    pushed = PushedRules(SERVED, lambda: order.created + FRESH_SECONDS)
    pushed.follow(merged([order]))
    assert (pushed.lacking, pushed.any, pushed.count) == ((order,), False, 0)
    assert not pushed.enforces(order.id)
    assert pushed.covering(exchange()) == ()
    pushed.take({order: screen_of(order)})
    pushed.follow(merged([order]))
    assert (pushed.lacking, pushed.any, pushed.count) == ((), True, 1)
    assert pushed.enforces(order.id)
    (screen,) = pushed.covering(exchange())
    assert screen.classifier is not None
    assert screen.classifier.judge(["a forbidden-marker"]) is not None
    assert pushed.covering(exchange()) is pushed.covering(exchange())
    assert pushed.covering(exchange("large", 3)) == ()


@given(st.lists(st.sampled_from(RULES), max_size=7, unique=True), st.lists(st.sampled_from(RULES), max_size=3))
def test_exactly_the_rules_that_no_resume_names_cover_what_their_scope_says(
    pushed: list[RuleOrder], lifted: list[RuleOrder]
) -> None:
    history: list[Order] = [*pushed, *([resume(*lifted)] if lifted else [])]
    found = following(merged(history))
    gone = {order.id for order in lifted}
    covers_demo, covers_large = {"all", "level:1", "model:demo"}, {*SCOPES} - {"model:demo", "model:gone"}
    below = sorted(each.id for each in pushed if str(each.scope) in covers_demo and each.id not in gone)
    strict = sorted(each.id for each in pushed if str(each.scope) in covers_large)
    assert orders_on(found, "demo", 2) == below
    assert orders_on(found, "large", 3, "2026-10") == strict
    assert found.any is bool(below or strict)
    assert found.count == len({*below, *strict})
    assert all(found.enforces(each.id) for each in pushed)


def test_a_rule_that_came_late_refuses_what_it_covers_until_it_is_compiled() -> None:
    order, now = rule("model:demo"), [0.0]
    now[0] = order.created + FRESH_SECONDS + 1
    state, pushed = merged([order]), PushedRules(SERVED, lambda: now[0])
    pushed.follow(state)
    assert (pushed.lacking, pushed.any, pushed.count, pushed.late, pushed.faults) == ((order,), True, 0, 1, {})
    assert not pushed.enforces(order.id)
    with pytest.raises(Unavailable, match="not compiled yet"):
        RapidResponse(pushed).admit(exchange())
    assert pushed.covering(exchange("large", 3)) == ()
    pushed.take({order: screen_of(order)})
    pushed.follow(state)
    assert (pushed.lacking, pushed.late, pushed.count) == ((), 0, 1)
    assert RapidResponse(pushed).admit(exchange()) == PASS


def test_a_rule_that_takes_long_to_compile_refuses_once_it_is_old() -> None:
    order, now = rule("model:demo"), [0.0]
    now[0] = order.created
    state, pushed = merged([order]), PushedRules(SERVED, lambda: now[0])
    pushed.follow(state)
    assert not pushed.overdue()
    now[0] += FRESH_SECONDS + 1
    assert pushed.overdue()
    pushed.follow(state)
    assert not pushed.overdue()
    now[0] = order.created
    pushed.follow(state)
    assert pushed.late == 1


def test_what_another_model_answers_is_screened_by_the_rules_of_the_model_that_was_asked() -> None:
    large, version, demo = rule("model:large", 1), rule("version:large/2026-10", 2), rule("model:demo", 3)
    pushed = following(merged([large, version, demo]))
    assert orders_on(pushed, "demo", 2) == [demo.id]
    found = pushed.covering(replace(exchange(), asked="large"))
    assert [screen.order for screen in found] == [large.id, version.id, demo.id]
    assert [screen.order for screen in pushed.covering(replace(exchange("large", 3), asked="demo"))] == [
        large.id,
        demo.id,
    ]


def test_what_covers_nothing_that_is_served_or_was_lifted_is_not_compiled() -> None:
    gone, lifted, held = rule("model:gone", 1), rule("model:demo", 2), rule("all", 3)
    state = merged([gone, lifted, held, resume(lifted)])
    assert needed(state, SERVED) == (held,)
    pushed = PushedRules(SERVED)
    pushed.follow(state)
    assert pushed.lacking == (held,)
    assert pushed.lacking_for(state, Served({"gone": ServedModel(2)}, {}, {})) == (gone, held)


def test_a_rule_for_a_model_that_the_next_policy_serves_is_there_with_it() -> None:
    order = rule("model:gone")
    state, served = merged([order]), Served({"gone": ServedModel(2)}, {}, {})
    pushed = following(state)
    assert orders_on(pushed, "gone", 2) == []
    pushed.take({each: screen_of(each) for each in pushed.lacking_for(state, served)})
    pushed.follow(state, served)
    assert pushed.lacking == ()
    assert orders_on(pushed, "gone", 2) == [order.id]


def test_a_rule_that_cannot_be_compiled_covers_without_a_classifier_and_says_why_without_its_text() -> None:
    order, sound = rule("model:demo", 1, TYPO), rule("all", 2)
    pushed = following(merged([order, sound]))
    first, second = pushed.covering(exchange())
    assert first.classifier is None
    assert second.classifier is not None
    assert pushed.faults == {order.id: "rule typo: the pattern is not a regular expression"}
    assert (pushed.count, pushed.enforces(order.id), pushed.enforces(sound.id)) == (1, False, True)
    assert "MARKER" not in str(pushed.faults)
    pushed.follow(merged([order, sound, resume(order)]))
    assert pushed.faults == {}
    assert pushed.enforces(order.id)


def test_rules_that_take_long_to_compile_are_refused_where_they_are_given() -> None:
    check_usable(rule("all"), iter([1.0, 1.0 + MAX_SECONDS]).__next__)
    with pytest.raises(BadRule, match=r"0\.6 s to compile, at most 0\.5"):
        check_usable(rule("all"), iter([1.0, 1.1 + MAX_SECONDS]).__next__)
    with pytest.raises(BadRule, match="typo"):
        check_usable(rule("all", 1, TYPO))


def test_whatever_goes_wrong_with_the_engine_is_a_fault_and_no_exception() -> None:
    def exhausted(_: RuleOrder) -> object:
        raise MemoryError("FORBIDDEN-MARKER")

    found = screen_of(rule("all"), exhausted)  # type: ignore[arg-type]
    assert found == Screen(rule("all").id, True, True, None, "its rules could not be compiled (MemoryError)")


def test_more_rules_than_may_be_in_force_refuse_what_they_cover_until_others_are_lifted() -> None:
    many = [rule("model:demo", number) for number in range(1, MAX_IN_FORCE + 3)]
    pushed = following(merged(many), now=many[0].created)
    assert pushed.count == MAX_IN_FORCE
    assert set(pushed.faults) == {each.id for each in many[MAX_IN_FORCE:]}
    assert pushed.covering(exchange())[-1].classifier is None
    state = merged([*many, resume(*many[:2])])
    pushed.follow(state)
    assert (len(pushed.covering(exchange())), pushed.late) == (MAX_IN_FORCE, 2)
    pushed.take({order: screen_of(order) for order in pushed.lacking})
    pushed.follow(state)
    assert (pushed.count, pushed.faults) == (MAX_IN_FORCE, {})


@pytest.mark.parametrize("sides", [(Target.INPUT,), (Target.OUTPUT,), tuple(Target)])
def test_a_rule_screens_the_sides_that_its_order_names(sides: tuple[Target, ...]) -> None:
    found = screen_of(replace(rule("all"), screens=sides))
    assert (found.input, found.output) == (Target.INPUT in sides, Target.OUTPUT in sides)


def test_a_stop_is_no_rule() -> None:
    assert not following(merged([stop("all")])).any
