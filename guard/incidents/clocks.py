"""Which clocks run for an incident, when each runs out, and whether what it asks for was done in time (C8, F10).

Which law binds an operator is for counsel: the clocks are data of guard.yaml, and an empty list means that nobody has
written any down. The clock of the answer itself comes from the model's file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from guard.incidents.incident import Incident
from guard.policy.response import LegalClock, Response, Starts

HOUR = 3600.0
ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Due:
    """One clock of one incident: when it runs out, and when what it asks for was done (None: not yet)."""

    clock: str
    to: str
    at: float
    done: float | None

    def late(self, now: float) -> bool:
        """Whether it ran out before that was done."""
        return (now if self.done is None else self.done) > self.at


def answer(incident: Incident, response: Response | None, surfaces: Collection[str]) -> Due | None:
    """The longest time to answer, from discovery until every surface is fixed; None where no limit is set."""
    if response is None:
        return None
    fixed = [each.at for surface, each in incident.mitigated.items() if surface in surfaces]
    done = None if incident.unfixed(surfaces) or not fixed else max(fixed)
    if done is None and incident.closed is not None:
        done = incident.closed.at
    hours = response.hours_for(incident.severity)
    return Due(ANSWER, "every surface is fixed", incident.opened.discovered + hours * HOUR, done)


def legal(incident: Incident, clocks: Iterable[LegalClock]) -> tuple[Due, ...]:
    """The legal clocks that run, or ran, for this incident."""
    found = []
    for clock in clocks:
        begin = _begin(incident, clock.starts)
        if begin is None or incident.severity < clock.from_severity:
            continue
        told = incident.reported.get(clock.name)
        found.append(Due(clock.name, clock.to, begin + clock.hours * HOUR, None if told is None else told.at))
    return tuple(found)


def _begin(incident: Incident, starts: Starts) -> float | None:
    match starts:
        case Starts.DISCOVERED:
            return incident.opened.discovered
        case Starts.TRIAGED:
            return incident.first_triage
        case Starts.IMMINENT_RISK:
            # Once it is stated, the law counts from the discovery: whoever states it late has less time left.
            return None if incident.imminent_since is None else incident.opened.discovered
        case Starts.CLOSED:
            return None if incident.closed is None else incident.closed.at
