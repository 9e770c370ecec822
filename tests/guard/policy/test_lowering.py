"""Levels are lowered by two people, and a model that comes back comes back with the levels that it had (row A12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.lowering import Lowering, levels_in, lowerings
from guard.policy.standard import Levels
from tests.parts.configuration import ModelSpec, write_configuration

TWO, THREE = (Levels(deployment=level, security=level) for level in (2, 3))
HERE, THERE = "http://127.0.0.1:9", "http://127.0.0.1:8"


def of(directory: Path, *models: ModelSpec) -> Config:
    write_configuration(directory, models=models)
    return load(directory)


def test_the_levels_of_names_and_of_weights_are_told_the_highest_of_each(tmp_path: Path) -> None:
    config = of(tmp_path, ModelSpec("a", 2, HERE), ModelSpec("b", 3, HERE), ModelSpec("c", 2, THERE))
    assert levels_in(config) == {
        "model a": TWO,
        "model b": THREE,
        "model c": TWO,
        "weights this host:9": THREE,
        "weights this host:8": TWO,
    }


@pytest.mark.parametrize(
    ("back", "why"),
    [
        (ModelSpec("a", 2, HERE), "as it was"),
        (ModelSpec("a", 2, THERE), "the name, before another server"),
        (ModelSpec("b", 2, HERE), "the weights, under another name"),
    ],
)
def test_what_was_removed_comes_back_with_its_levels_or_is_lowered(back: ModelSpec, why: str, tmp_path: Path) -> None:
    was = of(tmp_path / "was", ModelSpec("a", 3, HERE), ModelSpec("other", 2, "http://127.0.0.1:7"))
    without = of(tmp_path / "without", ModelSpec("other", 2, "http://127.0.0.1:7"))
    again = of(tmp_path / "again", back, ModelSpec("other", 2, "http://127.0.0.1:7"))
    assert lowerings(was, without) == ()
    found = lowerings(without, again, levels_in(was))
    assert found == (Lowering(back.name, THREE, TWO),), why
    assert str(found[0]) == f"{back.name}: deployment 3, security 3 -> deployment 2, security 2"


def test_what_comes_back_as_high_as_it_was_is_not_lowered(tmp_path: Path) -> None:
    was = of(tmp_path / "was", ModelSpec("a", 2, HERE))
    without = of(tmp_path / "without", ModelSpec("other", 2, THERE))
    again = of(tmp_path / "again", ModelSpec("a", 2, HERE), ModelSpec("other", 2, THERE))
    assert lowerings(without, again, levels_in(was)) == ()


def test_weights_that_are_still_served_count_as_they_are_now(tmp_path: Path) -> None:
    """Two people lowered them since: what was before that is no longer asked for."""
    now = of(tmp_path / "now", ModelSpec("b", 2, HERE))
    more = of(tmp_path / "more", ModelSpec("b", 2, HERE), ModelSpec("c", 2, HERE))
    assert lowerings(now, more, {"weights this host:9": THREE}) == ()
    assert lowerings(now, more, {"model c": THREE}) == (Lowering("c", THREE, TWO),)
