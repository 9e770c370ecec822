"""What orders for one occurrence have in common, and only they."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.hooks.signal import at, entropy, mark, shown, text
from guard.state.orders import order_id
from guard.wire.strict_json import BadField

TEXTS = st.text(max_size=40)


@given(TEXTS, TEXTS, TEXTS, st.binary(min_size=3, max_size=3), st.binary(min_size=3, max_size=3), st.floats(0, 2e9))
def test_every_order_of_one_occurrence_bears_its_mark(
    hook: str, scope: str, identity: str, one: bytes, two: bytes, now: float
) -> None:
    first, second = entropy(hook, scope, identity, one), entropy(hook, scope, identity, two)
    assert len(first) == len(second) == 10
    assert mark(order_id(now, first)) == mark(second) == mark(first)
    assert (first == second) is (int.from_bytes(one) % 2**20 == int.from_bytes(two) % 2**20)


@given(st.tuples(TEXTS, TEXTS, TEXTS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_two_occurrences_bear_two_marks(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (mark(entropy(*one, b"")) == mark(entropy(*two, b""))) is (one == two)


def test_what_moves_from_one_part_to_the_next_is_another_occurrence() -> None:
    assert mark(entropy("a", "bc", "d", b"")) != mark(entropy("ab", "c", "d", b""))


def test_a_path_leads_through_objects_alone() -> None:
    body = {"a": {"b": 1, "c.d": 2}, "e": [{"f": 3}]}
    assert [at(body, path) for path in ("a.b", "a", "a.c.d", "e.f", "e.0.f", "x", "a.b.c")] == [
        1,
        {"b": 1, "c.d": 2},
        None,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("value", [None, "", 1, True, [], {}, "x" * 1025])
def test_a_text_is_there_and_bounded(value: object) -> None:
    with pytest.raises(BadField, match=r"^a\.b: must be a text of 1 to 1024 characters$"):
        text(value, "a.b")


def test_words_leave_out_what_is_not_there_and_end() -> None:
    assert shown(None, "a", "", 5, "b") == "a: b"
    assert len(shown("a" * 1000)) == 400
