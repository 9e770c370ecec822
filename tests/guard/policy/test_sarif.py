"""What `guard check` finds as SARIF: the form, the rules, and the line of each finding."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from guard.policy.config import Config
from guard.policy.floor import binding_rows, unmet
from guard.policy.load import load
from guard.policy.model import Framework, Levels
from guard.policy.sarif import INVALID, place_of, sarif, sarif_invalid
from guard.policy.source import Problem
from tests.guard.policy.test_floor import with_policy
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.sarif_schema import SARIF

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATE = datetime(2026, 7, 1, tzinfo=UTC)


def checked(text: str) -> Any:
    """Validate it and return its only run."""
    whole = json.loads(text)
    jsonschema.Draft202012Validator(SARIF).validate(whole)
    (run,) = whole["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    return run


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_configuration(
        tmp_path,
        now=NOW,
        models=[
            ModelSpec(evidence_days=10),
            ModelSpec("bare", claims=("model_card",), without=("access", "patterns"), evidence_days=90),
            ModelSpec("soft", asl=3, safeguards={"patterns": {"mode": "shadow"}}, log={"durable": "within_a_second"}),
        ],
    )
    return load(tmp_path)


def test_a_configuration_without_findings_is_a_run_with_its_rules_and_no_result(tmp_path: Path) -> None:
    write_configuration(tmp_path, now=NOW)
    text, routable = sarif(load(tmp_path), NOW)
    run = checked(text)
    assert routable
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]
    assert run["properties"]["at"] == "2026-06-01T00:00:00Z"
    assert run["tool"]["driver"]["rules"][0]["id"] == "example-internal/1/L1.authenticated"


def test_every_unmet_row_is_a_result_at_the_line_where_one_would_mend_it(config: Config) -> None:
    text, routable = sarif(config, LATE)
    assert not routable
    found = {}
    for result in checked(text)["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        path = Path(physical["artifactLocation"]["uri"].removeprefix("file://"))
        line = path.read_text().splitlines()[physical["region"]["startLine"] - 1].strip()
        model = location["logicalLocations"][0]["name"]
        assert path.name == f"{model}.yaml"
        assert result["message"]["text"].startswith(f"{model}: ")
        found[model, result["ruleId"].rpartition("/")[2]] = line
    assert found.keys() == {(alias, row.row) for alias in config.models for row in unmet(config, alias, LATE)}
    assert found["demo", "L2.model_card"] == "{"  # the attestation itself
    assert found["bare", "L2.usage_policy"] == '"evidence": ['
    assert found["bare", "L2.access"] == '"safeguards": ['
    assert found["bare", "L2.screens_input"] == '"safeguards": ['
    assert found["soft", "L3.screens_input"] == "{"
    assert found["soft", "L3.durable_intent"].startswith('"settings": {')


def test_a_finding_keeps_its_fingerprint_on_another_day(config: Config) -> None:
    def prints(at: datetime) -> dict[str, str]:
        results = checked(sarif(config, at)[0])["results"]
        return {f"{each['properties']['model']} {each['ruleId']}": str(each["partialFingerprints"]) for each in results}

    early, late = prints(NOW), prints(LATE)
    assert early.keys() < late.keys()
    assert {key: late[key] for key in early} == early
    assert len(set(late.values())) == len(late)


def test_every_row_of_the_long_standards_has_a_place(config: Config) -> None:
    for name, version in (
        ("anthropic-rsp", "2.2"),
        ("anthropic-rsp", "3.4"),
        ("google-fsf", "3.1"),
        ("openai-preparedness", "2"),
    ):
        policy = config.models["demo"].model_copy(
            update={
                "framework": Framework(name=name, version=version),
                "asl": Levels(deployment=4, security=4),
            }
        )
        object.__setattr__(config, "models", {"demo": policy})
        for row in binding_rows(config, "demo"):
            file, place = place_of(config, "demo", row)
            assert config.problem(file, place, "").line > 1
        checked(sarif(config, NOW)[0])


def test_evidence_in_a_file_of_its_own_is_found_there() -> None:
    config = with_policy()
    (first,) = [row for row in binding_rows(config, "demo") if row.id == "D2.policy"]
    assert place_of(config, "demo", first) == ("evidence/demo.yaml", ("attestations", 1))


def test_what_cannot_be_loaded_is_a_run_that_did_not_succeed() -> None:
    problems = [
        Problem("models/ä b.yaml", 3, "asl.security", "is required"),
        Problem("guard.yaml", 0, "", "is missing"),
    ]
    run = checked(sarif_invalid(Path("conf"), problems))
    assert run["invocations"] == [{"executionSuccessful": False}]
    assert [each["ruleId"] for each in run["results"]] == [INVALID, INVALID]
    first, second = (each["locations"][0]["physicalLocation"] for each in run["results"])
    assert first == {"artifactLocation": {"uri": "conf/models/%C3%A4%20b.yaml"}, "region": {"startLine": 3}}
    assert second == {"artifactLocation": {"uri": "conf/guard.yaml"}}
    assert [each["message"]["text"] for each in run["results"]] == ["asl.security: is required", "is missing"]
