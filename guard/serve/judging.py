"""Judging the policies while they are served: evidence lapses on its own, and the metrics and the log say so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from guard.policy.compile import first_moment
from guard.policy.load import Config
from guard.policy.report import standing
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.observe import policy_gone, policy_judged
from safeguards.ports import Clock

JUDGE_SECONDS: Final = 5.0
MAX_ROWS: Final = 50


class Judging:
    """Each model's standing against its standard, again and again."""

    def __init__(self, config: Config, meter: Meter, log: JsonLog, clock: Clock) -> None:
        """Take the policies, where the figures and lines go, and the time."""
        self._config = config
        self._meter = meter
        self._log = log
        self._clock = clock
        self._routable: dict[str, bool] = {}

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
        for alias, policy in self._config.models.items():
            report = standing(self._config, alias, at)
            asl = max(policy.asl.deployment, policy.asl.security)
            framework = f"{report.standard} {report.version}"
            policy_judged(self._meter, alias, asl, framework, self._config.digest, len(report.unmet))
            for attestation in self._config.evidence[alias]:
                key = self._meter.bind("guard_attestation_expiry_timestamp_seconds", alias, attestation.claim)
                self._meter.set(key, first_moment(attestation.expires))
            if self._routable.get(alias) is not report.routable:
                self._routable[alias] = report.routable
                if report.routable:
                    self._log.emit(Level.INFO, Event.MODEL_ROUTABLE, model=alias)
                else:
                    rows = [row.row for row in report.unmet]
                    self._log.emit(
                        Level.ERROR, Event.MODEL_NOT_ROUTABLE, model=alias, unmet=rows[:MAX_ROWS], count=len(rows)
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
