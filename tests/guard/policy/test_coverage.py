"""Which paths are not screened in full, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.policy.config import Config
from guard.policy.coverage import TEXTLESS, sides, unscreened
from guard.policy.load import load
from guard.policy.model import Operation, Target
from guard.wire.routes import ROUTES
from tests.parts import answer_places
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def config(directory: Path, **spec: Any) -> Config:
    surfaces = {"inside": 0} if "surfaces" in spec else None
    write_configuration(directory, models=[ModelSpec(**spec)], now=NOW, surfaces=surfaces)
    return load(directory)


def why(found: Config) -> dict[str, str | None]:
    return {f"{side.operation} {side.target}": side.why for side in sides(found)}


def test_a_path_is_a_listener_a_model_an_operation_and_a_side(tmp_path: Path) -> None:
    found = sides(config(tmp_path, surfaces=("public", "inside"), operations=("chat", "embeddings")))
    assert [(each.surface, each.model, each.operation, each.target) for each in found] == [
        (surface, "demo", operation, target)
        for surface in ("public", "inside")
        for operation, target in (("chat", "input"), ("chat", "output"), ("embeddings", "input"))
    ]
    assert {each.why for each in found} == {None}


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"mode": "shadow"}, "patterns is in shadow: what it denies passes"),
        ({"on_failure": "pass"}, "patterns lets its own failures pass"),
        (None, "no classifier screens it"),
    ],
)
def test_a_side_that_no_classifier_blocks_is_listed_with_why(
    mount: dict[str, str] | None, said: str, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"without": ("patterns",)} if mount is None else {"safeguards": {"patterns": mount}}
    found = config(tmp_path, **changes)
    assert why(found) == {"chat input": said, "chat output": said}
    assert unscreened(found, "demo") == {"input": 1, "output": 1}


def test_a_classifier_of_one_side_leaves_the_other_listed(tmp_path: Path) -> None:
    settings = {"engine": "patterns", "screens": ["output"], "rules": "rules/test.yaml"}
    found = config(tmp_path, safeguards={"patterns": {"settings": settings}})
    assert why(found) == {"chat input": "no classifier screens it", "chat output": None}
    assert unscreened(found, "demo") == {"input": 1, "output": 0}


def test_what_is_let_through_unread_is_listed_where_it_can_stand(tmp_path: Path) -> None:
    found = config(tmp_path, operations=("chat", "messages", "count_tokens"))
    policy = found.models["demo"].model_copy(update={"allow_keys": ("signature",)})
    object.__setattr__(found, "models", {"demo": policy})
    said = "what stands under signature is let through unread"
    assert why(found) == {
        "chat input": None,
        "chat output": None,
        "messages input": said,
        "messages output": None,
        "count_tokens input": said,
    }


def test_an_unknown_model_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        unscreened(config(tmp_path), "nobody")


def test_the_operations_without_a_text_in_their_answers_are_those_of_the_wire() -> None:
    textless = {ROUTES[path].operation for path in answer_places.TEXTLESS}
    assert {Operation(name) for name in textless} == TEXTLESS
    assert set(Target) == {Target.INPUT, Target.OUTPUT}
