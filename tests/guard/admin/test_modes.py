"""Each mode of a stop has words of its own, and one that nobody knows is told and counts as refusing."""

from __future__ import annotations

from guard.admin.modes import OTHERS, known, rank, strongest_first, words_of
from safeguards.mode import MILDEST_FIRST, Mode


def test_every_mode_is_in_the_table_with_words_of_its_own() -> None:
    assert all(known(mode.value) for mode in Mode)
    words = [words_of(mode.value) for mode in Mode]
    for field in ("act", "done", "does"):
        assert len({getattr(each, field) for each in words}) == len(words)


def test_what_is_offered_beside_a_stop_is_every_other_mode() -> None:
    assert set(OTHERS) == set(Mode) - {Mode.STOP}
    assert OTHERS[0] is Mode.QUARANTINE
    assert OTHERS[-1] is Mode.DE_DEPLOYED  # nobody in search of something gentler should come upon it first


def test_the_strongest_is_the_deepest_rung() -> None:
    assert strongest_first(mode.value for mode in Mode) == [mode.value for mode in reversed(MILDEST_FIRST)]


def test_a_mode_that_is_not_known_refuses_and_stands_first() -> None:
    assert words_of("entirely_new").done == "Entirely new"
    assert words_of("entirely_new").refuses
    assert words_of("").done == "Unknown"
    assert strongest_first(["drain", "stop", "entirely_new", "stop"]) == ["entirely_new", "stop", "drain"]
    assert rank("quarantine") < rank("drain")
