"""The answer on its way out: the status line leaves with the first released byte, so a block before it is an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

_log = logging.getLogger("guard.reply")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
FINISH_SECONDS: Final = 2.0
_SSE: Final = (b"content-type", b"text/event-stream; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")


class Connection(Protocol):
    """What the HTTP server lets the journey do with the caller's connection."""

    @property
    def arrived(self) -> bool:
        """Whether the request is here to its end, so that reading it need not wait."""

    def last(self) -> None:
        """Close it after this answer."""

    def abort(self) -> None:
        """Close it now."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Call this once when the caller leaves before the answer is complete."""


class Unattached:
    """A connection of a server that does not offer one; the journey goes on without."""

    arrived = False

    def last(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Do nothing."""


class Reply:
    """One answer to one caller; ``sent`` counts the bytes of its body.

    What is cut while a slow caller was waited for was not sent: the state changes once the server has taken a message.
    """

    __slots__ = ("_identity", "_send", "connection", "ended", "request", "sent", "started", "status")

    def __init__(self, send: Send, connection: Connection, request: str) -> None:
        """Take where to send, and the request's id for the header."""
        self._send = send
        self.request = request
        self._identity = (b"x-request-id", request.encode())
        self.connection = connection
        self.started = False
        self.ended = False
        self.status = 0
        self.sent = 0

    async def whole(self, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Send everything at once."""
        length = (b"content-length", b"%d" % len(body))
        start = [_JSON, length, _NO_STORE, self._identity, *headers]
        await self._begin(status, start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.ended = True
        self.sent += len(body)

    async def stream(self, data: bytes) -> None:
        """Send more of an event stream; the first call sends the status line."""
        if not self.started:
            await self._begin(200, [_SSE, _NO_STORE, self._identity])
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.sent += len(data)

    async def end(self, data: bytes) -> None:
        """End an event stream properly with its last words; both go in one message, so nothing can come in between."""
        if not self.started:
            await self._begin(200, [_SSE, _NO_STORE, self._identity])
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self.ended = True
        self.sent += len(data)

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self.started = True
        self.status = status

    async def finish(self, ending: Awaitable[None]) -> None:
        """Await a last send within a short time; a caller who does not take it loses the connection."""
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await ending
        except Exception as problem:  # noqa: BLE001 - whatever it was, an answer without its end must not linger
            self.connection.abort()
            if not isinstance(problem, (TimeoutError, OSError)):
                _log.error("the last words could not be sent: %s", type(problem).__name__)
