"""The routes of the control page: GET shows and changes nothing, POST acts for a named person and then shows again.

Every answer forbids everything that does not come from this listener. A form counts if it was sent from here (Origin,
Sec-Fetch-Site) with the secret of the session it was made for; only then is anything done. It is one file because what
holds for every request is seen beside every route.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from guard.admin.answers import KEPT, SAFE, NotTakenError, go, html, read_form
from guard.admin.api import MAX_RESUME, Fleet
from guard.admin.bodies import MAX_BODY
from guard.admin.door import Door
from guard.admin.entrance import Entrance, Inside, same_origin
from guard.admin.file_approval import FileApprovals
from guard.admin.fleet_view import fleet_view
from guard.admin.incident_pages import Exports, IncidentPages
from guard.admin.obedience import Confirmed, Here, Workers, obedience
from guard.admin.off_loop import off_loop
from guard.admin.overview import Instruments, overview
from guard.admin.page import acts, control, incidents
from guard.admin.page.frame import ASSETS, VERSION
from guard.admin.page.parts import MAX_SCOPE, sentence
from guard.admin.page.waiting import Waits
from guard.admin.proxied import ForgedHeaderError
from guard.admin.pulse import MAX_LISTENERS, Pulse
from guard.admin.resumes import Resumes
from guard.admin.running import covered
from guard.admin.switchboard import ResumeRefusedError, Standing, Switchboard
from guard.admin.visiting import anybody, may_approve, may_resume, may_stop, refuse, visitor
from guard.incidents.desk import IncidentDesk
from guard.refusal import Refused
from guard.state.asked import NAME_DIGITS
from guard.state.orders import Source, is_order_id
from guard.state.scope import OrderError
from guard.state.served import UnknownScopeError
from safeguards.mode import Mode
from safeguards.ports import Clock

ACKNOWLEDGED_SECONDS: Final = 2.0
FORGED_SECONDS: Final = 60.0
Shown = Callable[[Request], Awaitable[Response]]
Form = Callable[[Request, Inside, Mapping[str, str]], Awaitable[Response]]


class Site:
    """The control page over one switchboard and one fleet."""

    def __init__(
        self,
        board: Switchboard,
        fleet: Fleet,
        panel: Instruments,
        entrance: Entrance,
        clock: Clock,
        desk: IncidentDesk,
        exports: Exports,
    ) -> None:
        """Take what acts, what is looked at, who is let in, the time, and what incidents are handled by."""
        self._board = board
        self._fleet = fleet
        self._panel = panel
        self._entrance = entrance
        self._clock = clock
        self._door = Door(entrance, fleet, panel, clock)
        self._resumes = Resumes(board, fleet, panel, entrance, self._door, clock, self._spread)
        self._files = FileApprovals(board, fleet, entrance, self._door, clock)
        self._pulse = Pulse(board, fleet, panel, clock, self._resumes.mark)
        self._incidents = IncidentPages(desk, exports, board, entrance, self._door, clock)
        self._told_forged = float("-inf")

    def routes(self) -> list[Route]:
        """Return the routes for the admin listener's application."""
        shown: list[tuple[str, Shown]] = [(f"/control/{name}", self._asset) for name in ASSETS]
        shown += [
            ("/", self._root),
            ("/control", self._control),
            ("/control/events", self._events),
            ("/control/stop", self._ask_stop),
            ("/control/resume", self._resumes.ask_resume),
            ("/control/approval", self._resumes.ask_approval),
            ("/control/passkey", self._resumes.make_passkey),
            ("/control/file", self._files.ask),
            *self._incidents.shown(),
        ]
        done: list[tuple[str, Shown]] = [
            ("/control/sign-in", self._door.sign_in),
            ("/control/sign-in/proxy", self._door.sign_in_by_proxy),
            ("/control/sign-out", self._inside(self._door.sign_out, anybody)),
            ("/control/stop", self._inside(self._stop, may_stop)),
            ("/control/resume", self._inside(self._resumes.resume, may_resume)),
            ("/control/resume/approved", self._inside(self._resumes.resume_approved, may_resume, MAX_RESUME)),
            ("/control/approval", self._inside(self._resumes.approve, may_approve)),
            ("/control/file", self._inside(self._files.approve, may_approve, MAX_RESUME)),
            ("/control/emergency", self._emergency),
            *((path, self._inside(act, allowed)) for path, act, allowed in self._incidents.done()),
        ]
        return [
            *(Route(path, self._guarded(act), methods=["GET"]) for path, act in shown),
            *(Route(path, self._guarded(act), methods=["POST"]) for path, act in done),
        ]

    def waiting(self) -> tuple[Waits, ...]:
        """What waits for people's approval."""
        return self._resumes.waiting()

    # What is shown.

    async def _root(self, _: Request) -> Response:
        return go("/control")

    async def _asset(self, request: Request) -> Response:
        body, kind = ASSETS[request.url.path.rpartition("/")[2]]
        kept = KEPT if request.query_params.get("v") == VERSION else "no-store"
        return Response(body, headers={**SAFE, "content-type": kind, "cache-control": kept})

    async def _control(self, request: Request) -> Response:
        inside = self._entrance.find(request, used="auto" not in request.query_params)
        if inside is None:
            return self._door.ask_who(request, "/control")
        scopes = self._board.scopes() if may_stop(inside) else ()
        seen = overview(self._board, self._fleet, self._panel, self._clock.now())
        return html(control.control(seen, visitor(inside), scopes, self._resumes.waiting()))

    async def _events(self, request: Request) -> Response:
        def still() -> bool:
            with suppress(ForgedHeaderError):  # the proxy that was trusted is so no longer
                return self._entrance.find(request, used=False) is not None
            return False

        if request.method != "GET":
            return Response(status_code=405, headers={**SAFE, "cache-control": "no-store"})
        self._entrance.find(request, used=False)  # a forged header is told before anything is begun
        if not still():
            return Response(status_code=401, headers={**SAFE, "cache-control": "no-store"})
        if self._pulse.listeners >= MAX_LISTENERS:
            return Response(status_code=503, headers={**SAFE, "cache-control": "no-store"})
        headers = {**SAFE, "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
        return StreamingResponse(self._pulse.events(still), headers=headers)

    async def _ask_stop(self, request: Request) -> Response:
        scope = request.query_params.get("scope", "all").strip()
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, f"/control/stop?scope={quote(scope[:MAX_SCOPE])}")
        if not may_stop(inside):
            return self._door.not_yours(inside)
        try:
            wanted = self._board.drilled(scope) if inside.person.drills else self._board.known(scope)
        except (UnknownScopeError, OrderError) as wrong:
            return refuse(400, inside, "There is nothing of that name", f"{wrong}.")
        held = tuple(each.stop for each in self._in_force() if each.stop.scope == wanted)
        running = covered(wanted, self._panel.running(), self._board.served)
        return html(acts.ask_stop(str(wanted), running, self._who_obeys(), visitor(inside), held))

    def _who_obeys(self) -> tuple[int, int]:
        """Count the workers here and the other replicas of the fleet."""
        view = fleet_view(self._fleet.fleet())
        others = () if view is None else tuple(each for each in view.replicas if each.name != view.replica)
        return len(self._fleet.workers()), len(others)

    def _in_force(self) -> tuple[Standing, ...]:
        try:
            return self._board.in_force()
        except OSError:
            return ()  # the control page says so; a stop is to be had all the same

    # What is done.

    async def _stop(self, request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        if inside.person.drills:
            return await self._drill(request, inside, fields)
        scope, reason, mode = fields.get("scope", ""), fields.get("reason", "").strip(), _mode(fields)
        placed = await off_loop(lambda: self._board.stop(scope, reason, inside.person.name, Source.ADMIN, mode))
        await self._spread(placed.order)
        return go("/control")

    async def _drill(self, request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Stop the self-test model of this host, and sign the drill out: it has nothing else to do here."""
        scope, reason = fields.get("scope", ""), fields.get("reason", "").strip()
        placed = await off_loop(lambda: self._board.drill(scope, reason, inside.person.name))
        self._entrance.leave(request)
        await self._spread(placed.order, here=True)
        return go("/control", self._entrance.cookie(request, ""))

    async def _emergency(self, request: Request) -> Response:
        fields = await read_form(request, "token", "scope", "reason")
        try:
            holder = self._entrance.emergency.holder(fields["token"].strip().encode("utf-8", "replace"))
        except Refused as refused:
            self._fleet.refused(f"emergency token: {refused.reason}")
            return self._door.ask_who(
                request, "/control", "This is no emergency token that is known here. Nothing was stopped.", 403
            )
        self._fleet.emergency(holder.name)
        scope, reason = fields["scope"].strip(), fields["reason"].strip()
        placed = await off_loop(lambda: self._board.stop(scope, reason, holder.name, Source.ADMIN))
        found = await self._spread(placed.order)
        return html(acts.stopped_by_emergency(placed, found))

    async def _spread(self, order: str, *, here: bool = False) -> Confirmed:
        """Wake the workers and wait a moment for all; the page shows who has not obeyed by then."""
        self._fleet.wake()
        workers: Workers = Here(self._fleet) if here else self._fleet
        (found,) = await obedience(self._board, workers, (order,), ACKNOWLEDGED_SECONDS, leaving=self._panel.leaving)
        return found

    # What holds for every request.

    def _inside(
        self, act: Form, allowed: Callable[[Inside], bool], limit: int = MAX_BODY
    ) -> Callable[[Request], Awaitable[Response]]:
        """Let a form act only for somebody signed in, by the secret that it was made with; ``limit`` is in bytes."""

        async def acted(request: Request) -> Response:
            inside = self._entrance.find(request, used=True)
            fields = await read_form(request, limit=limit)
            if inside is None:
                return self._door.ask_who(
                    request, _returning(request, fields), "You are signed out: nothing was done.", 401
                )
            if not hmac.compare_digest(fields.get("form", "").encode(), inside.session.form.encode()):
                self._fleet.refused("a form without the secret of its session")
                raise NotTakenError("the form is of another session; nothing was done")
            if not allowed(inside):
                return self._door.not_yours(inside)
            try:
                return await act(request, inside, fields)
            except ResumeRefusedError as refusal:
                return refuse(409, inside, "Not resumed", f"{refusal}.")
            except (UnknownScopeError, OrderError) as wrong:
                return refuse(400, inside, "Nothing was done", f"{wrong}.")
            except OSError as failure:
                return refuse(
                    500, inside, "The order could not be written", f"{failure.strerror}. Stop by another way."
                )

        return acted

    def _guarded(self, act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._from_here(request)
                return await act(request)
            except ForgedHeaderError as forged:
                self._forged(str(forged))
                return html(
                    acts.problem("Refused", "This request names a person and does not come from the proxy."), 403
                )
            except NotTakenError as wrong:
                return html(acts.problem("Not done", sentence(str(wrong))), 403)
            except (UnknownScopeError, OrderError) as wrong:
                return html(acts.problem("Nothing was done", f"{wrong}."), 400)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody hears it, and nothing was done
            except OSError as failure:
                words = f"{failure.strerror or 'The state cannot be read'}."
                return html(acts.problem("The state cannot be read or written", words), 500)

        return guarded

    def _from_here(self, request: Request) -> None:
        if request.method == "POST" and not same_origin(request.headers):
            self._fleet.refused("a form from another site")
            raise NotTakenError("the form was sent from another site; nothing was done")

    def _forged(self, words: str) -> None:
        """Log every forged header, and put one a minute on record: a flood must not fill the record."""
        self._fleet.refused(words)
        now = self._clock.steady()
        if now - self._told_forged >= FORGED_SECONDS:
            self._told_forged = now
            self._panel.note("guard", "forged header", words, "")


def _returning(request: Request, fields: Mapping[str, str]) -> str:
    """Return the page that asks again for what somebody meant to do."""
    if request.url.path == "/control/stop":
        return f"/control/stop?scope={quote(fields.get('scope', '')[:MAX_SCOPE])}"
    if request.url.path.startswith(incidents.PAGE):
        return f"{incidents.PAGE}/{request.path_params['incident']}" if request.path_params else incidents.OPEN
    if request.url.path == "/control/approval":
        return f"/control/approval?of={quote(fields.get('of', '')[:NAME_DIGITS])}"
    if request.url.path == "/control/file":
        return "/control/file"
    target = fields.get("target", "")
    return f"/control/resume?target={target}" if is_order_id(target) else "/control"


def _mode(fields: Mapping[str, str]) -> Mode:
    """Return the mode of the button that was pressed; raises OrderError for one that there is not."""
    try:
        return Mode(fields.get("mode") or Mode.STOP)
    except ValueError:
        raise OrderError(f"mode: one of {', '.join(Mode)}") from None
