"""Steps 1 and 2 of the journey: read a request strictly and bounded, and find out whose it is and for which model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, Final

from guard.credentials import Callers
from guard.diverting import DIVERTED, Diverting
from guard.live import LiveExchanges
from guard.pipeline import Pipeline
from guard.refusal import Refused
from guard.reply import Connection, Reply, Send, Unattached
from guard.serving import Catalogue, Serving
from guard.wire.capabilities import capabilities
from guard.wire.dialect import Dialect, Grants, Request
from guard.wire.strict_json import BadField, parse_object
from safeguards.decision import Unavailable
from safeguards.exchange import Caller, Exchange
from safeguards.mode import Mode
from safeguards.ports import Clock, Ladder
from safeguards.verdict import Code

Routes = Mapping[bytes, Dialect]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Read = Callable[[Grants], Request]
_METHOD: Final = "POST"
# Anthropic's SDK says so on its beta namespace; the word changes nothing here and goes nowhere.
_BETA: Final = (b"beta=true", b"/v1/messages")
_CONTENT_TYPES: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be: bytes of its body, seconds to send it, how many exchanges at once and for one key."""

    body_bytes: int
    body_seconds: float
    concurrent: int
    per_key: int = 1000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that was understood; ``started`` is a performance counter's reading.

    ``stricter`` is whether an order has it judged by its model's stricter pipeline. ``diverting`` says who answers what
    a rung of some categories keeps from its model, ``replaced`` how its replacement would take it now; or are None.
    """

    exchange: Exchange
    request: Request
    dialect: Dialect
    serving: Serving
    route: str
    started: float
    stricter: bool = False
    diverting: Diverting[Arrival] | None = None
    replaced: Callable[[], Arrival | None] | None = None

    @property
    def pipeline(self) -> Pipeline:
        """What judges it, to begin with."""
        stricter = self.serving.stricter
        return stricter if self.stricter and stricter is not None else self.serving.pipeline


class Arrivals:
    """Reads the requests of one surface; ``draining`` turns new ones away."""

    def __init__(
        self,
        surface: str,
        routes: Routes,
        callers: Callers,
        catalogue: Catalogue,
        limits: Limits,
        live: LiveExchanges,
        clock: Clock,
        new_id: Callable[[], str],
        ladder: Ladder | None = None,
    ) -> None:
        """Take the exact route table (raw path bytes), the keys, the models, the limits, the clock and fresh ids.

        Without a ``ladder`` no model has rungs: an order for one is a stop.
        """
        self._surface = surface
        self._routes = routes
        self._callers = callers
        self._catalogue = catalogue
        self._limits = limits
        self._live = live
        self._clock = clock
        self._new_id = new_id
        self._ladder = ladder
        self._default = next(iter(routes.values()))
        self.draining = False

    def take(self, callers: Callers, catalogue: Catalogue, limits: Limits) -> None:
        """Judge by another policy from now on, also the requests that are still being read."""
        self._callers, self._catalogue, self._limits = callers, catalogue, limits

    def reply(self, scope: MutableMapping[str, Any], send: Send) -> Reply:
        """Begin the answer, under the request's new id."""
        extensions = scope.get("extensions") or {}
        connection: Connection = extensions.get("guard.connection") or Unattached()
        return Reply(send, connection, self._new_id(), extensions.get("guard.wire"))

    def dialect_for_errors(self, scope: MutableMapping[str, Any]) -> Dialect:
        """In whose envelope to say that a request is refused."""
        return self._routes.get(scope.get("raw_path") or b"", self._default)

    async def read(self, scope: MutableMapping[str, Any], receive: Receive, reply: Reply) -> Arrival:
        """Understand a request; raises Refused."""
        started = perf_counter()
        path = scope.get("raw_path") or b""
        dialect = self._routes.get(path)
        if dialect is None:
            raise Refused(Code.UNKNOWN_ROUTE)
        caller = self.enter(scope, _METHOD)
        if reply.connection.peer:
            caller = replace(caller, peer=reply.connection.peer)
        judged_by = self._callers
        body = await self.body(scope, receive, reply, caller)
        if self._callers is not judged_by:  # another policy came into force while the body did
            caller = self.again(scope, caller)
        try:
            fields = parse_object(body)
            serving = self.serving(fields.get("model"), dialect, caller)
            request = dialect.read_request(fields, serving.grants)
        except BadField as bad:
            raise Refused(Code.BAD_REQUEST, str(bad)) from None
        exchange = self.exchange(reply.request, caller, serving, dialect, request)
        asked = Arrival(exchange, request, dialect, serving, path.decode("ascii"), started)
        if self._ladder is None or not (serving.rungs or serving.replacement):
            return asked
        return self.on_ladder(asked, partial(dialect.read_request, fields))

    def on_ladder(self, asked: Arrival, read: Read) -> Arrival:
        """Return who answers and how strictly, by the orders in force; ``read`` understands the request anew.

        Another model answers only under its own policy, where nothing stops it either, and not in place of one that
        stands in itself. Where none can, or the orders cannot be known, the switch of the model that was asked refuses.
        """
        ladder, serving = self._ladder, asked.serving
        if ladder is None:
            return asked
        instead = order = None
        with suppress(Unavailable):
            order = ladder.detour(asked.exchange)
        if order is not None:
            alias = serving.replacement if order.mode is Mode.DE_DEPLOYED else serving.fallback
            instead = self._stand_in(ladder, asked, alias, read, asked.exchange.id)
        return instead or self._on_rung(ladder, asked, read)

    def _on_rung(self, ladder: Ladder, arrival: Arrival, read: Read) -> Arrival:
        """Return how strictly it is judged, and who answers it if its prompt is of a category that falls back."""
        serving, exchange, diverting, other = arrival.serving, arrival.exchange, None, arrival.serving.replacement
        if serving.fallback_for:
            # Whoever stands in already has nobody to stand in for it.
            alias, identity = "" if exchange.asked else serving.fallback, exchange.id + DIVERTED
            instead = partial(self._stand_in, ladder, arrival, alias, read, identity)
            diverting = Diverting(ladder, exchange, serving.fallback_for, serving.fallback_by, instead)
        replaced = partial(self._stand_in, ladder, arrival, other, read, exchange.id) if other else None
        return replace(arrival, stricter=self._tightened(arrival), diverting=diverting, replaced=replaced)

    def _stand_in(
        self, ladder: Ladder, asked: Arrival, alias: str, read: Read, name: str, *, charged: bool = False
    ) -> Arrival | None:
        """Return the request as another model answers it, on its own rung; None where it does not."""
        with suppress(Refused, BadField, Unavailable):
            dialect, caller, model = asked.dialect, asked.exchange.caller, asked.serving.model
            other = self.serving(alias, dialect, caller)
            request = read(other.grants)
            exchange = replace(self.exchange(name, caller, other, dialect, request, model), charged=charged)
            if ladder.covering(exchange) is None:
                return self._on_rung(ladder, replace(asked, exchange=exchange, request=request, serving=other), read)
        return None

    def _tightened(self, arrival: Arrival) -> bool:
        if self._ladder is None or arrival.serving.stricter is None:
            return False
        try:
            return self._ladder.tightens(arrival.exchange) is not None
        except Unavailable:
            return True

    def exchange(
        self, identity: str, caller: Caller, serving: Serving, dialect: Dialect, request: Request, asked: str = ""
    ) -> Exchange:
        """Make what the safeguards of this model decide on; ``asked`` is the model it answers for, if another."""
        return Exchange(
            id=identity,
            caller=caller,
            model=serving.model,
            asl=serving.asl,
            surface=self._surface,
            dialect=dialect.name,
            operation=dialect.operation,
            streamed=request.streamed,
            passages=request.passages,
            policy=serving.policy,
            received=self._clock.now(),
            framework=serving.framework,
            release=serving.release,
            capabilities=capabilities(request),
            rungs=serving.rungs if self._ladder is not None else frozenset(),
            asked=asked,
            fallback_for=serving.fallback_for if self._ladder is not None else frozenset(),
        )

    def enter(self, scope: MutableMapping[str, Any], method: str) -> Caller:
        """Let a request in by its head: the method, no query, a valid key, and room for one more; raises Refused."""
        if scope["method"] != method:
            raise Refused(Code.METHOD_NOT_ALLOWED)
        if scope.get("query_string") and (scope["query_string"], scope["raw_path"][:12]) != _BETA:
            raise Refused(Code.BAD_REQUEST, "query: is not allowed on this route")
        caller = self._callers.authenticate(scope["headers"])
        if self.draining:
            raise Refused(Code.DRAINING)
        if len(self._live) + self._live.arriving >= self._limits.concurrent:
            raise Refused(Code.OVERLOADED)
        if self._live.of(caller.key) >= self._limits.per_key:
            raise Refused(Code.RATE_LIMITED, reason="too many at once for one key")
        return caller

    def again(self, scope: MutableMapping[str, Any], caller: Caller) -> Caller:
        """Return who this caller is by the policy in force now; raises Refused if nobody any longer."""
        return replace(self._callers.authenticate(scope["headers"]), peer=caller.peer)

    async def body(self, scope: MutableMapping[str, Any], receive: Receive, reply: Reply, caller: Caller) -> bytes:
        """Read the body, of a JSON request alone, within its bounds of size and time; raises Refused."""
        self._check(tuple(scope["headers"]))
        if reply.connection.arrived:
            return await self._gather(receive)
        self._live.arriving += 1
        self._live.hold(caller.key)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._gather(receive)
        except TimeoutError:
            raise Refused(Code.BAD_REQUEST, "body: did not arrive in time") from None
        finally:
            self._live.arriving -= 1
            self._live.let_go(caller.key)

    def serving(self, model: object, dialect: Dialect, caller: Caller) -> Serving:
        """Find the model that is asked for, served on this surface, to this audience, for this operation.

        Surface and audience are part of which policy it is (row C13). Raises Refused.
        """
        if model is None:
            raise BadField("model", "is missing")
        if type(model) is not str:
            raise BadField("model", "must be a string")
        serving = self._catalogue.find(model)
        if serving is None or self._surface not in serving.surfaces:
            raise Refused(Code.UNKNOWN_MODEL)
        if caller.audience != serving.audience:
            words = f"the key is for the audience {caller.audience}, the model for {serving.audience}"
            raise Refused(Code.AUDIENCE_DENIED, model=serving.model, reason=words)
        if dialect.operation not in serving.dialects:
            raise Refused(Code.ACCESS_DENIED, model=serving.model, reason="operation not listed")
        if serving.unmet:
            raise Refused(Code.NOT_ROUTABLE, model=serving.model, reason=f"unmet: {', '.join(serving.unmet[:8])}")
        return serving

    def _check(self, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        content_type = b""
        for name, value in headers:
            if name == b"content-length" and int(value) > self._limits.body_bytes:
                raise Refused(Code.TOO_LARGE)
            if name == b"content-type":
                if content_type:
                    raise Refused(Code.BAD_REQUEST, "content-type: is given twice")
                content_type = value.lower()
            if name == b"content-encoding":
                raise Refused(Code.BAD_REQUEST, "content-encoding: is not allowed")
        if content_type not in _CONTENT_TYPES:
            raise Refused(Code.BAD_REQUEST, "content-type: must be application/json")

    async def _gather(self, receive: Receive) -> bytes:
        pieces, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                # A caller who leaves before the end of the body has not asked for anything yet.
                raise Refused(Code.CALLER_GONE)
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self._limits.body_bytes:
                raise Refused(Code.TOO_LARGE)
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
