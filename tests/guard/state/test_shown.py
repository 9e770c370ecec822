"""What people are shown of an order whose lifting they approve; tests/guard/state/test_merge.py has what it lifts."""

from __future__ import annotations

from dataclasses import replace

from guard.state.merge import Judged, State
from guard.state.shown import Shown
from tests.guard.state.parts import exchange, resume, rule, stop


def test_what_is_shown_truly_has_nothing_wrong() -> None:
    for order in (stop("all"), rule("model:demo")):
        assert Shown.of(order).wrong_of(order) == ""


def test_a_statement_of_version_1_shows_the_scope_alone() -> None:
    order = stop("all")
    first = replace(Shown.of(order), mode="", who="")
    found = Judged(resume(order), below=True, approved=frozenset({first}))
    assert State(frozenset({order}), frozenset({found})).covering(exchange(asl=3)) is None
    assert replace(first, scope="model:demo").wrong_of(order)


def test_what_a_rule_is_shown_as_is_no_stop_of_its_scope() -> None:
    shown = Shown.of(rule("all"))
    assert (shown.scope, shown.mode) == ("rule on all", "rule")
    assert shown.wrong_of(stop("all"))
