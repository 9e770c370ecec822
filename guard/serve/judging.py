"""Judging the policies while they are served: evidence lapses on its own, and the metrics and the log say so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from guard.policy.controls import describing
from guard.policy.coverage import unscreened
from guard.policy.diff_rules import Effect
from guard.policy.floor import evidence_ends, overdue
from guard.policy.load import Config
from guard.policy.report import standing
from guard.policy.thresholds import resolve
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.observe import coverage_judged, policy_gone, policy_judged
from safeguards.ports import Clock

JUDGE_SECONDS: Final = 5.0
MAX_ROWS: Final = 50
_DATED: Final = (
    "guard_attestation_expiry_timestamp_seconds",
    "guard_attestation_overdue_seconds",
    "guard_threshold_expiry_timestamp_seconds",
    "guard_controls_deviations",
)


class Judging:
    """Each model's standing against its standard, again and again."""

    def __init__(self, config: Config, meter: Meter, log: JsonLog, clock: Clock) -> None:
        """Take the policies, where the figures and lines go, and the time."""
        self._config = config
        self._meter = meter
        self._log = log
        self._clock = clock
        self._routable: dict[str, bool] = {}
        self._lapsed: set[tuple[str, str]] = set()

    async def watch(self) -> None:
        """Judge for ever; a judgement that fails is logged and the next one comes."""
        while True:
            try:
                self.judge()
            except Exception as problem:  # noqa: BLE001 - workers judge for themselves; this must go on telling
                self._log.failure(Event.INTERNAL_ERROR, problem)
            await asyncio.sleep(JUDGE_SECONDS)

    def take(self, config: Config) -> None:
        """Judge another configuration from now on; what is said of models that are gone ends."""
        gone = self._config.models.keys() - config.models.keys()
        for alias in self._config.models:
            self._meter.forget("guard_attestation_expiry_timestamp_seconds", alias)
        for alias in gone:
            self._routable.pop(alias, None)
            policy_gone(self._meter, alias)
        self._config = config

    def judge(self) -> None:
        """Judge every model now; a change is logged."""
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        for name in _DATED:
            self._meter.forget(name)
        for alias, policy in self._config.models.items():
            report = standing(self._config, alias, at)
            asl = max(policy.asl.deployment, policy.asl.security)
            framework = f"{report.standard} {report.version}"
            policy_judged(self._meter, alias, asl, framework, self._config.digest, len(report.unmet))
            coverage_judged(self._meter, alias, unscreened(self._config, alias))
            self._dates(alias, at)
            for claim in describing(self._config, policy):
                for effect in Effect:
                    found = sum((each.claim, each.effect) == (claim, effect) for each in report.deviations)
                    self._meter.set(self._meter.bind("guard_controls_deviations", alias, claim, effect), float(found))
            if self._routable.get(alias) is not report.routable:
                self._routable[alias] = report.routable
                if report.routable:
                    self._log.emit(Level.INFO, Event.MODEL_ROUTABLE, model=alias)
                else:
                    rows = [row.row for row in report.unmet]
                    self._log.emit(
                        Level.ERROR, Event.MODEL_NOT_ROUTABLE, model=alias, unmet=rows[:MAX_ROWS], count=len(rows)
                    )

    def _dates(self, alias: str, at: datetime) -> None:
        """Say until when evidence and findings hold, and which have lapsed; each lapse is logged once."""
        for claim, end in evidence_ends(self._config, alias).items():
            self._meter.set(self._meter.bind("guard_attestation_expiry_timestamp_seconds", alias, claim), end)
        standard, assessments = self._config.standard(alias), self._config.models[alias].thresholds
        for each in resolve(standard, assessments, at):
            if each.until is not None:
                key = self._meter.bind("guard_threshold_expiry_timestamp_seconds", alias, each.threshold.name)
                self._meter.set(key, each.until.timestamp())
        for late in overdue(self._config, alias, at):
            key = self._meter.bind("guard_attestation_overdue_seconds", alias, late.claim, late.then.value)
            self._meter.set(key, late.days * 86400.0)
            if (alias, late.row) not in self._lapsed:
                self._lapsed.add((alias, late.row))
                self._log.emit(
                    Level.WARNING,
                    Event.EVIDENCE_LAPSED,
                    model=alias,
                    row=late.row,
                    claim=late.claim,
                    days=late.days,
                    then=late.then.value,
                )

    def standing(self) -> list[dict[str, Any]]:
        """Each model's standing at this moment, for the admin API."""
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        found = []
        for alias in self._config.models:
            report = standing(self._config, alias, at)
            found.append(
                {
                    "model": alias,
                    "standard": f"{report.standard} {report.version}",
                    "asl": {"deployment": report.deployment, "security": report.security},
                    "routable": report.routable,
                    "until": report.until.isoformat() if report.until else None,
                    "unmet": [row.row for row in report.unmet],
                }
            )
        return found
