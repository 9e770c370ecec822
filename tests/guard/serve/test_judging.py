"""Judging says in metrics and in the log what holds until when, what has lapsed, what is not routable or screened."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from guard.policy.controls import controls
from guard.policy.described import Controls, fingerprint
from guard.policy.load import load
from guard.policy.model import Mode
from guard.serve.judging import Judging
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.road import Still
from tests.parts.configuration import CLAIMS, ModelSpec, write_configuration
from tests.safeguards.exchanges import StillClock

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def unrecorded(*_: str) -> None:
    """Take an act that these tests do not look for."""


class Judged:
    """A judging over a written configuration, with its clock, page and lines."""

    def __init__(self, directory: Path) -> None:
        """Write a configuration whose evidence lapses in ten days."""
        write_configuration(directory, models=[ModelSpec(evidence_days=10)], now=NOW)
        self.clock = StillClock(epoch=NOW.timestamp())
        meter = Meter(Origin.SUPERVISOR)
        self._exposition = Exposition(meter)
        self.judging = Judging(load(directory), meter, JsonLog(self.clock), self.clock, unrecorded)

    def page(self) -> str:
        """Judge now and render the metrics."""
        self.judging.judge()
        return self._exposition.page().render("")[0].decode()


def at(day: str) -> float:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp()


def test_the_end_of_each_attestation_is_told(tmp_path: Path) -> None:
    page = Judged(tmp_path).page()
    line = 'guard_attestation_expiry_timestamp_seconds{attestation="model_card",model="demo"}'
    assert any(each.startswith(line) and float(each.split()[-1]) == at("2026-06-11") for each in page.splitlines())
    assert "guard_attestation_overdue_seconds{" not in page


def test_a_lapse_is_measured_and_logged_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    judged = Judged(tmp_path)
    judged.clock.epoch = at("2026-06-14")
    first = judged.page()
    line = 'guard_attestation_overdue_seconds{attestation="model_card",model="demo",then="stop_serving"} 259200'
    assert line in first
    judged.page()
    said = capfd.readouterr().err
    assert said.count('"evidence_lapsed"') == 2  # the card and the usage policy, each once
    assert said.count('"model_not_routable"') == 1


def test_what_is_renewed_is_no_longer_overdue(tmp_path: Path) -> None:
    judged = Judged(tmp_path)
    judged.clock.epoch = at("2026-06-14")
    assert "guard_attestation_overdue_seconds{" in judged.page()
    judged.clock.epoch = at("2026-06-02")
    assert "guard_attestation_overdue_seconds{" not in judged.page()


def test_until_when_a_model_is_routable_is_told_while_it_is(tmp_path: Path) -> None:
    judged = Judged(tmp_path)
    line = 'guard_policy_routable_until_timestamp_seconds{model="demo"} '
    (found,) = [each for each in judged.page().splitlines() if each.startswith(line)]
    assert float(found.split()[-1]) == at("2026-06-11")
    judged.clock.epoch = at("2026-06-14")
    assert "guard_policy_routable_until_timestamp_seconds{" not in judged.page()


def test_every_standard_of_a_model_is_named(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec()], now=NOW)
    path = tmp_path / "models" / "demo.yaml"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "also": [{"name": "eu-ai-act", "version": "2024/1689"}]})
    )
    clock, meter, quiet = Still(NOW.timestamp()), Meter(Origin.SUPERVISOR), os.open(os.devnull, os.O_WRONLY)
    judging = Judging(load(tmp_path), meter, JsonLog(clock, fd=quiet), clock, unrecorded)
    both = "example-internal 1 and eu-ai-act 2024/1689"
    (news,) = judging.judge()
    assert news[2].startswith(f"{both}: ")
    assert [key[3] for key in meter.state().gauges if key[0] == "guard_policy_info"] == [both]
    (told,) = judging.standing()
    assert (told["standard"], told["also"]) == ("example-internal 1", ["eu-ai-act 2024/1689"])
    os.close(quiet)


def test_deviations_from_what_a_report_describes_are_counted_and_put_on_record_once(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec()], now=NOW)
    config, clock, meter = load(tmp_path), Still(NOW.timestamp()), Meter(Origin.SUPERVISOR)
    policy = config.models["demo"]
    lines = controls(config, policy)
    first, *rest = config.evidence["demo"]
    described = first.model_copy(update={"controls": Controls(sha256=fingerprint(lines), lines=lines)})
    shadowed = tuple(
        mount.model_copy(update={"mode": Mode.SHADOW}) if mount.use == "limits" else mount
        for mount in policy.safeguards
    )
    weaker = policy.model_copy(update={"safeguards": shadowed})
    reported = replace(config, evidence=MappingProxyType({"demo": (described, *rest)}))
    quiet = os.open(os.devnull, os.O_WRONLY)
    judging = Judging(reported, meter, JsonLog(clock, fd=quiet), clock, unrecorded)

    def counted() -> dict[tuple[str, ...], float]:
        gauges = meter.state().gauges.items()
        return {key[1:]: value for key, value in gauges if key[0] == "guard_controls_deviations"}

    assert judging.judge() == [("model routable", "demo", "example-internal 1")]
    assert counted() == {("demo", first.claim, effect): 0.0 for effect in ("stronger", "weaker", "neutral")}
    judging.take(replace(reported, models=MappingProxyType({"demo": weaker})))
    said = f"1: weaker since {first.claim}: model demo safeguards.limits.mode"
    assert judging.judge()[0] == ("controls deviate", "demo", said)
    assert judging.judge() == []
    assert counted()["demo", first.claim, "weaker"] == 1.0
    judging.take(config)
    assert judging.judge()[0] == ("controls as described", "demo", "nothing deviates any longer")
    assert counted() == {}
    os.close(quiet)


def test_each_model_is_judged_by_its_floor_and_its_coverage(tmp_path: Path) -> None:
    soft = ModelSpec("soft", safeguards={"patterns": {"mode": "shadow"}}, operations=("chat", "embeddings"))
    write_configuration(tmp_path, models=[ModelSpec(evidence_days=10), soft], now=NOW)
    clock, meter = Still(NOW.timestamp()), Meter(Origin.SUPERVISOR)
    quiet = os.open(os.devnull, os.O_WRONLY)
    judging = Judging(load(tmp_path), meter, JsonLog(clock, fd=quiet), clock, unrecorded)

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


def test_a_lapse_and_what_comes_of_it_are_for_the_record_once_each_time(tmp_path: Path) -> None:
    judging = (judged := Judged(tmp_path)).judging
    assert judging.judge() == [("model routable", "demo", "example-internal 1")]
    assert judging.judge() == []
    judged.clock.epoch = at("2026-06-14")
    card, usage, gone = judging.judge()
    assert card == ("evidence lapsed", "demo L2.model_card model_card", "3 days ago: stop_serving")
    assert usage[1] == "demo L2.usage_policy usage_policy"
    assert gone == ("model not routable", "demo", "example-internal 1: L2.model_card, L2.usage_policy")
    judged.clock.epoch = at("2026-06-02")
    assert judging.judge() == [("model routable", "demo", "example-internal 1")]
    judged.clock.epoch = at("2026-06-14")
    assert len(judging.judge()) == 3


def test_what_is_new_is_put_on_record_while_it_is_watched(tmp_path: Path) -> None:
    write_configuration(tmp_path, now=NOW)
    clock, recorded = StillClock(epoch=NOW.timestamp()), asyncio.Queue[tuple[str, ...]]()

    def record(*act: str) -> None:
        recorded.put_nowait(act)

    async def watch() -> tuple[str, ...]:
        judging = Judging(load(tmp_path), Meter(Origin.SUPERVISOR), JsonLog(clock), clock, record)
        watching = asyncio.ensure_future(judging.watch())
        try:
            return await asyncio.wait_for(recorded.get(), 30)
        finally:
            watching.cancel()

    assert asyncio.run(watch()) == ("guard", "model routable", "demo", "example-internal 1")


def test_the_control_page_has_what_was_judged_last_and_after_a_change_what_is_so_now(tmp_path: Path) -> None:
    judged = Judged(tmp_path)
    assert [each.model for each in judged.judging.reports] == ["demo"]
    judged.judging.judge()
    reports = judged.judging.reports
    assert [(each.model, each.routable) for each in reports] == [("demo", True)]
    assert judged.judging.reports[0] is reports[0]
    assert {(model, claim) for model, claim, _ in judged.judging.lapses} == {("demo", claim) for claim in CLAIMS}
    judged.judging.take(judged.judging._config)
    assert judged.judging.reports[0] is not reports[0]
