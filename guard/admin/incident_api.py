"""Incidents by the admin API: what the control page offers, in JSON; times are seconds since the epoch.

The rules of `guard.incidents.desk` alone decide: unlike the page's forms a program's acts do not say what it has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from guard.admin.api import Operation, Person, problem
from guard.admin.bodies import read_body
from guard.admin.incident_pages import Exports, NotExportedError, archive
from guard.incidents.case import Case, most_urgent_first
from guard.incidents.desk import Actor, IncidentDesk, IncidentRefusedError, UnknownIncidentError, words_of
from guard.incidents.events import EventError, Imminent, Source
from guard.policy.roles import Act
from safeguards.ports import Clock

INCIDENTS: Final = "/v1/incidents"
MOST: Final = 1_000
Handler = Callable[[Request, Person], Awaitable[Response]]
Body = TypeVar("Body")


class _Open(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    summary: str
    severity: int | None = None
    discovered: float | None = None
    requests: list[str] = []
    stop: str = ""


class _Triage(msgspec.Struct, forbid_unknown_fields=True):
    severity: int
    commander: str
    imminent_risk: Imminent
    note: str = ""


class _Mitigate(msgspec.Struct, forbid_unknown_fields=True):
    surface: str
    how: str


class _Report(msgspec.Struct, forbid_unknown_fields=True):
    clock: str
    reference: str


class _Close(msgspec.Struct, forbid_unknown_fields=True):
    resolution: str


class _Export(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


class IncidentApi:
    """Answers for one desk."""

    def __init__(self, desk: IncidentDesk, exports: Exports, clock: Clock) -> None:
        """Take what acts, what hands over, and the time."""
        self._desk = desk
        self._exports = exports
        self._clock = clock

    def operations(self) -> list[Operation]:
        """Return what the admin listener offers of incidents."""
        one = f"{INCIDENTS}/{{incident}}"
        return [
            Operation("GET", INCIDENTS, Act.SEE_STATUS, _told(self._list)),
            Operation("POST", INCIDENTS, Act.OPEN_INCIDENT, _told(self._open)),
            Operation("GET", one, Act.SEE_STATUS, _told(self._show)),
            Operation("POST", f"{one}/triage", Act.HANDLE_INCIDENT, _told(self._triage)),
            Operation("POST", f"{one}/mitigate", Act.HANDLE_INCIDENT, _told(self._mitigate)),
            Operation("POST", f"{one}/report", Act.HANDLE_INCIDENT, _told(self._report)),
            Operation("POST", f"{one}/close", Act.HANDLE_INCIDENT, _told(self._close)),
            Operation("POST", f"{one}/export", Act.READ_RECORDS, _told(self._export)),
        ]

    async def _list(self, request: Request, _: Person) -> Response:
        """Tell those of which something is to be done, the most urgent first; with ``?all=1`` the rest after them."""
        cases, damaged = await asyncio.to_thread(self._desk.all)
        everything = request.query_params.get("all") == "1"
        found = [case for case in most_urgent_first(cases) if everything or case.pending]
        now = self._clock.now()
        told = [case.fields(now) for case in found[:MOST]]
        return JSONResponse({"incidents": told, "more": max(0, len(found) - MOST), "damaged": list(damaged)})

    async def _show(self, request: Request, _: Person) -> Response:
        return self._answer(self._desk.find(request.path_params["incident"]))

    async def _open(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Open)
        case = self._desk.open(
            _by(person),
            body.model,
            body.summary,
            discovered=body.discovered,
            severity=body.severity,
            requests=body.requests,
            stop=body.stop,
        )
        return self._answer(case, 201)

    async def _triage(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Triage)
        one = request.path_params["incident"]
        risk = body.imminent_risk
        return self._answer(self._desk.triage(_by(person), one, body.severity, body.commander, risk, body.note))

    async def _mitigate(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Mitigate)
        return self._answer(self._desk.mitigate(_by(person), request.path_params["incident"], body.surface, body.how))

    async def _report(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Report)
        one = request.path_params["incident"]
        return self._answer(self._desk.report(_by(person), one, body.clock, body.reference))

    async def _close(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Close)
        return self._answer(self._desk.close(_by(person), request.path_params["incident"], body.resolution))

    async def _export(self, request: Request, person: Person) -> Response:
        body = await _body(request, _Export)
        case = self._desk.find(request.path_params["incident"])
        return archive(await self._exports.export(case.id, person.name, words_of("reason", body.reason)))

    def _answer(self, case: Case, status: int = 200) -> Response:
        return JSONResponse(case.fields(self._clock.now()), status)


def _told(handler: Handler) -> Handler:
    """Answer what a desk refuses with the status that it has over HTTP."""

    async def answered(request: Request, person: Person) -> Response:
        try:
            return await handler(request, person)
        except UnknownIncidentError as unknown:
            return problem(404, str(unknown))
        except IncidentRefusedError as refusal:
            return problem(409, str(refusal))
        except EventError as wrong:
            return problem(400, str(wrong))
        except NotExportedError as failure:
            return problem(503, str(failure))
        except OSError as failure:
            return problem(500, f"the incident could not be read or written: {failure.strerror or failure}")

    return answered


async def _body(request: Request, kind: type[Body]) -> Body:
    return msgspec.json.decode(await read_body(request), type=kind)


def _by(person: Person) -> Actor:
    return Actor(person.name, Source.API)
