"""The words of each event: the act, and what whoever did it said; the record and every surface tell them the same."""

from __future__ import annotations

from typing import Final

from guard.incidents.events import Closed, Event, Mitigated, Opened, Reported, Stepped, Triaged

_ACTS: Final[dict[type[Event], tuple[str, str]]] = {
    Opened: ("open", "opened"),
    Triaged: ("triage", "triaged"),
    Mitigated: ("mitigate", "fixed"),
    Reported: ("report", "reported"),
    Stepped: ("step", "moved down"),
    Closed: ("close", "closed"),
}


def act(event: Event) -> str:
    """Name what was done as commands and records do."""
    return _ACTS[type(event)][0]


def done(event: Event) -> str:
    """Say what was done, as a participle."""
    return _ACTS[type(event)][1]


def words(event: Event) -> str:
    """Say what of: the facts that were stated, and the words of whoever stated them."""
    match event:
        case Opened():
            return f"{event.model}: {event.summary}"
        case Triaged():
            judged = f"severity {event.severity}, commander {event.commander}, imminent risk {event.imminent}"
            return f"{judged}; {event.note}".rstrip("; ")
        case Mitigated():
            return f"{event.surface}: {event.how}"
        case Reported():
            return f"{event.clock}: {event.reference}"
        case Stepped():
            return f"{event.order}: {event.reason}"
        case Closed():
            return event.resolution
