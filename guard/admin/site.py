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
from guard.admin.approving import pasted, signing, statement_of
from guard.admin.bodies import MAX_BODY
from guard.admin.door import Door
from guard.admin.entrance import Entrance, Inside, same_origin
from guard.admin.fleet_view import fleet_view
from guard.admin.incident_pages import Exports, IncidentPages
from guard.admin.obedience import Confirmed, Here, Workers, obedience
from guard.admin.overview import Instruments, overview
from guard.admin.page import acts, approval, control, incidents
from guard.admin.page.frame import ASSETS, VERSION
from guard.admin.page.parts import MAX_SCOPE, sentence
from guard.admin.proxied import ForgedHeaderError
from guard.admin.pulse import MAX_LISTENERS, Pulse
from guard.admin.running import covered
from guard.admin.switchboard import ResumeRefusedError, Standing, Switchboard
from guard.admin.visiting import anybody, may_resume, may_stop, refuse, visitor
from guard.incidents.desk import IncidentDesk
from guard.refusal import Refused
from guard.state.orders import MAX_REASON, Source, is_order_id
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
        self._pulse = Pulse(board, fleet, panel, clock)
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
            ("/control/resume", self._ask_resume),
            *self._incidents.shown(),
        ]
        done: list[tuple[str, Shown]] = [
            ("/control/sign-in", self._door.sign_in),
            ("/control/sign-in/proxy", self._door.sign_in_by_proxy),
            ("/control/sign-out", self._inside(self._door.sign_out, anybody)),
            ("/control/stop", self._inside(self._stop, may_stop)),
            ("/control/resume", self._inside(self._resume, may_resume)),
            ("/control/resume/approved", self._inside(self._resume_approved, may_resume, MAX_RESUME)),
            ("/control/emergency", self._emergency),
            *((path, self._inside(act, allowed)) for path, act, allowed in self._incidents.done()),
        ]
        return [
            *(Route(path, self._guarded(act), methods=["GET"]) for path, act in shown),
            *(Route(path, self._guarded(act), methods=["POST"]) for path, act in done),
        ]

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
        return html(
            control.control(overview(self._board, self._fleet, self._panel, self._clock.now()), visitor(inside), scopes)
        )

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
            return self._not_yours(inside)
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

    async def _ask_resume(self, request: Request) -> Response:
        target = request.query_params.get("target", "").strip()
        inside = self._entrance.find(request, used=True)
        if inside is None:
            return self._door.ask_who(request, f"/control/resume?target={quote(target[:MAX_SCOPE])}")
        if not may_resume(inside):
            return self._not_yours(inside)
        try:
            plan = self._board.plan(target)
            lifted = frozenset(plan.lifts or [each.id for each in plan.approvable] or [target])
            state = self._board.state()
            stops = tuple(stop for stop in state.stops if stop.id in lifted)
            rule = next((each for each in state.rules if each.id == target), None)
        except OrderError as wrong:
            return refuse(400, inside, "There is no such stop", f"{wrong}.")
        return html(acts.ask_resume(target, stops, plan, visitor(inside), rule=rule))

    def _in_force(self) -> tuple[Standing, ...]:
        try:
            return self._board.in_force()
        except OSError:
            return ()  # the control page says so; a stop is to be had all the same

    # What is done.

    async def _stop(self, request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        if inside.person.drills:
            return await self._drill(request, inside, fields)
        placed = self._board.stop(
            fields.get("scope", ""), fields.get("reason", "").strip(), inside.person.name, Source.ADMIN, _mode(fields)
        )
        await self._spread(placed.order)
        return go("/control")

    async def _drill(self, request: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Stop the self-test model of this host, and sign the drill out: it has nothing else to do here."""
        placed = self._board.drill(fields.get("scope", ""), fields.get("reason", "").strip(), inside.person.name)
        self._entrance.leave(request)
        await self._spread(placed.order, here=True)
        return go("/control", self._entrance.cookie(request, ""))

    async def _resume(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        reason = fields.get("reason", "").strip()[:MAX_REASON]
        if not reason:
            raise NotTakenError("a resume needs a reason")
        target = fields.get("target", "")
        try:
            resumed = self._board.resume(target, reason, inside.person.name, Source.ADMIN, fields.get("seen"))
        except ResumeRefusedError as refusal:
            if not refusal.approval:
                raise
            return self._ask_approval(refusal.approval, target, inside)
        await self._spread(resumed.order)
        if resumed.approval:
            done = "Lifted for the models below ASL-3. For the others two people approve it."
            return self._ask_approval(resumed.approval, target, inside, done)
        return go("/control")

    def _ask_approval(self, statement: str, target: str, inside: Inside, done: str = "") -> Response:
        found = signing(self._board, statement, "", self._clock.now())
        return html(approval.ask_approval(found, target, visitor(inside), done=done))

    async def _resume_approved(self, _: Request, inside: Inside, fields: Mapping[str, str]) -> Response:
        """Resume what was signed; where something is lacking show the form again, with what was pasted."""
        target = fields.get("target", "")[:MAX_SCOPE]
        try:
            statement = statement_of(fields.get("approval", ""))
            found = signing(self._board, statement, fields.get("signatures", ""), self._clock.now())
        except OrderError as wrong:
            return html(approval.ask_wrong(str(wrong), target, visitor(inside)), 400)
        approvers = pasted(found.pasted, self._board.operators).approvers
        try:
            resumed = self._board.resume_approved(statement, approvers, inside.person.name, Source.ADMIN)
        except (ResumeRefusedError, OrderError) as refusal:
            return html(approval.ask_approval(found, target, visitor(inside), wrong=f"Not resumed: {refusal}"), 409)
        await self._spread(resumed.order)
        if not resumed.plan.held:
            return go("/control")
        held = [f"model {each.model} stays stopped: {each.why}" for each in resumed.plan.held]
        return html(approval.resumed_in_part(resumed.plan.lifts, resumed.people, held, visitor(inside)))

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
        placed = self._board.stop(fields["scope"].strip(), fields["reason"].strip(), holder.name, Source.ADMIN)
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
                return self._not_yours(inside)
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
                await self._forged(str(forged))
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

    def _not_yours(self, inside: Inside) -> Response:
        role = inside.person.role.value
        self._fleet.refused(f"{inside.person.token} is a {role}")
        return refuse(403, inside, "Not yours to do", f"The role {role} may not do this.")

    def _from_here(self, request: Request) -> None:
        if request.method == "POST" and not same_origin(request.headers):
            self._fleet.refused("a form from another site")
            raise NotTakenError("the form was sent from another site; nothing was done")

    async def _forged(self, words: str) -> None:
        """Log every forged header, and put one a minute on record: a flood must not fill the record."""
        self._fleet.refused(words)
        now = self._clock.steady()
        if now - self._told_forged >= FORGED_SECONDS:
            self._told_forged = now
            await self._panel.note("guard", "forged header", words, "")


def _returning(request: Request, fields: Mapping[str, str]) -> str:
    """Return the page that asks again for what somebody meant to do."""
    if request.url.path == "/control/stop":
        return f"/control/stop?scope={quote(fields.get('scope', '')[:MAX_SCOPE])}"
    if request.url.path.startswith(incidents.PAGE):
        return f"{incidents.PAGE}/{request.path_params['incident']}" if request.path_params else incidents.OPEN
    target = fields.get("target", "")
    return f"/control/resume?target={target}" if is_order_id(target) else "/control"


def _mode(fields: Mapping[str, str]) -> Mode:
    """Return the mode of the button that was pressed; raises OrderError for one that there is not."""
    try:
        return Mode(fields.get("mode") or Mode.STOP)
    except ValueError:
        raise OrderError(f"mode: one of {', '.join(Mode)}") from None
