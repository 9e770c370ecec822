"""A drill's orders are known from what they say, and nothing else is ever taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.state.drilled import drilled, drills_own, forgettable
from guard.state.orders import Order, Source, issue_resume, issue_stop
from guard.state.scope import Scope

SELF_TEST = "model:guard-selftest"


def stop(number: int, scope: str = SELF_TEST, source: Source = Source.DRILL) -> Order:
    return issue_stop(
        Scope.parse(scope), reason="", who="x", source=source, now=float(number), entropy=number.to_bytes(10)
    )


def resume(number: int, *lifts: Order, source: Source = Source.DRILL) -> Order:
    ids = [each.id for each in lifts]
    return issue_resume(ids, reason="", who="x", source=source, now=float(number), entropy=number.to_bytes(10))


def by_id(*orders: Order) -> dict[str, Order]:
    return {each.id: each for each in orders}


@pytest.mark.parametrize(
    ("scope", "own"),
    [
        (SELF_TEST, True),
        ("version:guard-selftest/r0", True),
        ("tier:guard-selftest", True),
        ("key:guard-selftest", True),
        ("org:guard-selftest", True),
        ("attribute:guard-selftest=yes", True),
        ("all", False),
        ("level:1", False),
        ("operation:chat", False),
        ("capability:streaming", False),
        ("model:demo", False),
        ("model:guard-selftest2", False),
        ("version:demo/guard-selftest", False),
        ("version:guard-selftest2/a", False),
        ("attribute:region=guard-selftest", False),
    ],
)
def test_a_stop_is_a_drills_by_what_it_covers_whoever_says_that_he_gave_it(scope: str, own: bool) -> None:
    assert Scope.parse(scope).of_self_test is own
    for source in Source:
        assert drills_own(stop(1, scope, source), by_id().get) is own


def test_a_resume_that_lies_about_its_source_is_nobodys_drill() -> None:
    drill, real, gone = stop(1), stop(2, "model:demo", Source.DRILL), stop(3)
    orders = by_id(drill, real)
    assert drills_own(resume(4, drill, gone), orders.get)
    assert not drills_own(resume(4, real), orders.get)
    assert not drills_own(resume(4, drill, real), orders.get)
    assert not drills_own(resume(4, drill, source=Source.CLI), orders.get)


def test_a_drills_stop_and_the_resume_of_it_alone_are_forgotten_with_their_files() -> None:
    a, b, real = stop(1), stop(2), stop(3, "model:demo", Source.CLI)
    both, mixed, persons = resume(4, a, b), resume(5, a, real), resume(6, a, source=Source.CLI)
    orders = by_id(a, b, real, both, mixed, persons)
    assert drilled(orders) == {a.id, b.id, both.id}
    assert forgettable(orders, {a.id, real.id, mixed.id, persons.id}) == {a.id}
    assert forgettable(orders, ()) == frozenset()


def test_a_resume_whose_stop_went_before_it_is_still_a_drills() -> None:
    gone, here = stop(1), stop(2, "model:demo", Source.CLI)
    alone, real = resume(3, gone), resume(4, here)
    assert drilled(by_id(here, alone, real)) == {alone.id}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([SELF_TEST, "model:demo", "all"]), st.sampled_from(Source)), max_size=8))
def test_no_stop_of_anything_else_is_ever_forgotten(stops: list[tuple[str, Source]]) -> None:
    orders = by_id(*(stop(number, scope, source) for number, (scope, source) in enumerate(stops)))
    kept = orders.keys() - forgettable(orders, orders.keys())
    assert {orders[each].id for each in kept} == {
        each.id for each in orders.values() if str(getattr(each, "scope", "")) != SELF_TEST
    }
