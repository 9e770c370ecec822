"""Prometheus's own tool accepts the configuration and the rules, and every alert is tested and has a runbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.expressions import DEPLOY, ROOT, RUNBOOKS, alerts
from tests.parts.prometheus import promtool

PROMETHEUS = DEPLOY / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))


def test_promtool_accepts_the_configuration_and_finds_its_rules() -> None:
    done = promtool("check", "config", "--lint-fatal", str(PROMETHEUS / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", "--lint-fatal", *map(str, sorted((PROMETHEUS / "rules").glob("*.yaml"))))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_tests_of_the_rules_pass() -> None:
    assert TESTS
    done = promtool("test", "rules", *map(str, TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_tests_fail_when_the_rule_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    rules = (PROMETHEUS / "rules" / "guard.yaml").read_text()
    assert "or (guard_unscanned_total > 0 unless guard_unscanned_total offset 10m)" in rules
    without = rules.replace("or (guard_unscanned_total > 0 unless guard_unscanned_total offset 10m)", "")
    (tmp_path / "rules" / "guard.yaml").write_text(without)
    (tmp_path / "tests" / "guard.yaml").write_text((PROMETHEUS / "tests" / "guard.yaml").read_text())
    assert promtool("test", "rules", str(tmp_path / "tests" / "guard.yaml")).returncode != 0


def expected(alert: str) -> list[bool]:
    """Whether the alert fires, in each of its unit tests."""
    return [
        bool(each["exp_alerts"])
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for each in test["alert_rule_test"]
        if each["alertname"] == alert
    ]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_has_a_runbook_a_severity_and_a_test_of_firing_and_of_silence(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert ROOT / alert["annotations"]["runbook_url"] == RUNBOOKS / f"{name}.md"
    assert (RUNBOOKS / f"{name}.md").is_file()
    assert alert["labels"]["severity"] in {"page", "info"}
    assert {"summary", "description"} <= set(alert["annotations"])
    assert set(expected(name)) == {True, False}, "its unit tests must see it fire, and see it silent"


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == {alert["alert"] for alert in alerts()}
