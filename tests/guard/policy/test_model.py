"""The types are frozen, closed and described."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from guard.policy.fields import Frozen
from guard.policy.load import load
from guard.policy.model import EvidenceFile, GuardConfig, ModelPolicy, RuleSet, Standard, TiersFile
from tests.bad_config.test_bad_config import BUILTIN, HERE

FILES: tuple[type[Frozen], ...] = (GuardConfig, TiersFile, ModelPolicy, RuleSet, EvidenceFile, Standard)
CONFIG = load(HERE / "base", BUILTIN)


@pytest.mark.parametrize("kind", FILES)
def test_every_field_is_described_and_no_object_is_open(kind: type[Frozen]) -> None:
    schema = kind.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    for each in objects:
        if each.get("type") != "object":
            continue
        assert each["additionalProperties"] is False
        for name, field in each["properties"].items():
            # A description that repeats the one of the type it refers to stands there only.
            described = {**schema["$defs"][field["$ref"].rsplit("/", 1)[-1]], **field} if "$ref" in field else field
            assert described.get("description"), f"{each['title']}.{name}"


@pytest.mark.parametrize("kind", FILES)
def test_every_number_text_and_list_of_the_schema_is_bounded(kind: type[Frozen]) -> None:
    def bounded(field: dict[str, Any]) -> bool:
        closed = {"enum", "const", "$ref", "format"} & field.keys()
        match field.get("type"):
            case "integer" | "number":
                bound = ("maximum" in field) and ("minimum" in field or "exclusiveMinimum" in field)
            case "string":
                bound = "maxLength" in field or "{0," in field.get("pattern", "") or "{64}" in field.get("pattern", "")
            case "array":
                bound = "maxItems" in field and bounded(field["items"])
            case "object":
                bound = "maxProperties" in field
            case _:
                options = field.get("anyOf", field.get("oneOf", []))
                bound = all(bounded(each) for each in options)
        return bool(closed) or bound

    schema = kind.model_json_schema()
    for each in [schema, *schema.get("$defs", {}).values()]:
        for name, field in each.get("properties", {}).items():
            assert bounded(field), f"{each['title']}.{name}: {field}"


def test_nothing_of_a_loaded_configuration_can_be_changed() -> None:
    policy = CONFIG.models["demo"]
    with pytest.raises(ValidationError):
        policy.asl.deployment = 1
    with pytest.raises(TypeError):
        CONFIG.models["other"] = policy  # type: ignore[index]  # what is tried here
    with pytest.raises(TypeError):
        CONFIG.tiers.tiers["general"].models["other"] = ()  # type: ignore[index]  # what is tried here


def test_a_mount_without_a_name_has_that_of_its_safeguard() -> None:
    names = [mount.name for mount in CONFIG.models["demo"].safeguards]
    assert names == ["request_log", "kill_switch", "limits", "patterns"]


def test_days_are_days_with_quotes_and_without() -> None:
    assert {token.expires.isoformat() for token in CONFIG.guard.admin.tokens} == {"2027-01-01"}


def test_what_guard_yaml_leaves_out_has_its_documented_default() -> None:
    assert CONFIG.guard.limits.concurrent == 2000
    assert CONFIG.models["demo"].upstream.rest_seconds == 0.05


def test_a_configuration_can_be_written_as_json_and_read_back() -> None:
    whole = json.loads(CONFIG.tiers.model_dump_json(by_alias=True))
    assert TiersFile.model_validate_json(json.dumps(whole)) == CONFIG.tiers
