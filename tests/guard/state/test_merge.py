"""The merge: a union that nothing but a resume of the very stop undoes, and at ASL-3 only an approved one.

One file, because its properties are about the same histories.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.merge import Judged, StandingStop, State
from guard.state.orders import Order, ResumeOrder, RuleOrder, StopOrder
from guard.state.scope import EVERYTHING, Scope
from guard.state.shown import Liftable, Shown
from safeguards.exchange import Exchange
from safeguards.mode import Mode, cuts, refuses, routes
from safeguards.ports import Stop
from tests.guard.state.parts import exchange, merged, resume, rule, stop

DAY = 1_700_000_001.0 // 86_400 * 86_400  # on which the orders of these tests are given
SCOPES = ["all", "level:2", "level:3", "model:demo", "model:other", "tier:general", "key:demo-app", "key:other"]
SCOPES += ["org:demo", "org:other", "operation:chat", "operation:messages"]
POOL: list[Liftable] = [stop(scope, number) for number, scope in enumerate(SCOPES * 2, start=1)]
POOL += [rule(scope, number) for number, scope in enumerate(["all", "level:3", "model:demo"], start=1)]
pool_stops = st.lists(st.sampled_from(POOL), max_size=12)
pool_resumes = st.lists(st.lists(st.sampled_from(POOL), min_size=1, max_size=4), max_size=4).map(
    lambda groups: [resume(*group, number=900 + at) for at, group in enumerate(groups)]
)


@st.composite
def histories(draw: st.DrawFn) -> list[Order]:
    orders: list[Order] = [*draw(pool_stops), *draw(pool_resumes)]
    return draw(st.permutations(orders))


def covers(scope: Scope, asl: int, model: str, tier: str, key: str) -> bool:
    levels = {f"level:{level}" for level in range(1, asl + 1)}
    return str(scope) in {"all", "org:demo", "operation:chat", f"model:{model}", f"tier:{tier}", f"key:{key}"} | levels


@given(histories(), st.data())
def test_any_order_and_any_repetition_of_files_mean_the_same(history: list[Order], data: st.DataObject) -> None:
    again = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history))) if history else history))
    cut = data.draw(st.integers(0, len(again)))
    union = merged(again[:cut]).merge(merged(again[cut:]))
    assert merged(again) == merged(history) == union
    for asl in (2, 3):
        assert merged(again).still_held(asl) == merged(history).still_held(asl) == union.still_held(asl)
        assert merged(again).rules_held(asl) == merged(history).rules_held(asl) == union.rules_held(asl)
        assert merged(again).covering(exchange(asl=asl)) == merged(history).covering(exchange(asl=asl))


@given(
    histories(),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from(["demo", "other", "third"]),
    st.sampled_from(["general", "research"]),
    st.sampled_from(["demo-app", "other", "third"]),
)
def test_exactly_the_stops_that_no_resume_names_hold_and_the_lowest_id_answers(
    history: list[Order], asl: int, model: str, tier: str, key: str
) -> None:
    lifted = {one for order in history if isinstance(order, ResumeOrder) for one in order.lifts} if asl < 3 else set()
    expected = sorted(
        (order.id, str(order.scope), order.reason)
        for order in history
        if isinstance(order, StopOrder) and order.id not in lifted and covers(order.scope, asl, model, tier, key)
    )
    state = merged(history)
    found = state.covering(exchange(model, asl, tier, key))
    assert found == (Stop(*expected[0]) if expected else None)
    assert state.holding(asl, exchange(model, asl, tier, key).scopes) == found


@given(histories(), histories())
def test_more_stops_never_free_anything(history: list[Order], more: list[Order]) -> None:
    added = [order for order in more if isinstance(order, StopOrder)]
    before, after = merged(history), merged([*history, *added])
    for asl in (2, 3):
        assert set(before.still_held(asl)) <= set(after.still_held(asl))


@given(histories(), histories())
def test_more_rules_never_free_anything_and_a_rule_ends_by_a_resume_that_names_it_alone(
    history: list[Order], more: list[Order]
) -> None:
    added = [order for order in more if isinstance(order, RuleOrder)]
    before, after = merged(history), merged([*history, *added])
    named = {one for order in history if isinstance(order, ResumeOrder) for one in order.lifts}
    for asl in (2, 3):
        assert before.still_held(asl) == after.still_held(asl)
        assert set(before.rules_held(asl)) <= set(after.rules_held(asl))
    assert {order.id for order in before.rules_held(2)} == {order.id for order in before.rules} - named
    assert set(before.rules_held(3)) == before.rules


def test_an_approved_resume_lifts_exactly_the_rule_that_was_approved() -> None:
    order, later = rule("all"), rule("all", 2)
    found = Judged(resume(order), below=True, approved=frozenset({Shown.of(order)}))
    state = State(resumes=frozenset({found}), rules=frozenset({order, later}))
    assert state.rules_held(3) == state.rules_held(0) == (later,)
    changed = replace(order, reason="another")
    assert State(resumes=frozenset({found}), rules=frozenset({changed})).rules_held(3) == (changed,)
    assert state.ids == {order.id, later.id, found.order.id}


def test_a_resume_does_not_lift_a_later_stop_of_the_same_scope() -> None:
    first, second = stop("model:demo", 1), stop("model:demo", 2)
    state = merged([resume(first), first, second])
    found = state.covering(exchange())
    assert found is not None
    assert found.order == second.id


def test_a_resume_read_before_its_stop_lifts_it_all_the_same() -> None:
    first = stop("all")
    assert merged([resume(first)]).merge(merged([first])).covering(exchange()) is None


@pytest.mark.parametrize("scope", ["all", "model:demo", "tier:general", "key:demo-app"])
def test_no_resume_brings_an_asl_3_model_back(scope: str) -> None:
    order = stop(scope)
    state = merged([order, resume(order)])
    assert state.covering(exchange(asl=2)) is None
    for asl in (3, 4, 99):
        found = state.covering(exchange(asl=asl))
        assert found is not None
        assert found.order == order.id


def test_what_is_lifted_and_what_is_still_held_can_be_told_apart() -> None:
    first, second = stop("model:demo", 1), stop("all", 2)
    state = merged([first, second, resume(first)])
    assert state.still_held(2) == (second,)
    assert state.still_held(3) == (first, second)
    assert state.ids == {first.id, second.id, resume(first).id}


def test_two_stops_under_one_id_both_hold() -> None:
    first = stop("model:demo")
    second = StopOrder(first.id, Scope.parse("model:other"), first.reason, first.who, first.source, first.created)
    state = merged([first, second])
    assert state.covering(exchange("demo")) is not None
    assert state.covering(exchange("other")) is not None


def test_a_stop_that_a_file_stands_for_holds_at_every_level_and_answers_after_the_orders() -> None:
    standing = StandingStop("file:STOP", EVERYTHING, "the file orders/STOP is there")
    state = merged([], [standing])
    for asl in (1, 3):
        assert state.covering(exchange(asl=asl)) == Stop("file:STOP", "all", standing.reason)
    order = stop("key:demo-app")
    found = merged([order], [standing]).covering(exchange())
    assert found is not None
    assert found.order == order.id


def test_nothing_ordered_stops_nothing() -> None:
    assert State().covering(exchange(asl=4)) is None


def test_a_drain_refuses_what_is_new_and_ends_nothing() -> None:
    order = replace(stop("model:demo"), mode=Mode.DRAIN)
    for asl in (2, 3):
        state = merged([order])
        found = state.covering(exchange(asl=asl))
        assert found is not None
        assert found.order == order.id
        assert state.cutting(exchange(asl=asl)) is None


def test_a_quarantine_refuses_and_ends_all_but_what_investigators_ask() -> None:
    order = replace(stop("model:demo"), mode=Mode.QUARANTINE)
    for asl in (2, 3):
        state, anyone = merged([order]), exchange(asl=asl)
        investigator = replace(anyone, caller=replace(anyone.caller, investigator=True))
        assert state.covering(anyone) is not None
        assert state.cutting(anyone) is not None
        assert state.covering(investigator) is None
        assert state.cutting(investigator) is None


def of_mode(mode: Mode, number: int = 1, scope: str = "model:demo") -> StopOrder:
    return replace(stop(scope, number), mode=mode)


RUNG_SETS = st.frozensets(st.sampled_from([Mode.STRICTER, Mode.FALLBACK, Mode.DE_DEPLOYED]))
MODED = [
    of_mode(mode, number, scope)
    for number, (mode, scope) in enumerate(itertools.product(Mode, ["all", "level:2", "model:demo", "model:other"]), 1)
]


@st.composite
def asked(draw: st.DrawFn) -> Exchange:
    made = exchange(draw(st.sampled_from(["demo", "other", "third"])), draw(st.sampled_from([2, 3])))
    issued = draw(st.sampled_from([0.0, DAY - 86_400.0, DAY, DAY + 86_400.0, math.inf]))
    caller = replace(made.caller, issued=issued, investigator=draw(st.booleans()))
    return replace(made, caller=caller, rungs=draw(RUNG_SETS), fallback_for=draw(st.frozensets(st.just("cbrn"))))


def rank(found: Stop | None) -> int:
    return 0 if found is None else 1


@given(st.lists(st.sampled_from(MODED), max_size=6), st.lists(st.sampled_from(MODED), max_size=6), asked(), st.data())
def test_modes_merge_the_same_in_any_order_and_a_further_order_never_allows_more(
    some: list[StopOrder], more: list[StopOrder], one: Exchange, data: st.DataObject
) -> None:
    before, after = merged(some), merged([*some, *more])
    again = merged(data.draw(st.permutations([*some, *more])))
    for ask in (State.covering, State.cutting, State.detour, State.diverts, State.tightens):
        assert ask(after, one) == ask(again, one) == ask(before.merge(merged(more)), one)
    for ask in (State.covering, State.cutting, State.diverts, State.tightens):
        assert rank(ask(before, one)) <= rank(ask(after, one))
    # Another model answers only what this one refuses, and where some order refuses for good none does.
    if after.detour(one) is not None:
        assert after.covering(one) is not None
        assert before.covering(one) is None or before.detour(one) is not None


@given(st.lists(st.sampled_from(MODED), max_size=6), asked())
def test_each_question_is_answered_by_what_each_mode_means(held: list[StopOrder], one: Exchange) -> None:
    state = merged(held)
    over = [order for order in held if str(order.scope) in one.scopes]
    late = {order.id for order in over if order.mode is Mode.NO_NEW_PRINCIPALS and one.caller.issued >= DAY}
    refusing = {order.id for order in over if refuses(order.mode, one.case)}
    assert (state.covering(one) is None) is (not late | refusing)
    assert (state.cutting(one) is None) is (not any(cuts(order.mode, one.case) for order in over))
    assert (state.tightens(one) is None) is (not any(order.mode is Mode.STRICTER for order in over))
    fallen = any(order.mode is Mode.FALLBACK for order in over)
    assert (state.diverts(one) is None) is (not (fallen and one.fallback_for))
    routed = {order.id for order in over if routes(order.mode, one.case)}
    assert (state.detour(one) is not None) is (bool(routed) and refusing == routed and not late)


def test_a_key_of_the_orders_own_day_counts_as_new() -> None:
    state = merged([of_mode(Mode.NO_NEW_PRINCIPALS)])
    anyone = exchange()
    for issued, refused in ((DAY - 86_400.0, False), (DAY, True), (DAY + 86_400.0, True), (math.inf, True)):
        one = replace(anyone, caller=replace(anyone.caller, issued=issued))
        assert (state.covering(one) is not None) is refused
        assert state.cutting(one) is None


def test_the_first_of_two_closings_counts() -> None:
    late = replace(of_mode(Mode.NO_NEW_PRINCIPALS, 1), created=DAY + 10 * 86_400.0)
    early = of_mode(Mode.NO_NEW_PRINCIPALS, 2)
    anyone = exchange()
    found = merged([late, early]).covering(replace(anyone, caller=replace(anyone.caller, issued=DAY)))
    assert found is not None
    assert (found.order, found.mode) == (early.id, Mode.NO_NEW_PRINCIPALS)


def test_a_withdrawn_model_is_told_apart_from_a_stopped_one() -> None:
    state = merged([of_mode(Mode.STOP, 1), of_mode(Mode.DE_DEPLOYED, 2, "model:other")])
    for asl in (2, 3):
        assert state.withdrawn(asl, exchange("demo", asl).scopes) is None
        found = state.withdrawn(asl, exchange("other", asl).scopes)
        assert found is not None
        assert found.mode is Mode.DE_DEPLOYED


def test_a_withdrawn_model_goes_to_its_replacement_also_beside_a_fallback() -> None:
    one = replace(exchange(), rungs=frozenset({Mode.FALLBACK, Mode.DE_DEPLOYED}))
    found = merged([of_mode(Mode.FALLBACK, 1), of_mode(Mode.DE_DEPLOYED, 2)]).detour(one)
    assert found is not None
    assert found.mode is Mode.DE_DEPLOYED


@pytest.mark.parametrize("mode", [Mode.DRAIN, Mode.QUARANTINE])
def test_beside_a_stop_no_gentler_mode_counts(mode: Mode) -> None:
    gentle = replace(stop("model:demo", 1), mode=mode)
    hard = stop("level:1", 2)
    anyone = exchange()
    investigator = replace(anyone, caller=replace(anyone.caller, investigator=True))
    state = merged([gentle, hard])
    for each in (anyone, investigator):
        found = state.cutting(each)
        assert found is not None
        assert found.order in {gentle.id, hard.id}
    assert merged([gentle, hard, resume(gentle)]).cutting(investigator) == Stop(hard.id, "level:1", hard.reason)


def test_a_file_cuts_whoever_asks() -> None:
    state = merged([], [StandingStop("file:STOP", EVERYTHING, "")])
    anyone = exchange()
    assert state.cutting(replace(anyone, caller=replace(anyone.caller, investigator=True))) is not None


def test_an_approved_resume_lifts_at_every_level_exactly_the_stop_that_was_approved() -> None:
    order = stop("all")
    found = Judged(resume(order), below=True, approved=frozenset({Shown.of(order)}), people=("a", "b"))
    state = State(frozenset({order}), frozenset({found}))
    assert state.covering(exchange(asl=4)) is None
    assert state.still_held(3) == ()
    other = replace(order, scope=Scope.parse("model:demo"))
    assert State(frozenset({other}), frozenset({found})).covering(exchange(asl=4)) is not None
    later = stop("all", 2)
    both = State(frozenset({order, later}), frozenset({found})).covering(exchange(asl=4))
    assert both is not None
    assert both.order == later.id


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ({"scope": "model:demo"}, "this order is of all, not of 'model:demo'"),
        ({"mode": "drain"}, "this order is a stop by ana, and something else was shown"),
        ({"who": "ben"}, "this order is a stop by ana, and something else was shown"),
        ({"mode": ""}, "this order is a stop by ana, and something else was shown"),
        ({"sha256": "0" * 64}, "this order is another than the one that was approved"),
    ],
)
def test_an_approval_that_showed_people_something_else_lifts_nothing_from_asl_3_on_and_is_told(
    shown: dict[str, str], why: str
) -> None:
    order = stop("all")
    found = Judged(resume(order), below=True, approved=frozenset({replace(Shown.of(order), **shown)}))
    state = State(frozenset({order}), frozenset({found}))
    assert state.covering(exchange(asl=3)) is not None
    assert state.covering(exchange(asl=2)) is None  # which takes nobody's approval
    told = State.of([order, found.order], lambda _: found)
    assert told.uncounted()[found.order.id].startswith(f"{order.id}: {why}")
    assert told.covering(exchange(asl=3)) is not None


def test_a_resume_that_counts_for_nothing_lifts_nothing_and_is_told() -> None:
    order = stop("all")
    found = Judged(resume(order), below=False, why="it is not signed")
    state = State(frozenset({order}), frozenset({found}))
    assert state.covering(exchange(asl=1)) is not None
    assert state.uncounted() == {found.order.id: "it is not signed"}
