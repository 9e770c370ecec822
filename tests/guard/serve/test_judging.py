"""The supervisor's judgement of the policies: what the gauges and the log say, and that both follow the clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from guard.policy.load import load
from guard.serve.judging import Judging
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.road import Still
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_each_model_is_judged_by_its_floor_and_its_coverage(tmp_path: Path) -> None:
    soft = ModelSpec("soft", safeguards={"patterns": {"mode": "shadow"}}, operations=("chat", "embeddings"))
    write_configuration(tmp_path, models=[ModelSpec(evidence_days=10), soft], now=NOW)
    clock, meter = Still(NOW.timestamp()), Meter(Origin.SUPERVISOR)
    quiet = os.open(os.devnull, os.O_WRONLY)
    judging = Judging(load(tmp_path), meter, JsonLog(clock, fd=quiet), clock)

    def gauges(name: str) -> dict[tuple[str, ...], float]:
        return {key[1:]: value for key, value in meter.state().gauges.items() if key[0] == name}

    judging.judge()
    assert gauges("guard_policy_compliant") == {("demo", "2"): 1.0, ("soft", "2"): 1.0}
    assert gauges("guard_unscreened_paths") == {
        ("demo", "input"): 0.0,
        ("demo", "output"): 0.0,
        ("soft", "input"): 2.0,
        ("soft", "output"): 1.0,
    }
    clock.at += 10 * 86_400
    judging.judge()
    assert gauges("guard_policy_compliant") == {("demo", "2"): 0.0, ("soft", "2"): 1.0}
    assert gauges("guard_policy_unmet_rows")["demo",] == 2.0
    os.close(quiet)
