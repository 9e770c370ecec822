"""A pattern is bounded and reads alike everywhere, or it is refused with the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.classifiers.expressions import MAX_PATTERN_WIDTH, read_expression, refuse_dead
from guard.classifiers.fold import fold_all


@pytest.mark.parametrize(
    ("pattern", "width"),
    [("abc", 3), ("a{2,5}", 5), (r"\bab?\b", 2), ("a|bcd", 3), (r"\(\?x", 3), (r"\{,3\}", 4), ("[(]a", 2), ("a{3}", 3)],
)
def test_a_bounded_pattern_has_a_width(pattern: str, width: int) -> None:
    assert read_expression(pattern).width == width


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "empty"),
        ("a*", "empty"),
        ("a+", str(MAX_PATTERN_WIDTH)),
        ("(?P<n>a)", "differently"),
        ("(?i:a)", "differently"),
        (r"\N{SPACE}a", "differently"),
        ("[a[.b.]]", "differently"),
        ("[[a]]", "differently"),
        ("[a&&b]", "regular expression"),
        ("a{,2}b", "quantifier"),
        ("a{1, 2}b", "quantifier"),
        ("a{x", "quantifier"),
        ("(", "regular expression"),
        ("a{4,2}", "regular expression"),
        ("a{99999999999999999999}", "regular expression"),
        (r"\Qa\E", "regular expression"),
        ("a\nb", "control"),
        ("a\udfff", "surrogate"),
    ],
)
def test_what_is_unbounded_or_read_differently_elsewhere_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_expression(pattern)


@given(st.text(max_size=30))
def test_whatever_is_written_is_read_or_refused_with_a_reason(pattern: str) -> None:
    try:
        read = read_expression(pattern)
    except ValueError as refused:
        assert str(refused)  # noqa: PT017 - what matters is that nothing else is raised
        return
    assert 0 < read.width <= MAX_PATTERN_WIDTH


@given(st.characters(exclude_categories=["Cs"]))
def test_a_literal_is_dead_exactly_if_no_text_folds_to_it_in_either_case(character: str) -> None:
    lives = any(fold_all(f"x{each}") == f"x{each}" for each in (character.lower(), character.casefold()))
    try:
        refuse_dead(ord(character))
    except ValueError:
        assert not lives
    else:
        assert lives
