"""Drills as the supervisor makes them: when each is due, by which path, and what is measured, recorded and told of it.

Results are files, whoever made the drill: a drill by `guard drill` counts as one made here. A clock that is set does
not keep one from being made; it may make it look late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from guard.drills.bench import Bench
from guard.drills.drill import Ground, drill_lease, drill_stop
from guard.drills.folder import BusyError, DrillFolder
from guard.drills.result import Kind, Result
from guard.drills.standing import Standing, cadence, fields, gapped, gaps, standing
from guard.policy.config import Config
from guard.policy.drills import DrillConfig
from guard.policy.notify import Occasion
from guard.policy.selftest import release_of
from guard.resuming import ResumeJudge
from guard.serve.engines import engine_of
from guard.serve.telling import Tell
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Drill, DrillFailure
from safeguards.ports import Clock

TICK_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 300.0  # after the very first start; a guard that was off begins again after SETTLE_SECONDS
SETTLE_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 300.0
JITTER: Final = 0.2
WHO: Final = "guard"
Record = Callable[[str, str, str, str], Awaitable[object]]


class Drilling:
    """Makes drills for as long as it watches."""

    def __init__(
        self,
        config: Config,
        state: Path,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        record: Record,
        entropy: Callable[[int], bytes],
        tell: Tell,
    ) -> None:
        """Take the policy, the state folder, where figures, lines, records and news go, the time, and randomness."""
        self._config = config
        self._folder = DrillFolder(state)
        self._judge = ResumeJudge(config, state, clock.now, keep=False)
        self._bench = Bench(
            state, self._judge, clock.now, entropy, release=release_of(config), engine=engine_of(config)
        )
        self._meter = meter
        self._log = log
        self._clock = clock
        self._record = record
        self._people = tell
        self._since = clock.now()
        self._due: dict[Kind, float] = {}
        self._results: tuple[Result, ...] = ()
        self._told: tuple[str, ...] = ()
        self._unreadable = ""
        self._begun = False

    def take(self, config: Config) -> None:
        """Go by another configuration; what is due is reckoned anew."""
        before, self._config = self._config.guard.drills, config
        self._judge = self._judge.under(config)
        self._bench = replace(self._bench, judge=self._judge, engine=engine_of(config))
        if before != config.guard.drills:
            self._due.clear()
        self.measure()

    async def watch(self, ready: Callable[[], bool]) -> None:
        """Drill for ever, whenever one is due and every worker serves; what fails is logged, and the next one comes."""
        while True:
            try:
                await self.look()
                for kind in self.due() if ready() else ():
                    await self.make(kind)
            except BusyError:
                pass  # somebody drills by hand: it is tried again in a moment
            except OSError as problem:
                self._say(problem.strerror or str(problem))
                self._postpone(AGAIN_SECONDS)  # one that cannot be noted must not be made every second
            except Exception as problem:  # noqa: BLE001 - whatever it was, the next drill must come
                self._log.failure(Event.INTERNAL_ERROR, problem)
                self._postpone(AGAIN_SECONDS)
            await asyncio.sleep(TICK_SECONDS)

    async def look(self) -> None:
        """Take up results that are new, whoever made them, and measure; raises OSError."""
        if not self._begun:
            since = self._folder.since()
            if since is None:
                since = self._clock.now()
                self._folder.note_since(since)
            self._since = since
            self._results = self._folder.results()
            self._begun = True
        for result in self._folder.fresh():
            await self._tell(result)
            self._folder.note_recorded(result.id)
            self._results = self._folder.results()
        self._unreadable = ""
        self.measure()
        await self._tell_gaps()

    def due(self) -> list[Kind]:
        """Return what is to be drilled now."""
        now = self._clock.steady()
        return [each.kind for each in self.standing() if now >= self._due.setdefault(each.kind, self._first(each))]

    async def make(self, kind: Kind) -> Result:
        """Make one now; raises BusyError or OSError."""
        settings = self._config.guard.drills or DrillConfig()
        paths = settings.here(fleet=self._config.guard.fleet is not None)
        path = paths[self._number(len(paths))]
        workers = tuple(str(index) for index in range(self._config.guard.workers))
        leased = self._config.guard.fleet is not None
        ground = Ground(self._bench, workers, settings.deadline_seconds, self._clock.steady, WHO, leased)
        result = await (drill_stop(ground, path) if kind is Kind.STOP else drill_lease(ground))
        soon = min(AGAIN_SECONDS, settings.every_seconds)
        wait = cadence(settings, kind) if result.succeeded else soon
        self._due[kind] = self._clock.steady() + self._about(wait)
        await self.look()
        return result

    def standing(self) -> tuple[Standing, ...]:
        """How every kind stands now."""
        return standing(self._config, self._results, self._since, self._clock.now())

    @property
    def findings(self) -> tuple[str, ...]:
        """What is open, in a line each, for the control page."""
        models = ", ".join(gapped(self._config))
        found = tuple(f"{models}: {each}" for each in gaps(self._config, self.standing()))
        return (*found, f"Drills: {self._unreadable}") if self._unreadable else found

    def fields(self) -> dict[str, Any]:
        """What the admin API tells."""
        return fields(self._config, self.standing())

    def measure(self) -> None:
        """Say in the metrics how every kind stands; 0 is a time that there is not."""
        found = {each.kind: each for each in self.standing()}
        for kind in Kind:
            one = found.get(kind)
            name = Drill(kind.value)
            success = 0.0 if one is None else one.success or 0.0
            self._set("guard_drill_last_success_timestamp_seconds", success, name)
            self._set("guard_drill_due_timestamp_seconds", 0.0 if one is None else one.late_at, name)
            self._set("guard_drill_failing", 1.0 if one is not None and one.failing else 0.0, name)
        self._meter.forget("guard_drill_gaps")
        number = float(len(gaps(self._config, found.values())))
        for alias in gapped(self._config):
            self._set("guard_drill_gaps", number, alias)

    def _set(self, name: str, value: float, *labels: str) -> None:
        self._meter.set(self._meter.bind(name, *labels), value)

    async def _tell(self, result: Result) -> None:
        """Count a result, log it and put it on record."""
        if result.failure is not None:
            failure = DrillFailure(result.failure.value)
            key = self._meter.bind("guard_drill_failures_total", Drill(result.kind.value), failure)
            self._meter.inc(key)
        if result.succeeded and result.seconds is not None and not result.disrupted:
            self._meter.observe(self._meter.bind("guard_drill_seconds", Drill(result.kind.value)), result.seconds)
        level = Level.INFO if result.succeeded else Level.WARNING if result.skipped else Level.ERROR
        subject = f"{result.id} {result.kind.value} {result.path} {result.order}".rstrip()
        self._log.emit(level, Event.DRILL, who=result.who, subject=subject, reason=result.words())
        if not (result.succeeded or result.skipped):
            self._people(Occasion.DRILL, "drill failed", subject, result.who, result.words())
        await self._record(result.who, "drill", subject, result.words())

    async def _tell_gaps(self) -> None:
        """Put on record what has become a gap, or is one no longer."""
        found = gaps(self._config, self.standing())
        if found == self._told:
            return
        self._told = found
        models = " ".join(gapped(self._config))
        words = "; ".join(found)
        await self._record(WHO, "drill gap" if found else "drill gap closed", models, words)
        if found:
            self._people(Occasion.DRILL, "drill gap", models, WHO, words)
            self._log.emit(Level.ERROR, Event.DRILL_GAP, subject=models, reason=words)

    def _first(self, one: Standing) -> float:
        """When a kind is due for the first time in this process, by the clock's steady seconds."""
        settings = self._config.guard.drills or DrillConfig()
        now = self._clock.steady()
        if one.newest is None:
            return now + self._about(min(FIRST_SECONDS, cadence(settings, one.kind)))
        age = max(0.0, self._clock.now() - one.newest.at)
        wait = cadence(settings, one.kind) if one.newest.succeeded else min(AGAIN_SECONDS, settings.every_seconds)
        return now + max(self._about(SETTLE_SECONDS), self._about(wait) - age)

    def _postpone(self, seconds: float) -> None:
        now = self._clock.steady()
        self._due = {kind: max(at, now + seconds) for kind, at in self._due.items()}

    def _about(self, seconds: float) -> float:
        """Spread it by a tenth to either side, so that a fleet's drills do not fall together."""
        return seconds * (1.0 - JITTER / 2 + JITTER * self._number(1000) / 1000)

    def _number(self, below: int) -> int:
        return int.from_bytes(self._bench.entropy(4)) % below

    def _say(self, reason: str) -> None:
        if reason != self._unreadable:
            self._unreadable = reason
            self._log.emit(Level.ERROR, Event.DRILL_GAP, subject="drills", reason=reason)
