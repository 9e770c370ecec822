"""A window holds what was added within its time, whenever it is asked, in bounded room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.serve.window import SLOTS, Totals, Window


def test_what_was_there_before_it_began_is_not_in_it() -> None:
    window = Window(60, 0.0, Totals(5, 10))
    assert window.grown == Totals(0, 0)
    window.add(1.0, Totals(6, 12))
    assert window.grown == Totals(1, 2)


def test_what_is_older_than_the_window_leaves_it() -> None:
    window = Window(60, 0.0, Totals(0, 0))
    window.add(1.0, Totals(10, 10))
    window.add(59.0, Totals(10, 10))
    assert window.grown == Totals(10, 10)
    for second in range(60, 70):
        window.add(float(second), Totals(10, 10))
    assert window.grown == Totals(0, 0)


def test_what_was_added_before_a_new_beginning_is_forgotten() -> None:
    window = Window(60, 0.0, Totals(0, 0))
    window.add(1.0, Totals(10, 10))
    window.restart(2.0, Totals(10, 10))
    window.add(3.0, Totals(10, 11))
    assert window.grown == Totals(0, 1)


def test_totals_that_go_back_are_others() -> None:
    window = Window(60, 0.0, Totals(100, 100))
    window.add(1.0, Totals(110, 120))
    window.add(2.0, Totals(3, 5))
    assert window.grown == Totals(0, 0)
    window.add(3.0, Totals(4, 7))
    assert window.grown == Totals(1, 2)


STEPS = st.lists(st.tuples(st.floats(0.01, 20), st.integers(0, 9), st.integers(0, 9)), max_size=400)


@given(STEPS, st.floats(1, 100))
def test_it_covers_a_whole_window_and_hardly_more(steps: list[tuple[float, int, int]], seconds: float) -> None:
    """The far end lies among what was added between a window, and a window, a slot and a pause, ago."""
    window, now, part, whole = Window(seconds, 0.0, Totals(0, 0)), 0.0, 0, 0
    added: list[tuple[float, int, int]] = []
    longest = 0.0
    for pause, hits, others in steps:
        now, longest = now + pause, max(longest, pause)
        part, whole = part + hits, whole + hits + others
        added.append((now, hits, hits + others))
        window.add(now, Totals(part, whole))
        least = sum(each[2] for each in added if each[0] > now - seconds)
        most = sum(each[2] for each in added if each[0] > now - seconds - seconds / SLOTS - longest)
        assert least <= window.grown.whole <= most
        assert 0 <= window.grown.part <= window.grown.whole
        assert len(window._past) <= SLOTS + 2
