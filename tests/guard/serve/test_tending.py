"""How long a place of a worker stays empty."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guard.serve.tending import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, pause_before


def test_a_worker_that_served_is_replaced_at_once_after_its_first_early_end() -> None:
    assert pause_before(0, served=True) == 0.0
    assert pause_before(1, served=True) == 0.0
    assert pause_before(2, served=True) == FIRST_PAUSE_SECONDS


def test_a_worker_that_never_served_is_not_tried_again_at_once() -> None:
    assert pause_before(1, served=False) == FIRST_PAUSE_SECONDS
    assert pause_before(2, served=False) == 2 * FIRST_PAUSE_SECONDS


@given(st.integers(0, 10**9), st.booleans())
def test_pauses_grow_and_are_bounded(short_lives: int, served: bool) -> None:
    pauses = [pause_before(short_lives + more, served=served) for more in range(3)]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[-1] <= LONGEST_PAUSE_SECONDS
    assert pause_before(10**9, served=served) == LONGEST_PAUSE_SECONDS
