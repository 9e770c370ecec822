"""The hold-back is exact: as long as the longest end that could still become a match, and no longer."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.classifiers import partial
from guard.classifiers.expressions import read_expression
from guard.classifiers.partial import Partial, State
from guard.classifiers.positions import Positions
from guard.classifiers.prefixes import Prefixes
from tests.guard.classifiers.rule_sets import FOLDED, Node, nodes, phrases

TEXTS = st.text(alphabet=sorted(FOLDED), max_size=24)


def automaton(words: list[str], patterns: list[str]) -> Partial:
    positions = Positions()
    for pattern in patterns:
        positions.add(read_expression(pattern))
    return Partial(Prefixes(words), positions)


def run(state: State, text: str) -> State:
    for character in text:
        state = state[character]
    return state


def longest_end(words: list[str], trees: list[Node], text: str) -> int:
    """Try every end of the text, the longest first; a complete match counts, since it may wait for an assertion."""
    for start in range(len(text)):
        end = text[start:]
        if any(word.startswith(end) for word in words):
            return len(end)
        for tree in trees:
            ends, ran_out = tree.walk(text, start)
            if ran_out or len(text) in ends:
                return len(end)
    return 0


@settings(max_examples=500, deadline=None)
@given(st.lists(phrases.map(str.strip), max_size=3), st.lists(nodes(edges=True, wide=False), max_size=3), TEXTS)
def test_the_depth_is_the_longest_end_that_begins_a_match(words: list[str], trees: list[Node], text: str) -> None:
    followed = []
    positions = Positions()
    for tree in trees:
        try:
            taken = positions.add(read_expression(tree.write()))
        except ValueError:  # two spaces in a row, which `nodes` cannot rule out through its groups
            assume(False)
        if taken:
            followed.append(tree)
    state = Partial(Prefixes(words), positions).start
    for index, character in enumerate(text):
        state = state[character]
        assert state.depth == longest_end(words, followed, text[: index + 1])


def test_a_dead_end_falls_back_to_the_beginning() -> None:
    made = automaton(["abc"], [r"x\d{2}"])
    assert run(made.start, "zzz ab!") is made.start
    assert run(made.start, "x1").depth == 2
    assert run(made.start, "x1y") is made.start


def test_the_earliest_of_several_beginnings_counts() -> None:
    assert run(automaton([], ["aab", "ab"]).start, "aaa").depth == 2
    assert run(automaton(["aaaab"], ["ab"]).start, "aaa").depth == 3
    assert run(automaton([], ["a?bc"]).start, "ab").depth == 2
    assert run(automaton([], ["(?:b|ab)cd"]).start, "abc").depth == 3
    assert run(automaton([], ["(?:ab|b)cd"]).start, "abc").depth == 3


def test_a_complete_match_stays_for_one_character_more() -> None:
    made = automaton([], [r"bad\b"])
    assert run(made.start, "bad").depth == 3
    assert run(made.start, "bad ").depth == 0


def test_states_and_transitions_stay_within_their_bound() -> None:
    made = automaton(["ab"], [r"[a-z].{12}x"])
    held = run(made.start, "abc")
    ages = []
    text = "".join(chr(97 + (index * index + index // 7) % 26) for index in range(40_000))
    state = made.start
    for index, character in enumerate(text):
        state = state[character]
        if index % 1000 == 0:
            ages.append(len(made._states))
    assert max(ages) <= partial._MAX_TRANSITIONS + 1
    assert sum(len(each) for each in made._states.values()) <= partial._MAX_TRANSITIONS
    # A state from before the clearing goes on as if nothing had been.
    assert run(held, "defghijklm").depth == run(made.start, "abcdefghijklm").depth == 13


def test_a_cleared_automaton_judges_as_a_fresh_one() -> None:
    made, fresh = automaton(["aba"], [r"a[bc]{2,5}d"]), automaton(["aba"], [r"a[bc]{2,5}d"])
    made._transitions = partial._MAX_TRANSITIONS - 2
    for text in ("abab", "abcbc", "acbd", "aba"):
        assert run(made.start, text).depth == run(fresh.start, text).depth
    assert made._transitions < 20
