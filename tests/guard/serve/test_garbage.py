"""Passes of the garbage collector stay small while a policy is made, and are as they were afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from guard.serve.garbage import in_small_passes, settle


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What is set for this process is put back."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def passes(work: Any) -> list[tuple[int, int]]:
    """The generation of each pass meanwhile, and how many objects were there for it."""
    found: list[tuple[int, int]] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            there = sum(len(gc.get_objects(generation)) for generation in range(about["generation"] + 1))
            found.append((about["generation"], there))

    gc.callbacks.append(note)
    try:
        work()
    finally:
        gc.callbacks.remove(note)
    return found


def make(count: int) -> list[Any]:
    return [[] for _ in range(count)]


def test_what_was_there_before_serving_is_left_out_of_passes() -> None:
    kept = make(1_000)
    settle()
    assert gc.get_freeze_count() > len(kept)
    assert gc.get_threshold() == (10_000, 50, 50)


def test_many_lasting_objects_are_looked_through_in_small_steps_and_once() -> None:
    settle()
    kept: list[Any] = []

    def work() -> None:
        with in_small_passes():
            kept.extend(make(40_000))

    found = passes(work)
    assert len(found) >= 10
    assert max(there for _, there in found) < 8_000
    assert sum(there for generation, there in found if generation == 1) < 80_000
    assert len(gc.get_objects(2)) > 35_000  # the rest is what came after the last pass
    assert gc.get_threshold() == (10_000, 50, 50)


def test_cycles_that_are_left_meanwhile_are_collected() -> None:
    settle()

    def work() -> None:
        with in_small_passes():
            for _ in range(10_000):
                cycle: list[Any] = []
                cycle.append(cycle)

    passes(work)
    assert sum(len(gc.get_objects(generation)) for generation in range(3)) < 20_000


def test_thresholds_come_back_after_a_failure() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="x"), in_small_passes():
        raise ValueError("x")
    assert gc.get_threshold() == before
