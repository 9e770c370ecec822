"""The check `copies`: a model whose records may lag more than its standard allows is below the floor."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.policy.floor import unmet
from guard.policy.load import load
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE, REFUSING = {"max_lag_seconds": 60}, {"max_lag_seconds": 60, "when_behind": "refuse"}
NONE = "no copies of the request log are made elsewhere, or none are demanded (`copies` of request_log)"


@pytest.mark.parametrize(
    ("asked", "spec", "why"),
    [
        (MINUTE, ModelSpec(log={"copies": MINUTE}), None),
        (MINUTE, ModelSpec(log={"copies": REFUSING}), None),
        (REFUSING, ModelSpec(log={"copies": REFUSING}), None),
        (MINUTE, ModelSpec(), NONE),
        (
            {"max_lag_seconds": 59},
            ModelSpec(log={"copies": MINUTE}),
            "max_lag_seconds of copies is 60, at most 59 are allowed",
        ),
        (REFUSING, ModelSpec(log={"copies": MINUTE}), "requests go on when copies lag: when_behind must be refuse"),
        (
            MINUTE,
            ModelSpec(log={"copies": MINUTE}, safeguards={"request_log": {"on_failure": "pass"}}),
            "request_log is not mounted with mode enforce and on_failure block",
        ),
    ],
)
def test_a_row_is_met_when_records_may_lag_no_more_than_it_says(
    tmp_path: Path, asked: dict[str, Any], spec: ModelSpec, why: str | None
) -> None:
    write_configuration(tmp_path, now=NOW, models=[spec])
    row = {"id": "R1", "axis": "deployment", "level": 1, "requires": "Copies.", "source": "us"}
    standard = {
        "name": "own",
        "version": "1",
        "title": "own",
        "source": "https://example.com",
        "rows": [{**row, "check": "copies", "with": asked}],
    }
    (tmp_path / "standards").mkdir()
    (tmp_path / "standards" / "own.yaml").write_text(json.dumps(standard))
    model = json.loads((tmp_path / "models" / "demo.yaml").read_text())
    model["framework"] = {"name": "own", "version": "1"}
    (tmp_path / "models" / "demo.yaml").write_text(json.dumps(model))
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["storage"]["ship"] = {"to": "file:///share"}
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    assert [found.why for found in unmet(load(tmp_path), "demo", NOW)] == ([] if why is None else [why])
