"""The routes of incidents on the control page: who may look and act is asked here, what may be done is the desk's.

A form carries what whoever sends it has seen: where somebody did something meanwhile, nothing is done, and it is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from guard.admin.answers import SAFE, go, html
from guard.admin.door import Door
from guard.admin.entrance import Entrance, Inside
from guard.admin.page.incident import incident
from guard.admin.page.incident_open import MAX_IDS, ask_open
from guard.admin.page.incidents import OPEN, PAGE, listing
from guard.admin.page.parts import sentence
from guard.admin.switchboard import Switchboard
from guard.admin.times import instant
from guard.admin.visiting import may_export, may_handle, may_open, refuse, visitor
from guard.incidents.case import Case, most_urgent_first
from guard.incidents.desk import Actor, ChangedError, IncidentDesk, IncidentRefusedError, UnknownIncidentError, words_of
from guard.incidents.events import MAX_WORDS, EventError, Imminent, Source
from guard.state.orders import StopOrder, is_order_id
from safeguards.ports import Clock

Form = Callable[[Request, Inside, Mapping[str, str]], Awaitable[Response]]
Act = Callable[[Actor, str, Mapping[str, str]], Case]
_MODEL: Final = "model:"


class NotExportedError(Exception):
    """Nothing is handed over; the message says why."""


@dataclass(frozen=True, slots=True)
class Export:
    """A bundle as it leaves: the file's name and its bytes, a ZIP archive."""

    name: str
    content: bytes


class Exports(Protocol):
    """What hands an incident over; `guard.serve.exporting`."""

    async def export(self, one: str, who: str, reason: str) -> Export:
        """Put it on record and make the bundle; raises NotExportedError or OSError."""


class IncidentPages:
    """The pages of incidents over one desk."""

    def __init__(
        self, desk: IncidentDesk, exports: Exports, board: Switchboard, entrance: Entrance, door: Door, clock: Clock
    ) -> None:
        """Take what acts and what hands over, the stops, who is let in, and the time."""
        self._desk = desk
        self._exports = exports
        self._board = board
        self._entrance = entrance
        self._door = door
        self._clock = clock

    def shown(self) -> list[tuple[str, Callable[[Request], Awaitable[Response]]]]:
        """Return what is looked at."""
        return [(PAGE, self._list), (OPEN, self._ask_open), (f"{PAGE}/{{incident}}", self._show)]

    def done(self) -> list[tuple[str, Form, Callable[[Inside], bool]]]:
        """Return what acts, and whom it is for."""
        one = f"{PAGE}/{{incident}}"
        return [
            (OPEN, self._open, may_open),
            (f"{one}/triage", self._act("triage", self._triage), may_handle),
            (f"{one}/mitigate", self._act("mitigate", self._mitigate), may_handle),
            (f"{one}/report", self._act("report", self._report), may_handle),
            (f"{one}/close", self._act("close", self._close), may_handle),
            (f"{one}/export", self._export, may_export),
        ]

    # What is shown.

    def _looking(self, request: Request) -> Inside | None:
        return self._entrance.find(request, used="auto" not in request.query_params)

    async def _list(self, request: Request) -> Response:
        inside = self._looking(request)
        if inside is None:
            return self._door.ask_who(request, PAGE)
        cases, damaged = await asyncio.to_thread(self._desk.all)  # of thousands: a stop need not wait for it
        return html(listing(most_urgent_first(cases), damaged, self._clock.now(), visitor(inside)))

    async def _show(self, request: Request) -> Response:
        one = request.path_params["incident"]
        inside = self._looking(request)
        if inside is None:
            return self._door.ask_who(request, f"{PAGE}/{one}")
        try:
            case = self._desk.find(one)
        except UnknownIncidentError as unknown:
            return refuse(404, inside, "There is no such incident", sentence(str(unknown)))
        return html(incident(case, self._clock.now(), visitor(inside)))

    async def _ask_open(self, request: Request) -> Response:
        stop = request.query_params.get("stop", "").strip()
        stop = stop if is_order_id(stop) else ""
        inside = self._looking(request)
        if inside is None:
            return self._door.ask_who(request, f"{OPEN}?stop={quote(stop)}" if stop else OPEN)
        if not may_open(inside):
            return refuse(403, inside, "Not yours to do", f"The role {inside.person.role.value} may not do this.")
        typed = {"seen": self._desk.last(), **self._of_stop(stop)}
        there = await asyncio.to_thread(self._still_open, typed.get("model", ""))
        return html(ask_open(self._desk.models, typed, visitor(inside), there))

    def _still_open(self, model: str) -> tuple[Case, ...]:
        """Return what is open of this model, of every one where none is named."""
        found = most_urgent_first(self._desk.all()[0])
        return tuple(
            case for case in found if case.incident.closed is None and model in {"", case.incident.opened.model}
        )

    def _of_stop(self, stop: str) -> dict[str, str]:
        """Return what a stop says already of what was found; nothing for one that is not known."""
        if not stop:
            return {}
        try:
            order = next((each for each in self._board.state().stops if each.id == stop), None)
        except OSError:
            order = None  # what was found can be told all the same
        if not isinstance(order, StopOrder):
            return {}
        scope = str(order.scope)
        model = scope.removeprefix(_MODEL) if scope.startswith(_MODEL) else ""
        return {"stop": stop, "model": model, "summary": order.reason[:MAX_WORDS]}

    # What is done.

    async def _open(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        typed = {name: fields.get(name, "")[:MAX_IDS] for name in _OPENING}
        stop = typed["stop"]
        if stop and not self._of_stop(stop):
            typed["stop"] = ""  # an order that there is not explains nothing
        try:
            case = self._desk.open(
                Actor(inside.person.name, Source.PAGE),
                typed["model"],
                typed["summary"],
                discovered=_instant(typed["discovered"]),
                severity=_number(typed["severity"]) if typed["severity"] else None,
                requests=typed["requests"].split(),
                stop=typed["stop"],
                seen=typed["seen"],
            )
        except ChangedError as changed:
            typed["seen"] = self._desk.last()
            words = f"Nothing was opened. {sentence(f'{changed} for this model')} Press again if this is another."
            page = ask_open(self._desk.models, typed, visitor(inside), wrong=words, other=changed.incident)
            return html(page, 409)
        except OSError as failure:
            return _unwritten(inside, failure)
        except (IncidentRefusedError, EventError) as wrong:
            words = f"Nothing was opened. {sentence(str(wrong))}"
            status = 400 if isinstance(wrong, EventError) else 409
            return html(ask_open(self._desk.models, typed, visitor(inside), wrong=words), status)
        return go(f"{PAGE}/{case.id}")

    def _act(self, name: str, act: Act) -> Form:
        """Do one thing to one incident; where it is not done the page is shown again, with what was typed."""

        async def acted(request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
            one = request.path_params["incident"]
            try:
                self._desk.find(one)
                act(Actor(inside.person.name, Source.PAGE), one, fields)
            except UnknownIncidentError as unknown:
                return refuse(404, inside, "There is no such incident", sentence(str(unknown)))
            except OSError as failure:
                return _unwritten(inside, failure)
            except (IncidentRefusedError, EventError) as problem:
                status = 400 if isinstance(problem, EventError) else 409
                words = f"Nothing was done. {sentence(str(problem))}"
                page = incident(self._desk.find(one), self._clock.now(), visitor(inside), words, fields, name)
                return html(page, status)
            return go(f"{PAGE}/{one}")

        return acted

    def _triage(self, by: Actor, one: str, fields: Mapping[str, str]) -> Case:
        return self._desk.triage(
            by,
            one,
            _number(fields.get("severity", "")),
            fields.get("commander", ""),
            _imminent(fields.get("imminent", "")),
            fields.get("note", ""),
            seen=fields.get("seen", ""),
        )

    def _mitigate(self, by: Actor, one: str, fields: Mapping[str, str]) -> Case:
        surface, how = fields.get("surface", ""), fields.get("how", "")
        return self._desk.mitigate(by, one, surface, how, seen=fields.get("seen", ""))

    def _report(self, by: Actor, one: str, fields: Mapping[str, str]) -> Case:
        clock, reference = fields.get("clock", ""), fields.get("reference", "")
        return self._desk.report(by, one, clock, reference, seen=fields.get("seen", ""))

    def _close(self, by: Actor, one: str, fields: Mapping[str, str]) -> Case:
        return self._desk.close(by, one, fields.get("resolution", ""), seen=fields.get("seen", ""))

    async def _export(self, request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        one = request.path_params["incident"]
        try:
            case = self._desk.find(one)
            made = await self._exports.export(one, inside.person.name, words_of("reason", fields.get("reason", "")))
        except UnknownIncidentError as unknown:
            return refuse(404, inside, "There is no such incident", sentence(str(unknown)))
        except OSError as failure:
            return _unwritten(inside, failure)
        except (NotExportedError, EventError) as problem:
            words = f"Nothing was handed over. {sentence(str(problem))}"
            page = incident(case, self._clock.now(), visitor(inside), words, fields, "export")
            return html(page, 400 if isinstance(problem, EventError) else 503)
        return archive(made)


def archive(made: Export) -> Response:
    """Return a bundle as a file to be kept."""
    kind = {"content-type": "application/zip", "content-disposition": f'attachment; filename="{made.name}"'}
    return Response(made.content, headers={**SAFE, **kind, "cache-control": "no-store"})


def _unwritten(inside: Inside, failure: OSError) -> Response:
    words = f"{failure.strerror or failure}. Nothing was done; try guard incident on the host."
    return refuse(500, inside, "The incident cannot be read or written", words)


_OPENING: Final = ("model", "summary", "severity", "discovered", "requests", "stop", "seen")


def _number(text: str) -> int:
    if len(text) != 1 or text not in "01234":
        raise EventError("severity: 0 to 4")
    return int(text)


def _imminent(text: str) -> Imminent:
    try:
        return Imminent(text)
    except ValueError:
        raise EventError(f"imminent risk: one of {', '.join(Imminent)}") from None


def _instant(text: str) -> float | None:
    try:
        return instant(text.strip()) if text.strip() else None
    except ValueError:
        raise EventError("discovered: a time as 2026-11-23T08:00, in UTC") from None
