"""Events of incidents on their way to the record: each told once, then written, apart from the look that acts on them.

A log that hangs or a disk that is full keeps a clock from nothing: what was not written waits here and is tried again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from guard.incidents.events import Event as IncidentEvent
from guard.incidents.folder import IncidentFolder
from guard.incidents.story import act, words
from guard.telemetry.logs import Event, JsonLog, Level
from safeguards.ports import Clock

RETRY_SECONDS: Final = 10.0
Record = Callable[[str, str, str, str], Awaitable[bool]]


class Noting:
    """Knows which events are on record, in the order in which they came."""

    def __init__(self, folder: IncidentFolder, record: Record, log: JsonLog, clock: Clock) -> None:
        """Take where it is noted what is recorded, what records an act and says whether it did, the log, the time."""
        self._folder = folder
        self._record = record
        self._log = log
        self._clock = clock
        self._recorded: frozenset[str] | None = None
        self._left: deque[IncidentEvent] = deque()
        self._written = False
        self._not_before = 0.0
        self._writing: asyncio.Task[None] | None = None
        self.problem = ""

    def new(self, read: Sequence[IncidentEvent]) -> tuple[IncidentEvent, ...]:
        """Return those that were not on record before this start, which are from now on; raises OSError.

        After a crash in between, an event may be told and recorded twice.
        """
        if self._recorded is None:
            self._recorded = self._folder.recorded()
        fresh = tuple(event for event in read if event.id not in self._recorded)
        self._left.extend(fresh)
        return fresh

    def go_on(self) -> None:
        """Write what is left, in a task of its own, unless one is at it or has just failed."""
        idle = self._writing is None or self._writing.done()
        if self._left and idle and self._clock.steady() >= self._not_before:
            self._writing = asyncio.ensure_future(self._write())

    async def settle(self) -> None:
        """Wait until what can be written is."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        try:
            while self._left:
                event = self._left[0]
                self._written = self._written or await self._record(
                    event.who, f"incident {act(event)}", subject(event), words(event)
                )
                if not self._written:
                    self._wait("the request log cannot be written")
                    return
                self._folder.note_recorded(event.id)
                self._left.popleft()
                self._written = False
            self.problem = ""
        except OSError as problem:
            self._wait(f"what is on record cannot be noted: {problem.strerror or problem}")
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is tried again
            self._log.failure(Event.INTERNAL_ERROR, problem)
            self._wait(f"the request log: {type(problem).__name__}")

    def _wait(self, problem: str) -> None:
        self._not_before = self._clock.steady() + RETRY_SECONDS
        if problem != self.problem:
            self.problem = problem
            self._log.emit(Level.ERROR, Event.INCIDENTS_UNREADABLE, reason=problem)


def subject(event: IncidentEvent) -> str:
    """Name an event in the record: its incident, its id, and by which way it came."""
    way = "" if event.source is None else f" by {event.source.value}"
    return f"{event.incident} {event.id}{way}"
