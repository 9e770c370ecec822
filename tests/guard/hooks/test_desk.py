"""What signals do: one stop for each occurrence, within the hook's bounds, and nothing that loosens."""

from __future__ import annotations

import errno
import os

import pytest

from guard.hooks.desk import MAX_REMEMBERED, MAX_STANDING, Act, Desk, Result
from guard.hooks.hook import Hook
from guard.hooks.signal import Signal
from guard.state.orders import Source, StopOrder, issue_resume
from tests.guard.hooks.deliveries import NOW, Orders, hook

ONE = hook("alertmanager", field="guard_scope", scopes=("model:demo", "all"), values={"everything": "all"})
FIXED = hook("alertmanager")


def firing(identity: str = "f1 since", named: str | None = "model:demo") -> Signal:
    return Signal(identity, True, named, "words", "firing")


def lift(orders: Orders) -> None:
    """As a person who resumes everything."""
    ids = [stop.id for stop in orders.stops]
    orders.lifts.append(issue_resume(ids, reason="over", who="ana", source=Source.CLI, now=NOW, entropy=os.urandom(10)))


def results(acts: list[Act]) -> list[Result]:
    return [act.result for act in acts]


def desk(orders: Orders) -> Desk:
    """As after a start: it remembers nothing."""
    return Desk(orders, os.urandom)


def test_a_firing_alert_stops_its_scope_in_the_hooks_name() -> None:
    orders = Orders()
    (act,) = desk(orders).act(ONE, [firing()])
    (stop,) = orders.stops
    assert act == Act(Result.STOPPED, "model:demo", "words", stop.id)
    assert (str(stop.scope), stop.who, stop.reason, stop.source) == (
        "model:demo",
        "hook:test",
        "words",
        Source.WEBHOOK,
    )


def test_the_same_alert_again_adds_nothing_whether_its_stop_is_in_force_or_lifted() -> None:
    orders = Orders()
    one = desk(orders)
    assert results(one.act(ONE, [firing(), firing()])) == [Result.STOPPED, Result.REPEATED]
    assert results(one.act(ONE, [firing()])) == [Result.REPEATED]
    lift(orders)
    assert results(one.act(ONE, [firing()])) == [Result.REPEATED]
    assert len(orders.stops) == 1


def test_another_process_and_another_replica_know_what_was_acted_on_from_the_orders_alone() -> None:
    orders = Orders()
    desk(orders).act(ONE, [firing()])
    assert results(desk(orders).act(ONE, [firing()])) == [Result.REPEATED]
    lift(orders)
    orders.now += 86_400
    assert results(desk(orders).act(ONE, [firing()])) == [Result.REPEATED]


def test_an_alert_that_fires_anew_stops_again() -> None:
    orders = Orders()
    one = desk(orders)
    one.act(ONE, [firing("f1 monday")])
    # In force still: it is a stop of its own, so that lifting the first does not lift it.
    assert results(one.act(ONE, [firing("f1 tuesday")])) == [Result.STOPPED]
    lift(orders)
    assert results(one.act(ONE, [firing("f1 wednesday")])) == [Result.STOPPED]
    assert len(orders.stops) == 3


def test_the_same_alert_for_another_scope_or_hook_is_another_occurrence() -> None:
    orders = Orders()
    one = desk(orders)
    other = hook("alertmanager", name="other", field="guard_scope")
    one.act(ONE, [firing()])
    assert results(one.act(ONE, [firing(named="all")])) == [Result.STOPPED]
    assert results(one.act(other, [firing()])) == [Result.STOPPED]
    assert [stop.who for stop in orders.stops] == ["hook:test", "hook:test", "hook:other"]


def test_a_persons_stop_is_not_taken_for_the_hooks() -> None:
    orders = Orders()
    desk(orders).act(ONE, [firing()])
    (stop,) = orders.stops
    for who, source in (("ana", Source.WEBHOOK), ("hook:test", Source.CLI)):
        orders.stops[:] = [StopOrder(stop.id, stop.scope, "", who, source, NOW)]
        assert results(desk(orders).act(ONE, [firing()])) == [Result.STOPPED]


@pytest.mark.parametrize(
    ("one", "named", "scope"),
    [
        (ONE, "all", "all"),
        (ONE, "everything", "all"),
        (ONE, "model:other", None),
        (ONE, "tier:general", None),
        (ONE, "ALL", None),
        (ONE, "", None),
        (FIXED, None, "model:demo"),
        (hook("alertmanager", field="s", scopes=("model:demo", "all"), default="all"), None, "all"),
        (hook("alertmanager", field="s", scopes=("model:demo", "all"), default="all"), "model:x", None),
        (hook("slack", scopes=("model:demo", "all")), "all", "all"),
        (hook("slack"), None, "model:demo"),
    ],
)
def test_a_message_only_chooses_among_the_hooks_scopes(one: Hook, named: str | None, scope: str | None) -> None:
    orders = Orders()
    (act,) = desk(orders).act(one, [firing(named=named)])
    assert act.result is (Result.UNBOUND if scope is None else Result.STOPPED)
    assert [str(stop.scope) for stop in orders.stops] == ([] if scope is None else [scope])
    if scope is None:
        assert "it may stop: " in act.words


def test_without_a_scope_and_a_default_nothing_is_done_and_it_is_said() -> None:
    orders = Orders()
    for one in (ONE, hook("slack", scopes=("model:demo", "all"))):
        (act,) = desk(orders).act(one, [firing(named=None)])
        assert act.result is Result.IGNORED
        assert "it says no scope" in act.words
    assert orders.stops == []


def test_what_does_not_fire_changes_nothing_not_even_a_stop_of_its_own() -> None:
    orders = Orders()
    one = desk(orders)
    one.act(ONE, [firing()])
    before = orders.state()
    signals = [
        Signal("f1 since", False, "model:demo", "", event) for event in ("resolved", "incident.resolved", "ping")
    ]
    assert results(one.act(ONE, signals)) == [Result.RESOLVED, Result.RESOLVED, Result.IGNORED]
    assert orders.state() == before


def test_one_signal_that_was_not_understood_is_told_among_the_others() -> None:
    orders = Orders()
    acts = desk(orders).act(ONE, [Signal("", False, None, "", wrong="alerts[0]: must be an object"), firing()])
    assert results(acts) == [Result.MALFORMED, Result.STOPPED]
    assert acts[0].words == "alerts[0]: must be an object"


def test_a_storm_of_alerts_is_a_bounded_number_of_orders_and_what_was_left_out_can_still_stop() -> None:
    orders = Orders()
    storm = [firing(f"f{index} since") for index in range(MAX_STANDING + 5)]
    one = desk(orders)
    found = results(one.act(ONE, storm))
    assert found == [Result.STOPPED] * MAX_STANDING + [Result.COVERED] * 5
    assert results(one.act(ONE, [storm[-1], firing("x", "all")])) == [Result.COVERED, Result.STOPPED]
    lift(orders)
    assert results(one.act(ONE, storm)) == [Result.REPEATED] * MAX_STANDING + [Result.STOPPED] * 5


def test_an_order_that_cannot_be_written_is_told_and_tried_again() -> None:
    orders = Orders(broken=OSError(errno.ENOSPC, "No space left on device"))
    one = desk(orders)
    (act,) = one.act(ONE, [firing()])
    assert (act.result, act.words) == (Result.FAILED, "the order could not be written: No space left on device")
    orders.broken = None
    assert results(one.act(ONE, [firing()])) == [Result.STOPPED]


def test_a_scope_that_no_longer_exists_is_out_of_bounds() -> None:
    orders = Orders(broken=ValueError("there is no model of that name"))
    (act,) = desk(orders).act(ONE, [firing()])
    assert (act.result, act.words) == (Result.UNBOUND, "there is no model of that name")


def test_where_the_orders_cannot_be_read_it_is_stopped() -> None:
    orders = Orders()
    desk(orders).act(ONE, [firing()])
    orders.unreadable = True
    assert results(desk(orders).act(ONE, [firing()])) == [Result.STOPPED]


def test_a_repetition_costs_no_look_and_the_memory_is_bounded() -> None:
    orders = Orders()
    one = desk(orders)
    one.act(ONE, [firing()])
    assert orders.looks == 1
    one.act(ONE, [firing()] * 100)
    assert orders.looks == 1
    for index in range(MAX_REMEMBERED + 10):
        one._remember(str(index))
    assert len(one._remembered) == MAX_REMEMBERED
    # What is forgotten is found in the orders.
    assert results(one.act(ONE, [firing()])) == [Result.REPEATED]
