"""What a set of events means: one incident, how far it is, and whether it may close."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from guard.incidents.events import WORST, Closed, Event, Imminent, Mitigated, Opened, Reported, Stepped, Triaged


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as its events tell it; ``imminent_since`` is when imminent risk was first stated.

    ``triaged`` is the last triage; ``mitigated`` the last fix by surface; ``reported`` the last report by clock.
    ``damaged`` names files of it that are no events: with one of those it cannot close.
    """

    opened: Opened
    triaged: Triaged | None
    imminent_since: float | None
    mitigated: Mapping[str, Mitigated]
    reported: Mapping[str, Reported]
    stepped: tuple[Stepped, ...]
    closed: Closed | None
    first_triage: float | None = None
    damaged: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its id, which sorts by the time when it was opened."""
        return self.opened.incident

    @property
    def severity(self) -> int:
        """0 to 4; what nobody has judged counts as the worst."""
        if self.triaged is not None:
            return self.triaged.severity
        return WORST if self.opened.severity is None else self.opened.severity

    @property
    def rated(self) -> bool:
        """Whether anybody has said how severe it is."""
        return self.triaged is not None or self.opened.severity is not None

    @property
    def imminent(self) -> Imminent:
        """What the last triage said of imminent risk."""
        return Imminent.UNKNOWN if self.triaged is None else self.triaged.imminent

    @property
    def stage(self) -> str:
        """How far it is, in a word."""
        if self.closed is not None:
            return "closed"
        if self.mitigated:
            return "mitigating"
        return "open" if self.triaged is None else "triaged"

    @property
    def orders(self) -> tuple[str, ...]:
        """The stops that belong to it: the one that it was opened for, and those that the guard gave."""
        given = (self.opened.stop, *(each.order for each in self.stepped))
        return tuple(order for order in given if order)

    def unfixed(self, surfaces: Collection[str]) -> tuple[str, ...]:
        """The surfaces that have not reported a fix (I9)."""
        return tuple(sorted(set(surfaces) - self.mitigated.keys()))

    def needs(self, event: Event) -> bool:
        """Whether it has nothing yet that says what this event says: each surface, clock and step counts by itself."""
        match event:
            case Opened():
                return False
            case Triaged():
                return self.triaged is None
            case Mitigated():
                return event.surface not in self.mitigated
            case Reported():
                return event.clock not in self.reported
            case Stepped():
                return not any((each.cause, each.model) == (event.cause, event.model) for each in self.stepped)
            case Closed():
                return self.closed is None

    def why_not_closed(self, surfaces: Collection[str]) -> str:
        """Why it may not close, or nothing."""
        if self.closed is not None:
            return "it is closed already"
        if self.damaged:
            return f"what it holds is damaged: {', '.join(self.damaged)}"
        if self.triaged is None:
            return "nobody has triaged it"
        if left := self.unfixed(surfaces):
            return f"not mitigated on {', '.join(left)}"
        return ""

    def fields(self) -> dict[str, Any]:
        """What commands and exports tell of it."""
        return {
            "incident": self.id,
            "stage": self.stage,
            "model": self.opened.model,
            "summary": self.opened.summary,
            "severity": self.severity,
            "judged": self.triaged is not None,
            "commander": None if self.triaged is None else self.triaged.commander,
            "imminent_risk": self.imminent.value,
            "imminent_since": self.imminent_since,
            "discovered": self.opened.discovered,
            "opened": self.opened.at,
            "opened_by": self.opened.who,
            "triaged": self.first_triage,
            "mitigated": {
                surface: {"at": each.at, "who": each.who, "how": each.how, "policy": each.policy}
                for surface, each in sorted(self.mitigated.items())
            },
            "reported": {
                clock: {"at": each.at, "who": each.who, "reference": each.reference}
                for clock, each in sorted(self.reported.items())
            },
            "steps": [{"at": each.at, "order": each.order, "reason": each.reason} for each in self.stepped],
            "closed": None if self.closed is None else self.closed.at,
            "closed_by": None if self.closed is None else self.closed.who,
            "resolution": None if self.closed is None else self.closed.resolution,
            "requests": list(self.opened.requests),
            "stop": self.opened.stop or None,
            "damaged": list(self.damaged),
        }


def fold(events: Iterable[Event], damaged: tuple[str, ...] = ()) -> Incident | None:
    """Make an incident of its events, in whatever order they come; None without its first.

    Of two events of one kind the later id holds; the first closing is the end: a triage or a fix that two people wrote
    at the same moment changes nothing after it but the record. What sorts behind it and was missing so far counts all
    the same: nothing closes before it is triaged and fixed, so it was there first, under a clock that was set back
    later (ids of before did not heed that). The same events always make the same incident.
    """
    opened: Opened | None = None
    triaged: Triaged | None = None
    first_triage = imminent_since = None
    mitigated: dict[str, Mitigated] = {}
    reported: dict[str, Reported] = {}
    stepped: list[Stepped] = []
    closed: Closed | None = None
    for event in sorted(events, key=lambda each: each.id):
        match event:
            case Opened():
                opened = event
            case Triaged() if closed is not None and triaged is not None:
                pass
            case Mitigated(surface=surface) if closed is not None and surface in mitigated:
                pass
            case Triaged():
                triaged = event
                first_triage = event.at if first_triage is None else first_triage
                if event.imminent is Imminent.YES and imminent_since is None:
                    imminent_since = event.at
            case Mitigated():
                mitigated[event.surface] = event
            case Reported():
                reported[event.clock] = event
            case Stepped():
                stepped.append(event)
            case Closed():
                closed = closed or event
    if opened is None:
        return None
    return Incident(
        opened,
        triaged,
        imminent_since,
        MappingProxyType(mitigated),
        MappingProxyType(reported),
        tuple(stepped),
        closed,
        first_triage,
        damaged,
    )
