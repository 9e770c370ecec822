"""``guard check``: its three exit codes, another day, and its form for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_model_that_meets_its_standard_is_0_and_until_when_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10)])
    assert main(["check", "--config", str(tmp_path), "--at", "2026-06-10"]) == 0
    assert "demo: routable until 2026-06-11T00:00:00Z" in capsys.readouterr().out


def test_a_model_below_its_floor_is_1_and_every_row_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10), ModelSpec("bare", without=("access",))])
    assert main(["check", "--config", str(tmp_path), "--at", "2026-06-11"]) == 1
    out = capsys.readouterr().out
    assert "demo: NOT ROUTABLE" in out
    for row in ("L2.model_card", "L2.usage_policy", "L2.access"):
        assert row in out


def test_for_machines_it_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10)])
    for day, code in (("2026-06-10", 0), ("2026-06-11", 1)):
        assert main(["check", "--config", str(tmp_path), "--at", day, "--json"]) == code
        found = json.loads(capsys.readouterr().out)
        assert found["at"] == f"{day}T00:00:00Z"
        assert found["routable"] is (code == 0)
        assert found["models"][0]["model"] == "demo"


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01", "", "2026-06-10T00:00:00"])
def test_what_is_no_day_is_2(day: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(tmp_path), "--at", day])
    assert ended.value.code == 2
    assert "a day as YYYY-MM-DD" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_compiled_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(
        tmp_path,
        rules=[
            {"id": "bad", "category": "other", "pattern": "a{1,2"},
            {"id": "worse", "category": "other", "pattern": "["},
        ],
    )
    assert main(["check", "--config", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("models/demo.yaml: safeguards.patterns: rule ")
