"""The HTTP edge: uvicorn's llhttp protocol, hardened where it bounds nothing, and a handle for the journey.

Refused before any application sees it: too many or too large headers, slow headers, a missing, second or (where names
are listed) foreign Host, a target that is no plain path, a request line with more than its two spaces, a transfer
coding other than chunked, HTTP/0.9, trailers, Upgrade, and a second request before the first is answered. Every refusal
closes the connection, and so does an answer to a request that is not wholly read: what the caller still sends is then
discarded for a while, because closing on unread bytes would reset the connection and could take our answer with it. A
caller who closes its own direction is taken as gone. It is one file because what one callback of the parser notes
another judges.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from guard.serve.answering import AnsweringProtocol
from guard.serve.untaken import bound, reset, untaken

MAX_HEADERS: Final = 100
_REQUEST_LINE: Final = re.compile(rb"[A-Z-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")
LINGER_SECONDS: Final = 2.0
FLUSH_SECONDS: Final = 30.0  # for a caller who does not take the end of an answer


class _UnacceptableError(Exception):
    """Stops the parser; the status says what was wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Way:
    """The transport as an answer sees it: closing it waits for what the caller still sends."""

    def __init__(self, protocol: GuardProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write

    def is_closing(self) -> bool:
        return self._protocol.leaving

    def close(self) -> None:
        self._protocol.leave()


class GuardProtocol(AnsweringProtocol):
    """One connection of a caller; serves one request at a time and implements `guard.reply.Connection` and `Wire`."""

    header_bytes: int = 32_768
    header_seconds: float = 10.0
    most_connections: int = 16_384
    hosts: frozenset[bytes] = frozenset()  # in lower case; empty takes every name
    tell: Callable[[str], str] | None = None  # hears what is refused here, and names it

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
        self._raw = 0
        self._hosts = 0
        self._foreign = False
        self._codings = 0
        self._line: bytes | None = b""  # the beginning of a request line that is not here to its end; None after it
        self._reading = False  # within the headers of a request
        self._whole = True  # nothing of a request is outstanding
        self._left = False
        self._refusal: _UnacceptableError | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._until: float | None = None  # when what is untaken of the last answer is thrown away; the loop's time

    # What the journey may do.

    @property
    def peer(self) -> str:
        """Who the caller's certificate is for; a plain connection has none."""
        return ""

    @property
    def arrived(self) -> bool:
        """Whether the request is here to its end."""
        return self._whole

    def last(self, within: float | None = None) -> None:
        """Close the connection after this answer; with ``within``, reset it if that is not taken in so many seconds."""
        if self.cycle is not None:
            self.cycle.keep_alive = False
        if within is not None:
            self._until = self.loop.time() + within

    def abort(self) -> None:
        """Reset it now, and throw away what is untaken; a refusal on its way is let out."""
        if self.transport is not None and not self._left:
            reset(self.transport)

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """Remember whom to tell when the caller leaves before the answer is complete."""
        if tell is not None and self.leaving:
            tell()
        self._tell = tell

    @property
    def leaving(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._left or self.transport is None or self.transport.is_closing()

    def leave(self) -> None:
        """Close the connection once what was written is out, and what still comes in has been thrown away."""
        if self.leaving:
            return
        self._left = True
        self._in_time()
        self._unset_keepalive_if_required()
        if self._until is not None and self.transport.can_write_eof():
            # Closed, a socket could not be reset any more: it stays until the caller has it all, or his time is over.
            self._slow = self.loop.call_at(self._until, self._out_of_time)
            self.transport.write_eof()
            self.flow.resume_reading()
            return
        if self._whole or not self.transport.can_write_eof():
            self._slow = self.loop.call_later(FLUSH_SECONDS, self.transport.abort)
            self.transport.close()
            return
        self._slow = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        self.transport.write_eof()
        self.flow.resume_reading()

    def _out_of_time(self) -> None:
        if untaken(self.transport):
            reset(self.transport)
        else:
            self.transport.close()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the first headers a deadline; beyond the bound, close at once."""
        super().connection_made(cast(asyncio.Transport, transport))
        bound(self.transport)
        if len(self.connections) > self.most_connections:
            self.transport.abort()
            return
        self._slow = self.loop.call_later(self.header_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the journey that the caller left."""
        self._in_time()
        super().connection_lost(exc)
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what the parser keeps to itself: a header is told only once it is complete."""
        if self._left:
            return
        if self._line is not None and not self._begins_well(data):
            self._answer_plainly(400, "the request is not valid HTTP")
            return
        super().data_received(data)
        idle = self._whole and (self.cycle is None or self.cycle.response_complete)
        if self.leaving or not (self._reading or idle):
            return
        self._raw += len(data)
        if self._raw > self.header_bytes:
            self._answer_plainly(431, "the headers are too large")
        elif self._slow is None:
            self._slow = self.loop.call_later(self.header_seconds, self._too_slow)

    def _begins_well(self, data: bytes) -> bool:
        """Read the request line as it is sent: the parser takes more spaces in it, and line ends of any kind before."""
        line = (self._line or b"") + data
        while line.startswith(b"\r\n"):  # an empty line, which RFC 9112 (section 2.2) has a server pass over
            line = line[2:]
        end = line.find(b"\n") + 1
        self._line = None if end else line[: self.header_bytes]
        return not end or _REQUEST_LINE.fullmatch(line, 0, end) is not None

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
            raise self._refused(400, "a second request came before the first was answered")
        super().on_message_begin()
        self._size = self._raw = self._hosts = self._codings = 0
        self._reading, self._whole = True, False
        extensions: dict[str, Any] = {"guard.connection": self, "guard.wire": self}
        self.scope["extensions"] = extensions

    def on_url(self, url: bytes) -> None:
        """Count the target with the headers."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers; after them there may be none, since trailers could change what was judged."""
        if not self._reading:
            raise self._refused(400, "trailers are not allowed")
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= MAX_HEADERS:
            raise self._refused(431, "there are too many headers")
        name = name.lower()
        if name == b"host":
            self._hosts += 1
            self._foreign = bool(self.hosts) and _name(value) not in self.hosts
        elif name == b"transfer-encoding":
            self._codings += 1
            if value.strip().lower() != b"chunked" or self._codings > 1:
                raise self._refused(400, "the only transfer coding is chunked")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check what must hold for every request, then let the application have it."""
        self._in_time()
        self._reading = False
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._refused(505, "only HTTP/1.1 is spoken here")
        if self._codings and version == "1.0":
            raise self._refused(400, "HTTP/1.0 has no transfer codings")
        if self._hosts != 1:
            raise self._refused(400, "there must be exactly one Host header")
        if self._foreign:
            raise self._refused(421, "the Host is not served here")
        if self.parser.should_upgrade():
            raise self._refused(400, "protocol upgrades are not offered")
        if not self.url.startswith(b"/") or self.url.startswith(b"//") or b"#" in self.url:
            raise self._refused(400, "the target must be a path")
        super().on_headers_complete()
        self.cycle.transport = cast(asyncio.Transport, _Way(self))

    def on_message_complete(self) -> None:
        """The request is wholly here."""
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; a connection on which a request is still coming takes no other."""
        super().on_response_complete()
        self._raw, self._line = 0, b""
        if not self._whole:
            self.leave()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        self.leave()

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
        if self.leaving:
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self.transport.abort()
                return
            # The application hears that the caller is gone, and nothing of its own gets between these lines.
            cycle.disconnected = True
            cycle.message_event.set()
        more = b""
        if self.tell is not None:
            request = self.tell(message)
            more, message = f"x-request-id: {request}\r\n".encode(), f"{message} (request {request})"
        body = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"bad_request"}}' % (
            message.encode("ascii")
        )
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + more + b"\r\n" + body)
        self._whole = False  # whatever else was sent with it is not ours to read
        self.leave()
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()


def _name(host: bytes) -> bytes:
    """Return the name or address in a Host header, in lower case; a port of digits after it is left out."""
    name, colon, port = host.strip().lower().rpartition(b":")
    if not colon or name.endswith(b":") or not port.isdigit():
        name = host.strip().lower()
    return name[1:-1] if name.startswith(b"[") and name.endswith(b"]") else name


def protocol_class(
    header_bytes: int,
    header_seconds: float,
    most_connections: int,
    hosts: Iterable[str] = (),
    tell: Callable[[str], str] | None = None,
) -> type[GuardProtocol]:
    """Make the protocol with these bounds; uvicorn takes a class. With ``hosts``, a request names one of them.

    ``tell`` hears why something is refused here and returns the id that the answer then carries.
    """
    bounded = type(
        "BoundedProtocol",
        (GuardProtocol,),
        {"most_connections": most_connections, "tell": None if tell is None else staticmethod(tell)},
    )
    rebound(bounded, header_bytes, header_seconds, hosts)
    return bounded


def rebound(http: type[GuardProtocol], header_bytes: int, header_seconds: float, hosts: Iterable[str]) -> None:
    """Give a protocol other bounds, for the next request of every connection; the time for headers for new ones."""
    http.header_bytes = header_bytes
    http.header_seconds = header_seconds
    http.hosts = frozenset(host.lower().encode("ascii") for host in hosts)
