"""The admin API: health, metrics, and the switch; JSON in and out, and every act is a named person's.

It is one file because who may do what, and how each refusal is told, is seen in one place.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from guard.admin.bodies import read_body
from guard.admin.hook_route import HookRoute
from guard.admin.obedience import Here, Workers, confirmed, obedience
from guard.admin.off_loop import off_loop
from guard.admin.rule_bodies import RuleBody, pushed_fields, rule_fields
from guard.admin.switchboard import Resumed, ResumeRefusedError, Switchboard
from guard.credentials import Register, bearer
from guard.hooks.receiver import Receiver
from guard.policy.model import Role
from guard.policy.roles import Act, may, told
from guard.refusal import Refused
from guard.state.orders import MAX_APPROVAL, MAX_ORDER_BYTES, MAX_REASON, MAX_SIGNATURES, Approver, Source
from guard.state.reloads import Outcome, Reloaded
from guard.state.scope import OrderError
from guard.state.served import UnknownScopeError
from safeguards.mode import Mode
from safeguards.verdict import Code

LOOK_SECONDS: Final = 1.0
MAX_RESUME: Final = 131_072  # an approved resume holds the signatures of those who approved
WAIT_SECONDS: Final = 10.0
_RELOADED: Final = {
    Outcome.IN_FORCE: 200,
    Outcome.UNCHANGED: 200,
    Outcome.INVALID: 422,
    Outcome.REFUSED: 409,
    Outcome.FAILED: 500,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who a token belongs to, and what it may do; one that ``drills`` stops the self-test model and nothing else."""

    token: str
    name: str
    role: Role
    drills: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests are served; ``troubles`` says why places of workers are empty."""

    ready: bool
    serving: int
    workers: int
    troubles: tuple[str, ...]


class Fleet(Workers, Protocol):
    """What the admin listener asks of the supervisor."""

    def ready(self) -> Readiness:
        """Whether requests are being served, and by how many workers of how many."""

    def wake(self) -> None:
        """Tell the workers that orders have changed."""

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics page and its content type."""

    def standing(self) -> list[dict[str, Any]]:
        """Each model's standing: routable or not, and why."""

    def waiting(self) -> list[dict[str, Any]]:
        """Which resumes wait for people's approval on this host."""

    def drills(self) -> dict[str, Any]:
        """How drills of the kill switch stand, and which models have a gap because of them."""

    def policy(self) -> dict[str, Any]:
        """Which policy is in force, since when, and why the files are another, if they are."""

    async def reload(self, who: str, reason: str) -> Reloaded:
        """Take up what the files hold now, if it may come into force."""

    def refused(self, reason: str) -> None:
        """An act was turned away; for the log and the metrics."""

    def emergency(self, who: str) -> None:
        """An emergency token was used; for the log and the metrics."""


class _StopBody(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    reason: str = ""
    mode: Mode = Mode.STOP


class _ApproverBody(msgspec.Struct, forbid_unknown_fields=True):
    person: str
    signature: str


class _ResumeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either what to lift and why, or what two people approved, with their signatures."""

    target: str = ""
    reason: str = ""
    approval: str = ""
    approvers: list[_ApproverBody] = []


class _ReloadBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


Stoppers = Callable[[bytes], Person]


@dataclass(frozen=True, slots=True)
class Operation:
    """One more thing that the listener offers: to whoever may do this act, with a token."""

    method: str
    path: str
    act: Act
    handler: Callable[[Request, Person], Awaitable[Response]]


def nobody(_: bytes) -> Person:
    """No token is one that only stops."""
    raise Refused(Code.UNAUTHENTICATED, reason="unknown")


def admin_app(
    switchboard: Switchboard,
    people: Register[Person],
    fleet: Fleet,
    hooks: Receiver,
    pages: Sequence[Route] = (),
    emergency: Stoppers = nobody,
    drills: Stoppers = nobody,
    operations: Sequence[Operation] = (),
) -> Starlette:
    """Build the admin application with these pages and further operations.

    ``emergency`` and ``drills`` find who may stop, and nothing else, by a token: anything, or the self-test model.
    """
    return _Admin(switchboard, people, fleet, hooks, emergency, drills).app(pages, operations)


class _Admin:
    def __init__(
        self,
        switchboard: Switchboard,
        people: Register[Person],
        fleet: Fleet,
        hooks: Receiver,
        emergency: Stoppers,
        drills: Stoppers,
    ) -> None:
        self._emergency = emergency
        self._drills = drills
        self._switchboard = switchboard
        self._people = people
        self._fleet = fleet
        self._hooks = HookRoute(hooks, switchboard, fleet)

    def app(self, pages: Sequence[Route], operations: Sequence[Operation]) -> Starlette:
        app = Starlette(
            routes=[
                Route("/health/live", self._live, methods=["GET"]),
                Route("/health/ready", self._ready, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/v1/status", self._as(Act.SEE_STATUS, self._status), methods=["GET"]),
                Route("/v1/stops", self._as(Act.STOP, self._stop), methods=["POST"]),
                Route("/v1/rules", self._as(Act.PUSH_RULE, self._push), methods=["POST"]),
                Route("/v1/rules", self._as(Act.SEE_STATUS, self._rules), methods=["GET"]),
                Route("/v1/rules/texts", self._as(Act.PUSH_RULE, self._rules), methods=["GET"]),
                Route("/v1/resumes", self._as(Act.RESUME, self._resume), methods=["POST"]),
                Route("/v1/reloads", self._as(Act.RELOAD, self._reload), methods=["POST"]),
                Route("/v1/hooks/{name}", self._hooks.receive, methods=["POST"]),
                Route("/v1/orders/{order}", self._as(Act.SEE_STATUS, self._order), methods=["GET"]),
                *(Route(each.path, self._as(each.act, each.handler), methods=[each.method]) for each in operations),
                *pages,
            ],
            exception_handlers={404: _not_here, 405: _not_here},
        )
        app.router.redirect_slashes = False  # a redirect would be built from the caller's Host header
        return app

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        found = self._fleet.ready()
        body = {
            "ready": found.ready,
            "serving": found.serving,
            "workers": found.workers,
            "troubles": list(found.troubles),
        }
        return JSONResponse(body, 200 if found.ready else 503)

    async def _metrics(self, request: Request) -> Response:
        page, content_type = await self._fleet.metrics(request.headers.get("accept", ""))
        return Response(page, headers={"content-type": content_type})

    def _as(
        self, act: Act, handler: Callable[[Request, Person], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Let a handler be called only by a person whose role entitles to the act."""

        async def guarded(request: Request) -> Response:
            try:
                person = self._person(request, act)
            except Refused as refused:
                self._fleet.refused(refused.reason)
                words = "the token has expired" if refused.code is Code.KEY_EXPIRED else "send a valid token"
                return problem(401, words)
            if not may(person.role, act):
                self._fleet.refused(f"{person.token} is a {person.role.value}")
                return problem(403, f"the role {person.role.value} may not do this; it takes {told(act)}")
            try:
                return await handler(request, person)
            except (UnknownScopeError, OrderError) as wrong:
                return problem(400, str(wrong))
            except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
                return problem(400, f"the body is not what this takes: {_words(wrong)}")
            except ClientDisconnect:
                return problem(400, "the body is incomplete")  # nobody hears it, and nothing was done
            except ResumeRefusedError as refusal:
                return problem(409, str(refusal), **({"approval": refusal.approval} if refusal.approval else {}))
            except OSError as failure:
                return problem(500, f"the order could not be written: {failure.strerror}")

        return guarded

    def _person(self, request: Request, act: Act) -> Person:
        """Return whose token it is; one that only stops is looked for where a stop is asked for."""
        try:
            return self._people.authenticate(request.headers.raw)
        except Refused as refused:
            if act is not Act.STOP or refused.reason != "unknown":
                raise
        token = bearer(request.headers.raw)
        with suppress(Refused):
            return self._drills(token)
        person = self._emergency(token)
        self._fleet.emergency(person.name)
        return person

    async def _stop(self, request: Request, person: Person) -> Response:
        body = msgspec.json.decode(await read_body(request), type=_StopBody)
        if person.drills:
            return await self._drill(body, person)
        board, reason, began = self._switchboard, body.reason[:MAX_REASON], time.monotonic()
        placed = await off_loop(lambda: board.stop(body.scope, reason, person.name, Source.ADMIN, body.mode))
        self._fleet.wake()
        return await self._answer(placed.order, placed.fields(), began)

    async def _push(self, request: Request, person: Person) -> Response:
        body = msgspec.json.decode(await read_body(request, MAX_ORDER_BYTES), type=RuleBody)
        board, rules = self._switchboard, body.pushed()
        reason = body.reason[:MAX_REASON]
        began = time.monotonic()
        # Compiling is the engine's work and may take seconds: in a thread, so that a stop need not wait for it.
        order = await off_loop(lambda: board.push(body.scope, rules, body.screens, reason, person.name, Source.ADMIN))
        self._fleet.wake()
        return await self._answer(order.id, pushed_fields(order), began)

    async def _rules(self, request: Request, _: Person) -> Response:
        texts = request.url.path.endswith("/texts")
        board = self._switchboard
        state = board.state()
        orders = board.rules(state)
        # The others of a fleet say every few seconds what they have, and at once while somebody waits.
        patience = 0.0 if self._fleet.fleet() is None else LOOK_SECONDS
        obeyed = await obedience(board, self._fleet, [each.id for each in orders], patience)
        pairs = zip(orders, obeyed, strict=True)
        found = [{**rule_fields(each, state, texts=texts), **told.fields()} for each, told in pairs]
        return JSONResponse({"rules": found})

    async def _drill(self, body: _StopBody, person: Person) -> Response:
        """Stop the self-test model of this host, the only one that such an order reaches."""
        board, began = self._switchboard, time.monotonic()
        placed = await off_loop(lambda: board.drill(body.scope, body.reason[:MAX_REASON], person.name))
        self._fleet.wake()
        return await self._answer(placed.order, placed.fields(), began, here=True)

    async def _resume(self, request: Request, person: Person) -> Response:
        body = msgspec.json.decode(await read_body(request, MAX_RESUME), type=_ResumeBody)
        began = time.monotonic()
        found = await off_loop(lambda: self._resumed(body, person.name))
        self._fleet.wake()
        return await self._answer(found.order, {**found.fields(), "reason": found.reason, "who": person.name}, began)

    def _resumed(self, body: _ResumeBody, who: str) -> Resumed:
        if body.approval:
            if body.target or body.reason:
                raise OrderError("target, reason: are said by the approval")
            if len(body.approval) > MAX_APPROVAL or len(body.approvers) > MAX_SIGNATURES:
                raise OrderError(f"approval: at most {MAX_APPROVAL} characters, {MAX_SIGNATURES} signatures")
            approvers = [Approver(each.person, each.signature) for each in body.approvers]
            return self._switchboard.resume_approved(body.approval, approvers, who, Source.ADMIN)
        if not body.target or body.approvers:
            raise OrderError("target: what to lift; or an approval with its approvers")
        if not body.reason.strip():
            raise OrderError("a resume needs a reason")
        return self._switchboard.resume(body.target, body.reason[:MAX_REASON], who, Source.ADMIN)

    async def _reload(self, request: Request, person: Person) -> Response:
        body = msgspec.json.decode(await read_body(request), type=_ReloadBody)
        found = await self._fleet.reload(person.name, body.reason[:MAX_REASON])
        status = _RELOADED[found.outcome]
        wrong = {} if found.taken else {"error": "; ".join(found.problems)}
        return JSONResponse({**found.fields(), **wrong}, 202 if found.taken and found.missing else status)

    async def _answer(self, order: str, fields: dict[str, Any], began: float, *, here: bool = False) -> Response:
        """Wait until every worker has applied the order, of the whole fleet or ``here`` alone; then say who has.

        ``began`` is when it was asked for, of `time.monotonic`.
        """
        (found,) = await obedience(
            self._switchboard, Here(self._fleet) if here else self._fleet, (order,), WAIT_SECONDS
        )
        body = {"order": order, **fields, **found.fields(), "seconds": round(time.monotonic() - began, 3)}
        return JSONResponse(body, 200 if not found.missing else 202)

    async def _order(self, request: Request, _: Person) -> Response:
        order = request.path_params["order"]
        return JSONResponse({"order": order, **confirmed(self._switchboard, self._fleet, order).fields()})

    async def _status(self, _: Request, __: Person) -> Response:
        board = self._switchboard
        state = board.state()
        stops = [standing.fields() for standing in board.in_force(state)]
        held = board.models_held(state)
        models = [
            {**each, "stopped_by": list(held.get(each["model"], ())), **board.on_ladder(each["model"], state)}
            for each in self._fleet.standing()
        ]
        status = {
            "stops": stops,
            "models": models,
            "workers": list(self._fleet.workers()),
            "policy": self._fleet.policy(),
            "resumes_not_counted": dict(state.uncounted()),
            "rules": len(board.rules(state)),
            "waiting": self._fleet.waiting(),
            "drills": self._fleet.drills(),
        }
        member = self._fleet.fleet()
        return JSONResponse(status if member is None else {**status, "fleet": member.status()})


def _words(wrong: Exception) -> str:
    # msgspec's messages name the field and the type wanted, never the value.
    return str(wrong) if isinstance(wrong, msgspec.DecodeError) else "not UTF-8"


async def _not_here(_: Request, raised: Exception) -> Response:
    status = raised.status_code if isinstance(raised, HTTPException) else 404
    answer = problem(status, "there is no such operation on the admin listener")
    answer.headers.update((raised.headers or {}) if isinstance(raised, HTTPException) else {})
    return answer


def problem(status: int, message: str, **fields: str) -> Response:
    """Return an answer that says what was not done, and why."""
    return JSONResponse({"error": message, **fields}, status)
