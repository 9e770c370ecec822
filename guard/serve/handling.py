"""Incidents as the supervisor sees them: every new event is recorded, clocks are told, and one that runs out acts.

A weakness that is not answered in the time of the model's file stops the model, and every alias of its weights, or
moves each a rung down its ladder; one that is severe enough moves them a rung down at once; each once for an incident
(rows C7 to C9, E8). Whoever lifts that order answers for it; the guard does not order it again for the same incident,
and the alarm stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from guard.incidents.case import Case, case_of
from guard.incidents.clocks import ANSWER
from guard.incidents.events import Event as IncidentEvent
from guard.incidents.events import EventError, Mitigated, Opened, Reported, StepCause, Stepped, Triaged
from guard.incidents.folder import MAX_INCIDENTS, IncidentFolder
from guard.incidents.incident import Incident
from guard.incidents.story import act
from guard.policy.lineage import aliases_of, surfaces_of
from guard.policy.load import Config
from guard.policy.notify import Occasion
from guard.policy.response import OnOverdue, Response
from guard.serve.noting import Noting, Record
from guard.serve.stepping import WHO, Ground, Stepping
from guard.serve.telling import Tell
from guard.state.orders import ENTROPY_BYTES, order_id
from guard.state.scope import OrderError
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Cause
from safeguards.ports import Clock

TICK_SECONDS: Final = 1.0
SHOWN: Final = 20
_GAUGES: Final = ("guard_incidents_open", "guard_incident_due_timestamp_seconds", "guard_incidents_damaged")


class Handling:
    """Looks at the incidents of this host again and again."""

    def __init__(
        self,
        config: Config,
        folder: IncidentFolder,
        stepping: Stepping,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
        record: Record,
        entropy: Callable[[int], bytes],
        tell: Tell,
    ) -> None:
        """Take the files, what moves a model down, where figures, lines, acts and news go, the time, and randomness."""
        self._config = config
        self._folder = folder
        self._stepping = stepping
        self._meter = meter
        self._log = log
        self._clock = clock
        self._noting = Noting(folder, record, log, clock)
        self._entropy = entropy
        self._tell = tell
        self._known: dict[str, IncidentEvent] = {}
        self._new: list[IncidentEvent] = []
        self._ordered: dict[Ground, str] = {}
        self._failed = ""
        self.pending: tuple[Case, ...] = ()
        self._damaged = 0
        self._unread: tuple[str, ...] = ()

    async def watch(self) -> None:
        """Look for ever; a look that fails is logged and the next one comes."""
        while True:
            try:
                self.look()
                self._failed = ""
            except OSError as problem:
                self._say(problem.strerror or str(problem))
            except Exception as problem:  # noqa: BLE001 - whatever it was, a clock must be seen when it runs out
                self._log.failure(Event.INTERNAL_ERROR, problem)
            await asyncio.sleep(TICK_SECONDS)

    def take(self, config: Config) -> None:
        """Go by another configuration."""
        self._config = config

    @property
    def findings(self) -> tuple[str, ...]:
        """What keeps incidents from being known, in a line each."""
        damaged = (f"{self._damaged} files among the incidents are no events",) if self._damaged else ()
        troubles = tuple(f"Incidents: {each}" for each in (self._failed, self._noting.problem) if each)
        return damaged + self._unread + troubles

    def known(self, event: str) -> IncidentEvent | None:
        """Return an event that was read already: none ever changes."""
        return self._known.get(event)

    def look(self) -> None:
        """Read what can be read, act on what is late, and only then tell and record what is new; raises OSError.

        Of too many the newest are read, and those that were pending; one that cannot be read hides no other.
        """
        found: list[Case] = []
        damaged = 0
        ids, left = self._folder.newest()
        unread: list[str] = []
        if left:
            kept = tuple(case.id for case in self.pending if case.id < ids[0])
            ids = (*kept, *ids)
            if left > len(kept):
                unread.append(f"{left - len(kept)} older incidents are not read: there are more than {MAX_INCIDENTS}")
        for one in ids:
            try:
                read = self._folder.read(one, self.known)
            except FileNotFoundError:
                continue
            except OSError as problem:
                unread.append(f"incident {one} cannot be read: {problem.strerror or problem}")
                continue
            damaged += len(read.damaged)
            self._new += [event for event in read.events if event.id not in self._known]
            self._known.update({event.id: event for event in read.events})
            case = case_of(self._config, read)
            if case is not None:
                found.append(case)
        for case in found:
            self._late(case)
            self._severe(case.incident)
        self._measure(found, damaged, len(unread))
        self._unread, before = tuple(unread[:SHOWN]), self._unread
        for each in self._unread:
            if each not in before:
                self._log.emit(Level.ERROR, Event.INCIDENTS_UNREADABLE, reason=each)
        self._remember(found)

    async def settle(self) -> None:
        """Wait until what is new is on record, as far as it can be."""
        await self._noting.settle()

    def _remember(self, found: Sequence[Case]) -> None:
        """Tell what is new and put it on record, last of all: nothing in it keeps a clock from acting."""
        fresh = self._noting.new(self._new)
        self._new = []
        incidents = {case.id: case.incident for case in found}
        for event in fresh:
            what = f"incident {act(event)}"
            self._log.emit(Level.WARNING, Event.INCIDENT, who=event.who, subject=event.incident, reason=what)
            if not isinstance(event, Stepped):  # that is an order, and told as one
                self._tell(Occasion.INCIDENT, what, f"incident {event.incident}", event.who, _briefly(event))
            if isinstance(event, Mitigated) and event.incident in incidents:
                self._fixed(incidents[event.incident], event)
        self._noting.go_on()

    def _fixed(self, incident: Incident, event: Mitigated) -> None:
        """Measure a fix that is new: from the discovery to the fix, for each surface of its own (row I9)."""
        model = incident.opened.model
        if model in self._config.models:
            surface = event.surface if event.surface in surfaces_of(self._config, model) else ""
            key = self._meter.bind("guard_incident_mitigation_seconds", model, surface, str(incident.severity))
            self._meter.observe(key, event.at - incident.opened.discovered)

    def _late(self, case: Case) -> None:
        """Stop the model, or move it a rung down, once if its answer is overdue and its file says so."""
        incident = case.incident
        response = self._response(incident)
        due = next((each for each in case.dues if each.clock == ANSWER), None)
        if response is None or response.on_overdue is OnOverdue.ALARM:
            return
        if due is not None and due.done is None and due.late(self._clock.now()):
            hours = response.hours_for(incident.severity)
            words = f"incident {incident.id}: not fixed on every surface within {hours:g} hours"
            self._step(incident, "overdue", words, stop=response.on_overdue is OnOverdue.STOP)

    def _severe(self, incident: Incident) -> None:
        """Move the model a step down once if what was found is severe enough by its file."""
        response = self._response(incident)
        if response is None or response.trip_from_severity is None or incident.closed is not None:
            return
        if incident.severity >= response.trip_from_severity:
            judged = f"severity {incident.severity}" if incident.rated else "nobody has judged how severe"
            self._step(incident, "finding", f"incident {incident.id}: {judged}", stop=False)

    def _response(self, incident: Incident) -> Response | None:
        policy = self._config.models.get(incident.opened.model)
        return None if policy is None else policy.response

    def _step(self, incident: Incident, cause: StepCause, reason: str, *, stop: bool) -> None:
        """Order every alias of the weights down that was not for this; what fails is tried at the next look."""
        done = {each.model for each in incident.stepped if each.cause == cause}
        for alias in aliases_of(self._config, incident.opened.model):
            if done & {alias, ""}:
                continue
            ground = Ground(alias, Cause(cause), incident.id)
            try:
                given = self._stepping.given(ground)
                order = self._ordered.get(ground) or (given[0].id if given else "")
                if not order:
                    order = self._ordered[ground] = self._stepping.down(ground, reason, stop=stop)
                now = self._clock.now()
                step = Stepped(
                    id=order_id(now, self._entropy(ENTROPY_BYTES)),
                    incident=incident.id,
                    at=now,
                    who=WHO,
                    order=order[:128],
                    reason=reason,
                    cause=cause,
                    model=alias,
                )
                self._folder.add(step)
            except (OSError, OrderError, EventError) as problem:
                # The order may stand without its event: the next look finds it, and writes the event alone.
                self._say(f"incident {incident.id}: {type(problem).__name__}")

    def _measure(self, found: list[Case], damaged: int, unread: int) -> None:
        for name in _GAUGES:
            self._meter.forget(name)
        self._meter.set(self._meter.bind("guard_incidents_damaged"), float(damaged + unread))
        still = tuple(each for each in found if each.pending)
        if still != self.pending:  # whoever compares what he has seen finds the same one, without looking into it
            self.pending = still
        self._damaged = damaged
        open_ones: dict[tuple[str, str], int] = {}
        nearest: dict[tuple[str, str], float] = {}
        for case in found:
            incident = case.incident
            model = incident.opened.model if incident.opened.model in self._config.models else ""
            if incident.closed is None:
                key = model, str(incident.severity)
                open_ones[key] = open_ones.get(key, 0) + 1
            for due in case.running:
                nearest[model, due.clock] = min(due.at, nearest.get((model, due.clock), due.at))
        for (model, severity), count in open_ones.items():
            self._meter.set(self._meter.bind("guard_incidents_open", model, severity), float(count))
        for (model, clock), at in nearest.items():
            self._meter.set(self._meter.bind("guard_incident_due_timestamp_seconds", model, clock), at)

    def _say(self, reason: str) -> None:
        if reason != self._failed:
            self._failed = reason
            self._log.emit(Level.ERROR, Event.INCIDENTS_UNREADABLE, reason=reason)


def _briefly(event: IncidentEvent) -> str:
    """What is told outside: no words of people's own about the incident, which may be confidential."""
    match event:
        case Opened(severity=severity, model=model):
            return f"model {model}, {'severity not judged' if severity is None else f'severity {severity}'}"
        case Triaged():
            return f"severity {event.severity}, imminent risk {event.imminent.value}"
        case Mitigated():
            return f"fixed on {event.surface}"
        case Reported():
            return f"clock {event.clock}"
        case _:
            return "see guard incident show"
