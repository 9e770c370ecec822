"""``guard explain``: its exit codes, its text, its form for machines."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_routable_model_is_0_and_the_text_says_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10)])
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-06-09"]) == 0
    out = capsys.readouterr().out
    for said in (
        "demo: routable until 2026-06-11T00:00:00Z, seen at 2026-06-09T00:00:00Z\n",
        "levels      deployment ASL-2, security ASL-2\n",
        "it is sent no credential\n",
        "surface     public at 127.0.0.1:0, without TLS\n",
        "1. request_log: enforced; a failure blocks; within 5 s; durable within_a_second; ",
        "     meets L2.screens_input, L2.screens_output\n",
        "Rows that bind it: 12 met, 0 unmet\n",
        "met    L1.kill_switch (deployment 1): safeguard kill_switch\n",
        "model_card: 2 days left, until 2026-06-11; a team; L2.model_card\n",
        "general: chat; 1e+06 a minute and 100000 at once for each key; 2 keys, 1 of them expired\n",
        "2026-06-11T00:00:00Z  evidence model_card: the model is not served\n",
    ):
        assert said in out
    assert max(len(line) for line in out.splitlines()) < 140


def test_a_model_below_its_floor_is_1_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft = {"patterns": {"mode": "shadow"}, "limits": {"on_failure": "pass"}}
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(asl=3, safeguards=soft, evidence_days=10)])
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-06-12"]) == 1
    out = capsys.readouterr().out
    for said in (
        "demo: NOT ROUTABLE, seen at 2026-06-12T00:00:00Z\n",
        "limits: enforced; a failure PASSES; ",
        "patterns (classifier): SHADOW: recorded, not carried out; ",
        "UNMET  L3.screens_input (deployment 3): no classifier screens the input",
        "requires: A classifier can block a prompt.\n",
        "model_card: LAPSED on 2026-06-11, 1 day ago; a team; ",
        "UNMET  L2.model_card (deployment 2): the attestation of model_card expired 1 day ago (2026-06-11)\n",
    ):
        assert said in out


def test_what_is_done_when_something_is_found_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(), ModelSpec("small", upstream="http://127.0.0.1:8")])
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-06-09"]) == 0
    out = capsys.readouterr().out
    for said in ("response: no time is set", "ladder: stop\n", "monitoring: no band is declared", "clock: none runs"):
        assert f"  {said}" in out
    path = tmp_path / "models" / "demo.yaml"
    band = {"value": "hit_rate", "window_seconds": 60, "max": 0.1, "at_least": 9, "then": "step_down"}
    sections: dict[str, dict[str, Any]] = {
        "dials": {"coverage": "expanded", "robustness": 2},
        "response": {"max_hours": 48, "severe_max_hours": 12, "trip_from_severity": 3},
        "ladder": {
            "fallback": {"model": "small", "categories": ["other"]},
            "no_new_principals": True,
            "de_deployed": {"replacement": "small"},
        },
        "monitoring": {"bands": [band], "reviewed": "2026-06-01", "review_every_days": 30},
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **sections}))
    clock = {"name": "law", "starts": "discovered", "hours": 72, "to": "the office", "source": "the law"}
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    (tmp_path / "guard.yaml").write_text(json.dumps({**guard, "clocks": [clock], "drills": {"every_seconds": 600}}))
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-06-09"]) == 0
    out = capsys.readouterr().out
    for said in (
        "dials       coverage expanded, robustness 2, as declared\n",
        "response: fixed within 48 h, severe within 12 h; late: stop; a step down from severity 3 on\n",
        "ladder: fallback to small for other\n",
        "ladder: no_new_principals\n",
        "ladder: stop\n",
        "withdrawn: small is named in its place\n",
        "monitoring: hit_rate over 60 s from 0 to 0.1, of at least 9; else step_down\n",
        "monitoring: to be reviewed by 2026-07-01\n",
        "clock law: 72 h from discovered, severity 0 on: the office\n",
        "drills: every 600 s\n",
    ):
        assert said in out
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-06-09", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dials"] == sections["dials"]
    assert told["response"] == {**sections["response"], "on_overdue": "stop"}
    assert told["ladder"]["fallback"] == {"model": "small", "categories": ["other"]}
    assert told["monitoring"]["bands"][0]["value"] == "hit_rate"
    assert (told["clocks"][0]["hours"], told["drills"]["every_seconds"]) == (72, 600)


def test_the_controls_can_be_pasted_into_a_reports_attestation_and_drift_from_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> str:
        main([*arguments, "--config", str(tmp_path), *(() if "--controls" in arguments else ("--at", "2026-06-09"))])
        return capsys.readouterr().out

    write_configuration(tmp_path, now=NOW)
    printed = run("explain", "demo", "--controls")
    sha256 = hashlib.sha256(printed.encode()).hexdigest()
    assert json.loads(run("explain", "demo", "--json"))["controls"] == sha256
    assert f"controls    fingerprint {sha256}\n" in run("explain", "demo")
    report = ["  - claim: risk_report", "    uri: x", f"    sha256: '{'0' * 64}'", "    owner: a team"]
    report += ["    issued: 2026-06-01", "    expires: 2026-12-01", "    controls:", f"      sha256: '{sha256}'"]
    report += ["      lines: |", *(f"        {line}" for line in printed.splitlines())]
    (tmp_path / "evidence").mkdir(exist_ok=True)
    (tmp_path / "evidence" / "report.yaml").write_text("\n".join(["version: 1", "attestations:", *report, ""]))
    path = tmp_path / "models" / "demo.yaml"
    model = json.loads(path.read_text())
    path.write_text(json.dumps({**model, "evidence": "evidence/report.yaml"}))
    assert json.loads(run("explain", "demo", "--json"))["deviations"] == []
    model["safeguards"][-1]["deadline_seconds"] = 0.25
    path.write_text(json.dumps({**model, "evidence": "evidence/report.yaml"}))
    name = model["safeguards"][-1].get("name", model["safeguards"][-1]["use"])
    place = f"model demo safeguards.{name}.deadline_seconds"
    assert f"  neutral since risk_report: {place}: " in run("explain", "demo")
    assert f"  not as risk_report describes (neutral): {place}: " in run("check")
    (model,) = json.loads(run("check", "--json"))["models"]
    assert [(each["claim"], each["effect"], each["now"]) for each in model["deviations"]] == [
        ("risk_report", "neutral", "0.25")
    ]


def test_evidence_of_the_future_is_not_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, now=NOW)
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", "2026-04-01"]) == 1
    assert "model_card: NOT YET: issued 2026-05-02; a team; L2.model_card\n" in capsys.readouterr().out


@pytest.mark.parametrize(("day", "code"), [("2026-06-10", 0), ("2026-06-11", 1)])
def test_for_machines_it_is_one_object(day: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10)])
    assert main(["explain", "demo", "--config", str(tmp_path), "--at", day, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["at"], found["routable"]) == ("demo", f"{day}T00:00:00Z", code == 0)
    assert found["until"] == ("2026-06-11T00:00:00Z" if code == 0 else None)
    assert found["safeguards"][0]["rows"] == ["L1.request_log"]
    assert found["evidence"][0]["issued"] == "2026-05-02"
    assert len(found["standard"]["sha256"]) == 64
    assert all(bool(row["met_by"]) is (row["why"] is None) for row in found["rows"])


def test_an_unknown_model_is_2_and_those_that_exist_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, models=[ModelSpec(f"m{number}") for number in range(10, 35)])
    assert main(["explain", "mm\x1b[2J", "--config", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.startswith("guard: there is no model 'mm\\x1b[2J'; there are: m10, m11, ")
    assert shown.err.endswith(", m29 and 5 more\n")


def test_an_invalid_configuration_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, rules=[{"id": "bad", "category": "other", "pattern": "a{1,2"}])
    assert main(["explain", "demo", "--config", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("rules/test.yaml:9: rules[0].pattern: ")
