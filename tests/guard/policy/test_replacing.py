"""A model that answers in place of another must be reachable by the same callers, no more capable, and another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.policy.load import load
from guard.policy.replacing import judges
from guard.policy.source import ConfigError
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ladders import write_ladder

FALLBACK = {"fallback": {"model": "small"}}


def spec(name: str, asl: int = 2, **more: Any) -> ModelSpec:
    return ModelSpec(name, asl, kind="openai", upstream_model=name, **more)


def problems(directory: Path) -> list[str]:
    try:
        load(directory)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("big", "small", "said"),
    [
        (spec("big"), spec("small", 3), "declares higher levels than this model"),
        (
            spec("big"),
            spec("small", audience="internal"),
            "is for the audience internal, and this model is for",
        ),
        (spec("big", surfaces=("public", "partner")), spec("small"), "is not served on partner"),
        (
            spec("big", operations=("chat", "embeddings", "completions")),
            spec("small"),
            "does not list the operation embeddings, completions",
        ),
        (spec("big"), ModelSpec("small", kind="openai", upstream_model="big"), "serves the same weights"),
    ],
)
def test_what_keeps_a_model_from_answering_for_another_is_said(
    big: ModelSpec, small: ModelSpec, said: str, tmp_path: Path
) -> None:
    write_configuration(tmp_path, models=[big, small], surfaces={"partner": 0})
    write_ladder(tmp_path, "big", FALLBACK)
    (problem,) = problems(tmp_path)
    assert "models/big.yaml" in problem
    assert f"ladder.fallback.model: models/small.yaml {said}" in problem


@pytest.mark.parametrize(("screens", "finds"), [(["input"], True), (["output"], False)])
def test_a_fallback_of_a_category_needs_a_classifier_that_finds_it_in_prompts(
    screens: list[str], finds: bool, tmp_path: Path
) -> None:
    write_configuration(
        tmp_path,
        models=[spec("big"), spec("small", 1)],
    )
    write_ladder(tmp_path, "big", {"fallback": {"model": "small", "categories": ["other"]}})
    path = tmp_path / "models" / "big.yaml"
    policy = json.loads(path.read_text())
    for mount in policy["safeguards"]:
        if mount["use"] == "classifier":
            mount["settings"]["screens"] = screens if mount.get("name") == "tried" else ["output"]
    path.write_text(json.dumps(policy))
    found = problems(tmp_path)
    assert found == [] if finds else "ladder.fallback.categories[0]: is of no rule" in found[0]
    if finds:
        config = load(tmp_path)
        assert judges(config.models["big"], config.rules) == {"tried"}


def test_one_that_is_fit_is_taken(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[spec("big"), spec("small", 1)])
    write_ladder(tmp_path, "big", {**FALLBACK, "de_deployed": {"replacement": "small", "route": True}})
    assert problems(tmp_path) == []


@pytest.mark.parametrize("route", [False, True])
@pytest.mark.parametrize(
    ("small", "said"),
    [
        (spec("small", 3), "declares higher levels than this model"),
        (ModelSpec("small", kind="openai", upstream_model="big"), "serves the same weights"),
    ],
)
def test_one_that_callers_are_only_told_of_is_no_less_another_model(
    small: ModelSpec, said: str, route: bool, tmp_path: Path
) -> None:
    write_configuration(tmp_path, models=[spec("big"), small])
    write_ladder(tmp_path, "big", {"de_deployed": {"replacement": "small", "route": route}})
    (problem,) = problems(tmp_path)
    assert f"ladder.de_deployed.replacement: models/small.yaml {said}" in problem


@pytest.mark.parametrize("alias", ["big", "nobody"])
def test_it_must_be_another_model_that_there_is(alias: str, tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[spec("big")])
    write_ladder(tmp_path, "big", {"fallback": {"model": alias}, "de_deployed": {"replacement": alias}})
    said = "is this model itself" if alias == "big" else "there is no file models/nobody.yaml"
    assert [each.endswith(said) for each in problems(tmp_path)] == [True, True]


def test_ladders_that_lead_in_a_circle_are_refused_at_each_of_their_models(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[spec("big"), spec("middle"), spec("small"), spec("tiny")])
    write_ladder(tmp_path, "tiny", {"fallback": {"model": "big"}})  # leads into the circle and is not in it
    write_ladder(tmp_path, "big", {"fallback": {"model": "middle"}})
    write_ladder(tmp_path, "middle", {"de_deployed": {"replacement": "small", "route": True}})
    assert problems(tmp_path) == []
    write_ladder(tmp_path, "small", {"fallback": {"model": "big"}})
    assert [each.split(":")[0] for each in problems(tmp_path)] == [
        f"models/{name}.yaml" for name in ("big", "middle", "small")
    ]


def test_a_rung_enforces_what_is_in_shadow(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[spec("big")])
    write_ladder(tmp_path, "big", {"stricter": {"enforce": ["tried"]}})
    assert problems(tmp_path) == []
    write_ladder(tmp_path, "big", {"stricter": {"enforce": ["patterns"]}})  # a second `tried`, and one not in shadow
    path = tmp_path / "models" / "big.yaml"
    policy = json.loads(path.read_text())
    path.write_text(json.dumps({**policy, "safeguards": policy["safeguards"][:-1]}))
    (problem,) = problems(tmp_path)
    assert problem.endswith("ladder.stricter.enforce[0]: is the name of no safeguard in shadow; there are: tried")
