"""The answer on its way out: the status line leaves with the first released byte, so a block before it is an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Protocol

_log = logging.getLogger("guard.reply")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
Head = tuple[int, Headers]
FINISH_SECONDS: Final = 2.0
STOP_SECONDS: Final = 0.5
"""How long a caller may take of a stopped answer what had left; whoever is slower never reads the rest."""
ANSWERED_BY: Final = b"x-guard-answered-by"
_SSE: Final = (b"content-type", b"text/event-stream; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")


class Connection(Protocol):
    """What the HTTP server lets the journey do with the caller's connection."""

    @property
    def arrived(self) -> bool:
        """Whether the request is here to its end, so that reading it need not wait."""

    @property
    def peer(self) -> str:
        """Who the caller's verified certificate is for: its first URI or its subject; empty without one."""

    def last(self, within: float | None = None) -> None:
        """Close it after this answer; with ``within``, what is not taken of it in so many seconds is thrown away."""

    def abort(self) -> None:
        """Close it now and throw away what the caller has not taken; he reads an error, never an end."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Call this once when the caller leaves before the answer is complete."""


class Wire(Protocol):
    """A shorter way to the caller than ASGI's messages, of a server that offers one: one write for each piece."""

    async def answer(self, head: Head | None, data: bytes, *, chunked: bool, ends: bool) -> None:
        """Send a piece: the first with the head, the last with ``ends``; ``chunked`` if its headers give no length.

        Waits first while the caller takes nothing; cancelled there, nothing of it was sent.
        """

    @property
    def flowing(self) -> bool:
        """Whether a chunked answer is under way whose caller takes more at once: then `piece` may be called."""

    def piece(self, data: bytes) -> None:
        """Send more of it; as `answer` without waiting."""


class Unattached:
    """A connection of a server that does not offer one; the journey goes on without."""

    arrived = False
    peer = ""

    def last(self, within: float | None = None) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Do nothing."""


class Reply:
    """One answer to one caller; ``sent`` counts the bytes of its body.

    What is cut while a slow caller was waited for was not sent: the state changes once the server has taken a message.
    """

    __slots__ = ("_named", "_wire", "connection", "ended", "request", "sent", "started", "status")

    def __init__(self, send: Send, connection: Connection, request: str, wire: Wire | None = None) -> None:
        """Take where to send, and the request's id for the header; without a ``wire`` it goes by ASGI's messages."""
        self._wire = wire or _Messages(send, self)
        self.request = request
        self._named: Headers = ((b"x-request-id", request.encode()),)
        self.connection = connection
        self.started = False
        self.ended = False
        self.status = 0
        self.sent = 0

    def answered_by(self, model: str, request: str) -> None:
        """Say in the head that another model than the one that was asked for answers, under this id."""
        self.request = request
        self._named = ((b"x-request-id", request.encode()), (ANSWERED_BY, model.encode()))

    async def whole(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Send everything at once."""
        head = (_JSON, (b"content-length", b"%d" % len(body)), _NO_STORE, *self._named, *headers)
        await self._wire.answer((status, head), body, chunked=False, ends=True)
        self.begun(status)
        self.ended = True
        self.sent += len(body)

    async def stream(self, data: bytes) -> None:
        """Send more of an event stream; the first call sends the status line."""
        await self._wire.answer(None if self.started else self._events, data, chunked=True, ends=False)
        if not self.started:
            self.begun(200)
        self.sent += len(data)

    @property
    def flowing(self) -> bool:
        """Whether a stream is under way whose caller takes more at once: then `flow` may be called."""
        return self._wire.flowing

    def flow(self, data: bytes) -> None:
        """Send more of an event stream, as `stream` without waiting."""
        self._wire.piece(data)
        self.sent += len(data)

    async def end(self, data: bytes) -> None:
        """End an event stream properly with its last words; both go in one message, so nothing can come in between."""
        await self._wire.answer(None if self.started else self._events, data, chunked=True, ends=True)
        if not self.started:
            self.begun(200)
        self.ended = True
        self.sent += len(data)

    def begun(self, status: int) -> None:
        """The server has taken the head."""
        self.started = True
        self.status = status

    @property
    def _events(self) -> Head:
        return 200, (_SSE, _NO_STORE, *self._named)

    async def finish(self, ending: Awaitable[None], within: float = FINISH_SECONDS) -> None:
        """Await a last send within so many seconds; a caller who does not take it loses the connection."""
        try:
            async with asyncio.timeout(within):
                await ending
        except Exception as problem:  # noqa: BLE001 - whatever it was, an answer without its end must not linger
            self.connection.abort()
            if not isinstance(problem, (TimeoutError, OSError)):
                _log.error("the last words could not be sent: %s", type(problem).__name__)


class _Messages:
    """ASGI's messages, for a server that offers nothing shorter; the head may be taken when the rest is not yet."""

    def __init__(self, send: Send, reply: Reply) -> None:
        self._send = send
        self._reply = reply

    @property
    def flowing(self) -> bool:
        return False

    def piece(self, data: bytes) -> None:
        raise NotImplementedError("a message may have to wait")

    async def answer(self, head: Head | None, data: bytes, *, chunked: bool, ends: bool) -> None:
        if head is not None:
            status, headers = head
            await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})
            self._reply.begun(status)
        await self._send({"type": "http.response.body", "body": data, "more_body": not ends})
