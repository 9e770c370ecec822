"""The HTTP edge: uvicorn's llhttp protocol, hardened where it bounds nothing, and a handle for the journey.

Refused before any application sees it: too many or too large headers, slow headers, a missing or second Host, HTTP/0.9,
trailers, Upgrade, and a second request before the first is answered. A refusal of framing closes the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEADERS: Final = 100


class _UnacceptableError(Exception):
    """Stops the parser; the status says what was wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class GuardProtocol(HttpToolsProtocol):
    """One connection of a caller; serves one request at a time and implements `guard.reply.Connection`."""

    header_bytes: int = 32_768
    header_seconds: float = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin without a request."""
        super().__init__(config, server_state, app_state, _loop)
        self._tell: Callable[[], None] | None = None
        self._size = 0
        self._complete = False
        self._refusal: _UnacceptableError | None = None
        self._slow: asyncio.TimerHandle | None = None

    # What the journey may do.

    def last(self) -> None:
        """Close the connection after this answer."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def abort(self) -> None:
        """Close it now, with what is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Remember whom to tell when the caller leaves before the answer is complete."""
        if tell is not None and (self.transport is None or self.transport.is_closing()):
            tell()
        self._tell = tell

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the first headers a deadline."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows what asyncio gives
        self._slow = self.loop.call_later(self.header_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the journey that the caller left."""
        self._in_time()
        super().connection_lost(exc)
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def _too_slow(self) -> None:
        self._slow = None
        if self.cycle is None or self.cycle.response_complete:
            self._answer_plainly(408, "the headers did not arrive in time")

    def _in_time(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    # What the parser says; an exception here ends the connection.

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            raise _UnacceptableError(400, "a second request came before the first was answered")
        super().on_message_begin()
        self._size = 0
        self._complete = False
        extensions: dict[str, Any] = {"guard.connection": self}
        self.scope["extensions"] = extensions
        if self._slow is None:
            self._slow = self.loop.call_later(self.header_seconds, self._too_slow)

    def on_url(self, url: bytes) -> None:
        """Count the target with the headers."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers; after them there may be none, since trailers could change what was judged."""
        if self._complete:
            raise self._refused(400, "trailers are not allowed")
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= MAX_HEADERS:
            raise self._refused(431, "there are too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check what must hold for every request, then let the application have it."""
        self._in_time()
        self._complete = True
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise self._refused(505, "only HTTP/1.1 is spoken here")
        if sum(name == b"host" for name, _ in self.headers) != 1:
            raise self._refused(400, "there must be exactly one Host header")
        if self.parser.should_upgrade():
            raise self._refused(400, "protocol upgrades are not offered")
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self.header_bytes:
            raise self._refused(431, "the headers are too large")

    def _refused(self, status: int, message: str) -> _UnacceptableError:
        self._refusal = _UnacceptableError(status, message)
        return self._refusal

    def send_400_response(self, msg: str) -> None:
        """Answer a framing error in our own form; in the middle of another answer, just end the connection."""
        refusal = self._refusal or _UnacceptableError(400, "the request is not valid HTTP")
        self._answer_plainly(refusal.status, refusal.message)

    def _answer_plainly(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"bad_request"}}' % (
            message.encode("ascii")
        )
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def protocol_class(header_bytes: int, header_seconds: float) -> type[GuardProtocol]:
    """Make the protocol with these bounds; uvicorn takes a class."""
    return type("BoundedProtocol", (GuardProtocol,), {"header_bytes": header_bytes, "header_seconds": header_seconds})
