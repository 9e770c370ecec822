"""The rules that an order carries: read strictly, and shown without their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.rule_text import MAX_RULES, MAX_TEXT, PushedRule, check_rules, read_rules, read_screens
from guard.state.scope import OrderError
from safeguards.category import Category
from safeguards.decision import Target

names = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
rule_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
rules = st.one_of(
    st.builds(
        lambda name, about, text: PushedRule(name, about, phrase=text), names, st.sampled_from(Category), rule_texts
    ),
    st.builds(
        lambda name, about, text: PushedRule(name, about, pattern=text), names, st.sampled_from(Category), rule_texts
    ),
)
rule_lists = st.lists(rules, min_size=1, max_size=4, unique_by=lambda rule: rule.id).map(tuple)
sides = st.sampled_from([(Target.INPUT,), (Target.OUTPUT,), tuple(Target)])
ONE = {"id": "one", "category": "cyber", "phrase": "MARKER"}


@given(rule_lists)
def test_rules_are_read_back_as_they_were_written(found: tuple[PushedRule, ...]) -> None:
    assert read_rules([each.record() for each in found]) == found


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [ONE | {"pattern": "x"}],
        [{"id": "one", "category": "cyber"}],
        [ONE | {"more": "x"}],
        [ONE | {"id": "not a name"}],
        [ONE | {"id": 7}],
        [ONE | {"category": "rumour"}],
        [ONE | {"phrase": ""}],
        [ONE | {"phrase": "x" * (MAX_TEXT + 1)}],
        [ONE | {"phrase": "\ud800"}],
        [ONE | {"phrase": None}],
        ["one"],
    ],
)
def test_what_is_no_rule_is_refused_and_its_text_is_not_quoted(value: object) -> None:
    with pytest.raises(OrderError, match=r"^rules: ") as refused:
        read_rules(value)
    assert "MARKER" not in str(refused.value)


@pytest.mark.parametrize("value", [None, "input", ["input", "both"], [1]])
def test_the_sides_are_a_closed_list(value: object) -> None:
    with pytest.raises(OrderError, match=r"^screens: "):
        read_screens(value)
    assert read_screens(["input", "output"]) == tuple(Target)


def test_how_many_rules_and_which_sides_an_order_may_have() -> None:
    def some(count: int) -> tuple[PushedRule, ...]:
        return tuple(PushedRule(f"r{number}", Category.OTHER, phrase="x") for number in range(count))

    check_rules(some(MAX_RULES), tuple(Target))
    for wrong in ((), some(MAX_RULES + 1), some(1) * 2):
        with pytest.raises(OrderError, match=r"^rules: "):
            check_rules(wrong, tuple(Target))
    for sides_of in ((), (Target.OUTPUT, Target.INPUT), (Target.INPUT,) * 2):
        with pytest.raises(OrderError, match=r"^screens: "):
            check_rules(some(1), sides_of)


def test_an_exception_that_shows_a_rule_does_not_show_its_text() -> None:
    assert repr(PushedRule("one", Category.CYBER, phrase="MARKER")) == "PushedRule('one', 'cyber')"
