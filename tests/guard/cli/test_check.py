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


def test_as_sarif_the_codes_are_the_same_also_for_an_invalid_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10)])
    check = ["check", "--config", str(tmp_path), "--sarif", "--at"]
    for day, code in (("2026-06-10", 0), ("2026-06-11", 1)):
        assert main([*check, day]) == code
        (run,) = json.loads(capsys.readouterr().out)["runs"]
        assert bool(run["results"]) is bool(code)
    (tmp_path / "tiers.yaml").unlink()
    assert main([*check, "2026-06-10"]) == 2
    out, err = capsys.readouterr()
    (run,) = json.loads(out)["runs"]
    assert run["invocations"] == [{"executionSuccessful": False}]
    assert run["results"][0]["message"]["text"] == "is missing"
    assert err == "tiers.yaml: is missing\n"


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
    assert err.startswith("rules/test.yaml:9: rules[0].pattern: the pattern ")


def test_secrets_that_serve_would_refuse_are_2_unless_they_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, now=NOW)
    path = tmp_path / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    content["upstream"]["credential"] = {"file": "secrets/upstream"}
    path.write_text(json.dumps(content))
    check = ["check", "--config", str(tmp_path), "--at", "2026-06-10"]
    (tmp_path / "secrets" / "pepper").chmod(0o604)
    assert main(check) == 2
    pepper, credential = capsys.readouterr().err.splitlines()
    assert pepper.startswith("guard.yaml:")
    assert "keys.pepper: secrets/pepper is open to every user (mode 0604)" in pepper
    assert credential == "models/demo.yaml:1: upstream.credential: secrets/upstream is missing"
    assert main([*check, "--without-secrets"]) == 0


def test_without_secrets_no_listener_is_asked_for_its_key(tmp_path: Path) -> None:
    write_configuration(tmp_path, now=NOW)
    path = tmp_path / "guard.yaml"
    content = json.loads(path.read_text())
    content["surfaces"][0]["tls"] = {"certificate": "none.pem", "key": {"file": "secrets/none"}}
    path.write_text(json.dumps(content))
    check = ["check", "--config", str(tmp_path), "--at", "2026-06-10"]
    assert main(check) == 2
    assert main([*check, "--without-secrets"]) == 0
