"""The phrases' automaton knows the longest end that begins a phrase."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.classifiers.prefixes import Prefixes

WORDS = st.lists(st.text(alphabet="abc", min_size=1, max_size=6), max_size=6)


@given(WORDS, st.text(alphabet="abcd", max_size=20), st.integers(0, 20))
def test_the_depth_is_the_longest_end_that_begins_a_phrase(words: list[str], text: str, cut: int) -> None:
    prefixes = Prefixes(words)
    state = prefixes.step(prefixes.step(0, text[:cut]), text[cut:])
    expected = max(
        (n for n in range(len(text) + 1) if any(w.startswith(text[len(text) - n :]) for w in words)), default=0
    )
    assert prefixes.depth[state] == expected


def test_without_phrases_nothing_is_ever_begun() -> None:
    assert Prefixes([]).step(0, "abc") == 0
