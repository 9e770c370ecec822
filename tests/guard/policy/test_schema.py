"""The JSON Schemas: they take what the loader takes, refuse unknown and missing keys, and the examples name them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no type information
from pydantic import ValidationError

from guard.policy.schema import KINDS, schema, schema_text, write_schemas
from guard.policy.source import parse
from tests.bad_config.test_bad_config import HERE
from tests.parts.configuration import ModelSpec, write_configuration

CONFIG = Path(__file__).resolve().parents[3] / "config"
FOLDERS = {"models": "model", "rules": "rules", "evidence": "evidence", "standards": "standard"}
VALIDATORS = {kind: Draft202012Validator(schema(kind)) for kind in KINDS}


def kind_of(path: Path) -> str:
    return FOLDERS.get(path.parent.name, path.stem)


def value_of(path: Path) -> Any:
    """Read a file as the guard does, its lists as JSON has them."""
    return json.loads(json.dumps(parse(path.name, path.read_bytes()).value))


EXAMPLES = {kind_of(path): value_of(path) for path in sorted(CONFIG.rglob("*.yaml"))}


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_a_schema_of_its_draft(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert json.loads(schema_text(kind)) == schema(kind)


@pytest.mark.parametrize(
    "path", [*CONFIG.rglob("*.yaml"), *(HERE / "base").rglob("*.yaml")], ids=lambda path: "-".join(path.parts[-2:])
)
def test_every_file_that_loads_is_taken(path: Path) -> None:
    VALIDATORS[kind_of(path)].validate(value_of(path))


def test_a_configuration_of_every_level_is_taken(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(f"m{asl}", asl=asl) for asl in (1, 2, 3)])
    paths = list(tmp_path.rglob("*.yaml"))
    assert len(paths) == 6
    for path in paths:
        VALIDATORS[kind_of(path)].validate(value_of(path))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_is_refused_and_every_required_one_is_asked_for(kind: str) -> None:
    example = EXAMPLES[kind]
    assert not VALIDATORS[kind].is_valid({**example, "unknown": 1})
    required = [field.alias or name for name, field in KINDS[kind].model_fields.items() if field.is_required()]
    assert required
    for key in required:
        assert not VALIDATORS[kind].is_valid({name: value for name, value in example.items() if name != key})


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.name)
def test_an_example_names_the_schema_of_its_kind_in_its_first_line(path: Path) -> None:
    words, _, named = path.read_text().splitlines()[0].partition("=")
    assert words == "# yaml-language-server: $schema"
    assert (path.parent / named).resolve() == CONFIG / "schemas" / f"{kind_of(path)}.json"


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield place
    if isinstance(value, dict | list):
        for step, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*place, step))


def changed(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    if not place:
        return new
    copy: Any = value.copy()
    copy[place[0]] = changed(copy[place[0]], place[1:], new)
    return copy


VERSION = ("version",)  # the types take true for 1 there, the schema does not: stricter, and of no use to anybody


def frozen(value: Any) -> Any:
    """The loader hands lists to the types as tuples."""
    if isinstance(value, dict):
        return {key: frozen(below) for key, below in value.items()}
    return tuple(frozen(below) for below in value) if isinstance(value, list) else value


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(kind, place) for kind in KINDS for place in places(EXAMPLES[kind]) if place != VERSION]),
    st.none() | st.booleans() | st.integers(-1, 10**6) | st.floats(0, 100) | st.text(max_size=8) | st.just([])
    | st.sampled_from(["pass", "shadow", "embeddings", "2027-01-01", "rules/x.yaml", "unix:/a", "vllm"]),
)  # fmt: skip
def test_the_schema_refuses_nothing_that_the_types_accept(
    where: tuple[str, tuple[str | int, ...]], new: object
) -> None:
    kind, place = where
    value = changed(EXAMPLES[kind], place, new)
    try:
        KINDS[kind].model_validate(frozen(value))
    except ValidationError:
        return
    VALIDATORS[kind].validate(value)


def test_all_are_written_into_a_directory_that_is_made(tmp_path: Path) -> None:
    paths = write_schemas(tmp_path / "a" / "b")
    assert [path.name for path in paths] == [f"{kind}.json" for kind in KINDS]
    assert [path.read_text() for path in paths] == [schema_text(kind) for kind in KINDS]
