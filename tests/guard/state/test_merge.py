"""The merge: a union that nothing but a resume of the very stop undoes, and at ASL-3 only an approved one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.merge import Judged, StandingStop, State, fingerprint
from guard.state.orders import Mode, Order, ResumeOrder, StopOrder
from guard.state.scope import EVERYTHING, Scope
from safeguards.ports import Stop
from tests.guard.state.parts import exchange, merged, resume, stop

SCOPES = ["all", "level:2", "level:3", "model:demo", "model:other", "tier:general", "key:demo-app", "key:other"]
SCOPES += ["org:demo", "org:other", "operation:chat", "operation:messages"]
POOL = [stop(scope, number) for number, scope in enumerate(SCOPES * 2, start=1)]
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
    assert state.lifted_for(2) == (first,)
    assert state.lifted_for(3) == ()
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
    found = Judged(resume(order), below=True, approved=frozenset({(order.id, fingerprint(order))}), people=("a", "b"))
    state = State(frozenset({order}), frozenset({found}))
    assert state.covering(exchange(asl=4)) is None
    assert state.lifted_for(3) == (order,)
    other = replace(order, scope=Scope.parse("model:demo"))
    assert State(frozenset({other}), frozenset({found})).covering(exchange(asl=4)) is not None
    later = stop("all", 2)
    both = State(frozenset({order, later}), frozenset({found})).covering(exchange(asl=4))
    assert both is not None
    assert both.order == later.id


def test_a_resume_that_counts_for_nothing_lifts_nothing_and_is_told() -> None:
    order = stop("all")
    found = Judged(resume(order), below=False, why="it is not signed")
    state = State(frozenset({order}), frozenset({found}))
    assert state.covering(exchange(asl=1)) is not None
    assert state.uncounted() == {found.order.id: "it is not signed"}
