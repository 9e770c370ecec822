"""The position automaton follows every beginning of every match, within its bound."""

from __future__ import annotations

import pytest

from guard.classifiers.expressions import read_expression
from guard.classifiers.positions import MAX_POSITIONS, Positions, places


def follows(pattern: str, text: str) -> bool:
    """Tell whether the text may be the beginning of a match, by walking sets of positions."""
    positions = Positions()
    assert positions.add(read_expression(pattern))
    alive = positions.first
    for index, character in enumerate(text):
        if index:
            following = 0
            for place in places(alive):
                following |= positions.follow[place]
            alive = following
        alive &= positions.passing(character)
    return bool(alive)


@pytest.mark.parametrize(
    ("pattern", "begins", "other"),
    [
        ("abc", "ab", "b"),
        ("a(b|cd)e", "acde", "ace"),
        ("a{2,3}b", "aaab", "aaaa"),
        ("a{2}b", "aab", "ab"),
        ("(?:ab){1,2}?c", "ababc", "aba" + "c"),
        ("ab?c", "ac", "abb"),
        (r"x\d\w", "x1a", "xa"),
        (r"x\sy", "x y", "xy"),
        ("x[^a]y", "xby", "xay"),
        ("x[A-C]", "xb", "xd"),
        ("AB", "ab", "ba"),
        (r"\bx\B[y]$", "xy", "yx"),
        (r"x\W", "x-", "xa"),
        (r"x\Dy", "xay", "x1y"),
        (r"x\Sy", "xay", "x y"),
        ("x(?:(?:a|b)|(?:c))y", "xcy", "xdy"),
        (r"x(?:\b){0,3}y", "xy", "xx"),
    ],
)
def test_beginnings_are_followed_and_other_texts_are_not(pattern: str, begins: str, other: str) -> None:
    for end in range(1, len(begins) + 1):
        assert follows(pattern, begins[:end])
    assert not follows(pattern, other)


def test_a_character_passes_if_either_reading_of_a_class_takes_it() -> None:
    assert follows(r"x\w", "x\u4e2d")  # a letter, as Unicode reads it
    assert follows(r"x\W", "x\u4e2d")  # not one, as ASCII reads it


@pytest.mark.parametrize("pattern", [".x", "[^a]x", r"\Sx", r"[\s\S]x", "(?:y|.)x", ".?x", "(?:[a-z]|[^a-z])x"])
def test_a_pattern_that_nearly_anything_begins_is_not_taken_in(pattern: str) -> None:
    positions = Positions()
    assert positions.add(read_expression("ab"))
    before = (positions.first, list(positions.follow), positions.passing("a"), positions.passing("x"))
    assert not positions.add(read_expression(pattern))
    assert (positions.first, positions.follow, positions.passing("a"), positions.passing("x")) == before
    assert positions.add(read_expression("[x]a"))
    assert positions.passing("x")


def test_places_are_the_bits() -> None:
    assert list(places(0)) == []
    assert list(places(0b1011)) == [0, 1, 3]


def test_the_places_of_all_patterns_are_bounded() -> None:
    positions = Positions()
    for _ in range(MAX_POSITIONS // 256):
        positions.add(read_expression("(?:abcd){64}"))
    with pytest.raises(ValueError, match="places"):
        positions.add(read_expression("a"))
    assert len(positions.follow) <= MAX_POSITIONS


def test_the_masks_of_characters_are_bounded() -> None:
    positions = Positions()
    positions.add(read_expression("ab"))
    for point in range(0x4E00, 0x4E00 + 20_000):
        positions.passing(chr(point))
    assert len(positions._known) <= 8192


def test_nesting_too_deep_for_the_interpreter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nested|regular expression"):
        Positions().add(read_expression("(?:a|b" * 490 + "c" + ")" * 490))
