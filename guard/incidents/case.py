"""An incident beside what the configuration says of it: its surfaces, and every clock that runs or ran."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from guard.incidents.clocks import Due, answer, legal
from guard.incidents.events import Event
from guard.incidents.folder import Read
from guard.incidents.incident import Incident
from guard.policy.config import Config
from guard.policy.lineage import surfaces_of


@dataclass(frozen=True, slots=True)
class Case:
    """One incident as it stands: ``surfaces`` are those of its weights today, ``events`` its story, oldest first."""

    incident: Incident
    surfaces: tuple[str, ...]
    dues: tuple[Due, ...]
    events: tuple[Event, ...]

    @property
    def id(self) -> str:
        """The incident's."""
        return self.incident.id

    @property
    def unfixed(self) -> tuple[str, ...]:
        """The surfaces that have not reported a fix (I9)."""
        return self.incident.unfixed(self.surfaces)

    @property
    def running(self) -> tuple[Due, ...]:
        """The clocks that are not done, the nearest first."""
        return tuple(sorted((due for due in self.dues if due.done is None), key=lambda due: due.at))

    @property
    def pending(self) -> bool:
        """Whether something of it is to be done: it is open, or closed while somebody outside must still be told."""
        return self.incident.closed is None or bool(self.running)

    @property
    def why_not_closed(self) -> str:
        """Why it may not close, or nothing."""
        return self.incident.why_not_closed(self.surfaces)

    def fields(self, now: float) -> dict[str, Any]:
        """What JSON tells of it, its clocks included; times are seconds since the epoch."""
        clocks = [
            {"clock": due.clock, "to": due.to, "at": due.at, "done": due.done, "late": due.late(now)}
            for due in self.dues
        ]
        return {**self.incident.fields(), "not_mitigated": list(self.unfixed), "clocks": clocks}


def case_of(config: Config, read: Read) -> Case | None:
    """Put an incident beside its configuration; None for a folder without a first event."""
    incident = read.incident
    if incident is None:
        return None
    model = incident.opened.model
    surfaces = surfaces_of(config, model)
    policy = config.models.get(model)
    due = answer(incident, None if policy is None else policy.response, surfaces)
    dues = (*(() if due is None else (due,)), *legal(incident, config.guard.clocks))
    return Case(incident, surfaces, dues, tuple(sorted(read.events, key=lambda each: each.id)))


def most_urgent_first(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Sort: open ones by the nearest clock, then by severity; closed ones whose clocks run; the rest, newest first."""

    def urgency(case: Case) -> tuple[bool, float, int, str]:
        running = case.running
        nearest = running[0].at if running else float("inf")
        return case.incident.closed is not None, nearest, -case.incident.severity, case.id

    found = tuple(cases)
    still = sorted((case for case in found if case.pending), key=urgency)
    over = sorted((case for case in found if not case.pending), key=lambda case: case.id, reverse=True)
    return (*still, *over)
