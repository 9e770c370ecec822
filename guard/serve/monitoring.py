"""Holding measured values to their bands: what leaves one moves its model down once, and people are told (row C9).

A value that is out trips once. It may trip again when it was back in its band in the meantime, or when the stop that it
ordered was lifted and a whole window has passed since; never twice within one window of an order that holds. Windows
begin anew with the supervisor; what was ordered is found again among the orders, so a restart neither forgets a trip
nor repeats it. Each guard of a fleet judges what it serves itself; a stop that another ordered for the same band counts
as its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from guard.policy.load import Config
from guard.policy.model import ClassifierMount, ModelPolicy
from guard.policy.monitoring import Band, Then
from guard.policy.notify import Occasion
from guard.serve.measures import NOTHING, collapsed, measured
from guard.serve.stepping import WHO, Ground, Stepping
from guard.serve.telling import Tell
from guard.serve.window import Totals, Window
from guard.state.orders import StopOrder
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Key, Meter
from guard.telemetry.metric import Cause
from safeguards.ports import Clock

TICK_SECONDS: Final = 0.25
"""As often as workers report."""
Note = Callable[[str, str, str, str], None]
News = tuple[str, str, str]
_ALARM: Final = "alarm"


@dataclass(slots=True)
class Watched:
    """One band: ``tripped`` is the order that its value is out for, or ``alarm``; empty while it is in.

    ``seen`` is whether that order was seen to hold; ``answered`` are orders after which the value was in its band;
    ``rest_until`` is monotonic.
    """

    ground: Ground
    band: Band
    asl: int
    classifiers: frozenset[str]
    window: Window
    tripped: str = ""
    seen: bool = False
    answered: frozenset[str] = frozenset()
    rest_until: float = -inf
    failed: str = field(default="", repr=False)


class Monitoring:
    """Looks at every band of every model again and again."""

    def __init__(
        self,
        config: Config,
        counters: Callable[[], Iterable[tuple[Key, float]]],
        stepping: Stepping,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        note: Note,
        tell: Tell,
    ) -> None:
        """Take the bands, what workers count, what moves a model down, and where figures, lines, acts and news go."""
        self._counters = counters
        self._stepping = stepping
        self._meter = meter
        self._log = log
        self._clock = clock
        self._note = note
        self._tell = tell
        self._watched: dict[tuple[str, str], Watched] = {}
        self._late: set[str] = set()
        self._config = config
        self.take(config)

    def take(self, config: Config) -> None:
        """Go by another configuration; a band that stays, by value and window, keeps what it has seen."""
        before, self._watched = self._watched, {}
        self._config = config
        self._late &= config.models.keys()
        names = {alias: _classifiers(policy) for alias, policy in config.models.items() if policy.monitoring}
        totals = measured(self._counters(), names)
        now = self._clock.steady()
        for name in _GAUGES:
            self._meter.forget(name)
        for alias, policy in config.models.items():
            for cause in Cause:
                self._meter.bind("guard_trips_total", alias, cause)
            for band in () if policy.monitoring is None else policy.monitoring.bands:
                was = before.get((alias, band.name))
                window = Window(band.window_seconds, now, totals[alias, band.value])
                watched = Watched(
                    Ground(alias, Cause.BAND, band.name),
                    band,
                    max(policy.asl.deployment, policy.asl.security),
                    names[alias],
                    window,
                )
                if was is None:
                    watched.tripped = next((order.id for order in reversed(self._standing(watched))), "")
                    watched.seen = bool(watched.tripped)
                else:
                    # An alarm is judged anew where the band is another: it may say more than alarm now.
                    same = was.tripped != _ALARM or was.band == band
                    watched.tripped, watched.seen = was.tripped if same else "", was.seen
                    watched.answered, watched.rest_until = was.answered, was.rest_until
                    if was.classifiers == watched.classifiers:
                        watched.window = was.window
                self._watched[alias, band.name] = watched

    async def watch(self) -> None:
        """Look for ever; a look that fails is logged and the next one comes."""
        while True:
            try:
                for what, subject, reason in self.look():
                    self._note(WHO, what, subject, reason)
            except Exception as problem:  # noqa: BLE001 - whatever it was, the next value must be seen
                self._log.failure(Event.INTERNAL_ERROR, problem)
            await asyncio.sleep(TICK_SECONDS)

    def look(self) -> list[News]:
        """Judge every value now; returns what is to be put on record: what, of what, and why."""
        news = list(self._reviews())
        if self._watched:
            names = {each.ground.alias: each.classifiers for each in self._watched.values()}
            counted = list(self._counters())
            totals = measured(counted, names)
            self._meter.set(self._meter.bind("guard_monitoring_blind"), float(collapsed(counted)))
            for watched in self._watched.values():
                found = totals.get((watched.ground.alias, watched.band.value), NOTHING)
                news += self._judge(watched, found)
        return news

    def _judge(self, watched: Watched, totals: Totals) -> list[News]:
        now, band, alias = self._clock.steady(), watched.band, watched.ground.alias
        watched.window.add(now, totals)
        held = self._stepping.held(watched.asl)
        news: list[News] = []
        if watched.tripped not in {"", _ALARM}:
            if watched.tripped in held:
                watched.seen = True
            elif watched.seen or any(each.id == watched.tripped for each in self._stepping.given(watched.ground)):
                # Lifted: whoever did that answers for what comes within a window of it.
                watched.tripped, watched.seen = "", False
                watched.rest_until = now + band.window_seconds
                watched.window.restart(now, totals)
        grown = watched.window.grown
        key = self._labels("guard_monitoring_value", watched)
        if grown.whole < band.at_least:
            self._meter.forget(*key)
        else:
            value = min(1.0, grown.part / grown.whole)
            self._meter.set(self._meter.bind(*key), value)
            if band.holds(value):
                whole = self._clock.now() - band.window_seconds
                given = self._stepping.given(watched.ground)
                watched.answered |= {order.id for order in given if order.created <= whole}
                watched.rest_until = -inf
                if watched.tripped:
                    watched.tripped, watched.seen = "", False
                    self._log.emit(Level.INFO, Event.IN_BAND, model=alias, band=band.name, value=round(value, 6))
                    news.append(("value back in its band", f"{alias} {band.name}", f"it is {value:.4g}"))
                    self._people(*news[-1])
            elif not watched.tripped and now >= watched.rest_until:
                news += self._out(watched, value, grown)
        out = self._meter.bind(*self._labels("guard_monitoring_out_of_band", watched))
        self._meter.set(out, float(bool(watched.tripped)))
        return news

    def _standing(self, watched: Watched) -> list[StopOrder]:
        held = self._stepping.held(watched.asl)
        return [order for order in self._stepping.given(watched.ground) if order.id in held]

    def _out(self, watched: Watched, value: float, grown: Totals) -> list[News]:
        band, alias = watched.band, watched.ground.alias
        end = f"below {band.min:g}" if value < band.min else f"above {band.max:g}"
        words = f"{band.name} is {value:.4g} ({grown.part:.0f} of {grown.whole:.0f}), {end}"
        if band.then is Then.ALARM:
            watched.tripped = _ALARM
        else:
            fresh = [order.id for order in self._standing(watched) if order.id not in watched.answered]
            if fresh:  # within this window, or by another guard of the fleet
                watched.tripped, watched.seen = fresh[-1], True
                return []
            try:
                watched.tripped = self._stepping.down(watched.ground, words, stop=band.then is Then.STOP)
                watched.seen = False
            except (OSError, ValueError) as problem:
                if watched.failed != str(problem):
                    watched.failed = str(problem)
                    self._log.emit(Level.ERROR, Event.OUT_OF_BAND, model=alias, band=band.name, reason=watched.failed)
                return []
            watched.failed = ""
        self._log.emit(Level.ERROR, Event.OUT_OF_BAND, model=alias, band=band.name, reason=words)
        alarm = watched.tripped == _ALARM
        news = "value out of its band", f"{alias} {'alarm' if alarm else watched.tripped}", words
        if alarm:  # an order is told as one
            self._people(*news)
        return [news]

    def _people(self, what: str, subject: str, reason: str) -> None:
        self._tell(Occasion.MONITORING, what, subject, WHO, reason)

    def _reviews(self) -> Iterable[News]:
        """Say until when each model's bands are to be reviewed, and once that it is late."""
        for alias, policy in self._config.models.items():
            if policy.monitoring is None:
                continue
            due = policy.monitoring.due.timestamp()
            self._meter.set(self._meter.bind("guard_monitoring_review_due_timestamp_seconds", alias), due)
            if self._clock.now() < due:
                self._late.discard(alias)
            elif alias not in self._late:
                self._late.add(alias)
                words = f"they were to be reviewed by {policy.monitoring.due.date()}"
                self._log.emit(Level.WARNING, Event.REVIEW_LATE, model=alias, reason=words)
                self._people("review of bands late", alias, words)
                yield "review of bands late", alias, words

    def _labels(self, name: str, watched: Watched) -> tuple[str, str, str, str]:
        return name, watched.ground.alias, watched.band.value.value, str(watched.band.window_seconds)


_GAUGES: Final = (
    "guard_monitoring_value",
    "guard_monitoring_out_of_band",
    "guard_monitoring_review_due_timestamp_seconds",
)


def _classifiers(policy: ModelPolicy) -> frozenset[str]:
    return frozenset(mount.name for mount in policy.safeguards if isinstance(mount, ClassifierMount) and mount.name)
