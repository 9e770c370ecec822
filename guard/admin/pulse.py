"""What tells an open page that something has changed: server-sent events, small ones, from one shared look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from guard.admin.api import Fleet
from guard.admin.drill_view import drill_views
from guard.admin.fleet_view import fleet_view
from guard.admin.obedience import confirmed
from guard.admin.overview import Instruments
from guard.admin.switchboard import Switchboard
from guard.admin.times import clock
from safeguards.ports import Clock

LOOK_SECONDS: Final = 0.1
SPEAK_SECONDS: Final = 5.0
NUMBERS_SECONDS: Final = 2.0
SETTLED_SECONDS: Final = 0.4  # what a stop has cut is out of the workers' next report by then
MAX_LISTENERS: Final = 64
MAX_FOLLOWED: Final = 16


class Pulse:
    """The state's fingerprint, looked at once for all listeners."""

    def __init__(
        self, board: Switchboard, fleet: Fleet, panel: Instruments, time: Clock, asked: Callable[[], object] = tuple
    ) -> None:
        """Take what is looked at and the time; ``asked`` returns what differs when other approvals are waited for."""
        self.listeners = 0
        self._board = board
        self._fleet = fleet
        self._panel = panel
        self._time = time
        self._asked = asked
        self._looked = float("-inf")
        self._found: tuple[object, object] = (None, None)
        self._version: object = None
        self._unconfirmed: tuple[str, ...] = ()

    async def events(self, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield events for one page until ``still`` says that it is signed in no longer, or the process ends.

        ``changed``: ask for the page again; what is stopped and who has obeyed is told within a tenth of a second,
        numbers every two seconds. ``time``: nothing else is new at this moment. ``over``: signed out.
        """
        self.listeners += 1
        try:
            acts, numbers = self._look()
            spoken = due = self._time.steady()
            yield b"retry: 1000\n\n" + _event("changed", clock(self._time.now()))
            while not self._panel.leaving():
                await asyncio.sleep(LOOK_SECONDS)
                now = self._time.steady()
                new_acts, new_numbers = self._look()
                acted = new_acts != acts
                if acted or (new_numbers != numbers and now >= due):
                    acts, numbers, spoken = new_acts, new_numbers, now
                    due = now + (SETTLED_SECONDS if acted else NUMBERS_SECONDS)
                    yield _event("changed", clock(self._time.now()))
                elif now - spoken >= SPEAK_SECONDS:
                    if not still():
                        yield _event("over", "")
                        return
                    spoken = now
                    yield _event("time", f"{clock(self._time.now())} UTC")
        finally:
            self.listeners -= 1

    def _look(self) -> tuple[object, object]:
        """Return what changes with acts, and what changes with traffic and time."""
        now = self._time.steady()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._found = (self._acts(), self._numbers())
        return self._found

    def _numbers(self) -> object:
        health = self._panel.log_health()
        drills = drill_views(self._fleet.drills())
        incidents = self._panel.incidents(), self._panel.incident_findings()
        return self._panel.running(), int(self._time.now() // 60), health, incidents, drills

    def _acts(self) -> object:
        places = tuple((each.name, each.serving, each.trouble) for each in self._panel.places())
        reports = self._panel.reports()
        view = fleet_view(self._fleet.fleet())
        others = None if view is None else view.changes()
        try:
            return places, reports, others, self._orders(places), str(self._fleet.policy()), self._asked()
        except OSError as problem:
            return places, reports, others, problem.errno

    def _orders(self, places: object) -> object:
        """Return what differs when orders have, or who has obeyed them; only what is unconfirmed is read again."""
        version = (self._board.version(), places)
        if version != self._version:
            stops = [each.stop.id for each in self._board.in_force()]
            self._unconfirmed = tuple(sorted(stops, reverse=True)[:MAX_FOLLOWED])
            self._version = version
        obeyed = {order: confirmed(self._board, self._fleet, order) for order in self._unconfirmed}
        self._unconfirmed = tuple(order for order, found in obeyed.items() if found.missing)
        return version, tuple((order, found.count, found.missing, found.streams_cut) for order, found in obeyed.items())


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
