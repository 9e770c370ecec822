"""The check `retention`: a model that keeps texts shorter or longer than its standard allows is below the floor."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.policy.floor import unmet
from guard.policy.load import builtin_standards, load
from guard.policy.retention import content_floor
from guard.policy.source import parse
from guard.policy.standard import RetentionRow, Standard
from guard.policy.validate import validate
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def written(tmp_path: Path, bounds: dict[str, int], spec: ModelSpec, level: int = 1) -> None:
    write_configuration(tmp_path, now=NOW, models=[spec])
    row = {
        "id": "R1",
        "axis": "deployment",
        "level": level,
        "requires": "Texts are kept.",
        "source": "us",
        "check": "retention",
        "with": bounds,
    }
    base = {**row, "id": "R0", "level": 1, "check": "mounted", "with": {"safeguard": "request_log"}}
    standard = {"name": "own", "version": "1", "title": "own", "source": "https://example.com", "rows": [base, row]}
    (tmp_path / "standards").mkdir()
    (tmp_path / "standards" / "own.yaml").write_text(json.dumps(standard))
    model = json.loads((tmp_path / "models" / "demo.yaml").read_text())
    model["framework"] = {"name": "own", "version": "1"}
    (tmp_path / "models" / "demo.yaml").write_text(json.dumps(model))


def log(**settings: Any) -> ModelSpec:
    return ModelSpec(log=settings)


@pytest.mark.parametrize(
    ("bounds", "spec", "why"),
    [
        ({"content_days": 30}, log(), None),
        ({"content_days": 31}, log(), "content_days of request_log is 30, at least 31 are asked"),
        ({"content_days": 31}, log(retention={"content_days": 31}), None),
        ({"flagged_content_days": 731}, log(), "flagged_content_days of request_log is 730, at least 731 are asked"),
        ({"most_content_days": 30}, log(), None),
        ({"most_content_days": 29}, log(), "content_days of request_log is 30, at most 29 are allowed"),
        ({"most_flagged_content_days": 1}, log(), "flagged_content_days of request_log is 730, at most 1 are allowed"),
        ({"content_days": 1}, log(content=False), "request_log keeps no texts"),
        ({"most_content_days": 1}, log(content=False), None),
        (
            {"content_days": 1},
            ModelSpec(safeguards={"request_log": {"on_failure": "pass"}}),
            "request_log is not mounted with mode enforce and on_failure block",
        ),
    ],
)
def test_a_row_is_met_when_texts_are_kept_as_it_says(
    tmp_path: Path, bounds: dict[str, int], spec: ModelSpec, why: str | None
) -> None:
    written(tmp_path, bounds, spec)
    found = [row.why for row in unmet(load(tmp_path), "demo", NOW) if row.row == "R1"]
    assert found == ([] if why is None else [why])


def test_the_floor_is_the_most_that_a_binding_row_asks(tmp_path: Path) -> None:
    written(tmp_path, {"content_days": 20, "flagged_content_days": 40}, log())
    assert content_floor(load(tmp_path)) == 40


def test_a_row_that_does_not_bind_asks_for_nothing(tmp_path: Path) -> None:
    written(tmp_path, {"content_days": 20}, log(), level=3)
    assert content_floor(load(tmp_path)) == 0


@pytest.mark.parametrize("name", ["anthropic-rsp-2.2", "anthropic-rsp-3.4"])
def test_the_built_in_standards_ask_for_thirty_days_from_level_three_on(name: str) -> None:
    document = parse(name, (builtin_standards() / f"{name}.yaml").read_bytes())
    standard = validate(document, Standard)
    rows = {row.id: row for row in standard.rows if isinstance(row, RetentionRow)}
    assert set(rows) == {"C14.retention", "C15.retention"}
    assert {(row.level, row.parameters.content_days) for row in rows.values()} == {(3, 30)}
