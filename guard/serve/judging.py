"""Judging the policies while they are served: evidence lapses by itself, and metrics, log and records say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from guard.policy.controls import Deviation, describing
from guard.policy.coverage import unscreened
from guard.policy.diff_rules import Effect
from guard.policy.floor import Overdue, evidence_ends, overdue
from guard.policy.load import Config
from guard.policy.report import ModelReport, standing
from guard.policy.thresholds import resolve
from guard.telemetry.logs import Event, JsonLog, Level, Value
from guard.telemetry.meter import Meter
from guard.telemetry.observe import coverage_judged, policy_gone, policy_judged
from safeguards.ports import Clock

JUDGE_SECONDS: Final = 5.0
Note = Callable[[str, str, str, str], None]
MAX_ROWS: Final = 50
MAX_NAMED: Final = 10
_DATED: Final = (
    "guard_attestation_expiry_timestamp_seconds",
    "guard_attestation_overdue_seconds",
    "guard_threshold_expiry_timestamp_seconds",
    "guard_controls_deviations",
    "guard_policy_routable_until_timestamp_seconds",
)


class Judging:
    """Each model's standing against its standard, again and again."""

    def __init__(self, config: Config, meter: Meter, log: JsonLog, clock: Clock, note: Note) -> None:
        """Take the policies, where the figures and lines go, the time, and what puts an act on record (row F3)."""
        self._config = config
        self._meter = meter
        self._log = log
        self._clock = clock
        self._routable: dict[str, bool] = {}
        self._lapsed: set[tuple[str, str]] = set()
        self._drift: dict[str, tuple[Deviation, ...]] = {}
        self._note = note
        self._reports: dict[str, ModelReport] = {}
        self._lapses: list[tuple[str, str, float]] = []

    async def watch(self) -> None:
        """Judge for ever; a judgement that fails is logged and the next one comes."""
        while True:
            try:
                for what, subject, reason in self.judge():
                    self._note("guard", what, subject, reason)
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
            self._drift.pop(alias, None)
            policy_gone(self._meter, alias)
        self._config = config
        self._reports.clear()

    @property
    def reports(self) -> tuple[ModelReport, ...]:
        """Each model's standing as it was judged last, a few seconds ago."""
        if not self._reports:
            at = datetime.fromtimestamp(self._clock.now(), UTC)
            self._reports = {alias: standing(self._config, alias, at) for alias in self._config.models}
        return tuple(self._reports.values())

    @property
    def lapses(self) -> tuple[tuple[str, str, float], ...]:
        """What ends and when: the model, the evidence or the threshold, and seconds since the epoch."""
        return tuple(self._lapses)

    def judge(self) -> list[tuple[str, str, str]]:
        """Judge every model now; a change is logged and returned for the record: what, of what, and why."""
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        for name in _DATED:
            self._meter.forget(name)
        news: list[tuple[str, str, str]] = []
        lapsed = {(alias, late.row): late for alias in self._config.models for late in overdue(self._config, alias, at)}
        for (alias, row), late in lapsed.items():
            self._late(alias, late)
            if (alias, row) not in self._lapsed:
                news.append(("evidence lapsed", f"{alias} {row} {late.claim}", f"{late.days} days ago: {late.then}"))
        self._lapsed = set(lapsed)
        self._reports, self._lapses = {}, []
        for alias, policy in self._config.models.items():
            report = self._reports[alias] = standing(self._config, alias, at)
            asl = max(policy.asl.deployment, policy.asl.security)
            framework = " and ".join((f"{report.standard} {report.version}", *report.also))
            policy_judged(self._meter, alias, asl, framework, self._config.digest, len(report.unmet))
            coverage_judged(self._meter, alias, unscreened(self._config, alias))
            self._dates(alias, at)
            if report.until is not None:
                key = self._meter.bind("guard_policy_routable_until_timestamp_seconds", alias)
                self._meter.set(key, report.until.timestamp())
            news += self._drifted(alias, report.deviations)
            if self._routable.get(alias) is not report.routable:
                self._routable[alias] = report.routable
                if report.routable:
                    self._log.emit(Level.INFO, Event.MODEL_ROUTABLE, model=alias)
                    news.append(("model routable", alias, framework))
                else:
                    rows = [row.row for row in report.unmet]
                    news.append(("model not routable", alias, f"{framework}: {', '.join(rows[:MAX_ROWS])}"))
                    self._log.emit(
                        Level.ERROR, Event.MODEL_NOT_ROUTABLE, model=alias, unmet=rows[:MAX_ROWS], count=len(rows)
                    )
        return news

    def _dates(self, alias: str, at: datetime) -> None:
        """Say until when evidence and findings hold."""
        for claim, end in evidence_ends(self._config, alias).items():
            self._meter.set(self._meter.bind("guard_attestation_expiry_timestamp_seconds", alias, claim), end)
            self._lapses.append((alias, claim, end))
        standard, assessments = self._config.standard(alias), self._config.models[alias].thresholds
        for each in resolve(standard, assessments, at):
            if each.until is not None:
                key = self._meter.bind("guard_threshold_expiry_timestamp_seconds", alias, each.threshold.name)
                self._meter.set(key, each.until.timestamp())
                self._lapses.append((alias, f"finding on {each.threshold.name}", each.until.timestamp()))

    def _drifted(self, alias: str, found: tuple[Deviation, ...]) -> list[tuple[str, str, str]]:
        """Count what is not as evidence describes it; when that becomes other than it was, it is news (row E13)."""
        for claim in describing(self._config, self._config.models[alias]):
            for effect in Effect:
                number = sum((each.claim, each.effect) == (claim, effect) for each in found)
                self._meter.set(self._meter.bind("guard_controls_deviations", alias, claim, effect), float(number))
        if found == self._drift.get(alias, ()):
            return []
        self._drift[alias] = found
        if not found:
            return [("controls as described", alias, "nothing deviates any longer")]
        named = [f"{each.effect} since {each.claim}: {each.subject} {each.key}" for each in found[:MAX_NAMED]]
        return [("controls deviate", alias, f"{len(found)}: {'; '.join(named)}")]

    def _late(self, alias: str, late: Overdue) -> None:
        """Say for how long it has lapsed; the first time it is logged."""
        key = self._meter.bind("guard_attestation_overdue_seconds", alias, late.claim, late.then.value)
        self._meter.set(key, late.days * 86400.0)
        if (alias, late.row) not in self._lapsed:
            told: dict[str, Value] = {"row": late.row, "claim": late.claim, "days": late.days, "then": late.then.value}
            self._log.emit(Level.WARNING, Event.EVIDENCE_LAPSED, model=alias, **told)

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
                    "also": list(report.also),
                    "asl": {"deployment": report.deployment, "security": report.security},
                    "routable": report.routable,
                    "until": report.until.isoformat() if report.until else None,
                    "unmet": [row.row for row in report.unmet],
                }
            )
        return found
