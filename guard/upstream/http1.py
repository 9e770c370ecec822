"""Reads one HTTP/1.1 answer from bytes, strictly, and says whether the connection is clean after it (sans-io).

llhttp parses and refuses most of what is malformed; this adds what it lets pass or leaves to its user: which framing
is trusted, encodings, interim answers, versions, bounds, and proof that nothing follows the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from guard.upstream.failure import UpstreamError, UpstreamFailure

MAX_HEADERS: Final = 128
MAX_INTERIM: Final = 8

Headers = tuple[tuple[bytes, bytes], ...]

_HEAD_END: Final = b"\r\n\r\n"
_SINGLE: Final = frozenset({b"content-length", b"content-type", b"content-encoding", b"transfer-encoding"})
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in bytes of one answer, and whether a body that only the end of the connection ends is believed.

    ``header_bytes`` bounds the head, and any run of bytes that brings no body (chunk extensions, trailers).
    ``held_bytes`` is the backlog above which the socket is no longer read.
    """

    header_bytes: int = 32768
    held_bytes: int = 262144
    allow_unframed: bool = False


class ResponseReader:
    """One answer: feed it what the socket gave, take body bytes, ask ``complete`` and ``clean``.

    ``status`` is 0 until the final head is complete. ``held`` counts the wire bytes since the last `take`: never less
    than the body bytes that wait. ``clean`` is meaningful once complete: True only if the server keeps the connection
    alive and the last byte fed is proven to be the last of the answer. The proof errs towards not clean: a head in
    several segments that ends in the body's only one, or a final chunk torn within its last five bytes, costs a new
    connection. After an error the reader takes no more.
    """

    __slots__ = (
        "_chunked",
        "_dry",
        "_framed",
        "_head_bytes",
        "_interim",
        "_keep_alive",
        "_limits",
        "_parser",
        "_refused",
        "_started",
        "clean",
        "complete",
        "headers",
        "held",
        "on_body",
        "pieces",
        "proven",
        "status",
    )

    def __init__(self, limits: Limits) -> None:
        """Begin to read an answer."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # so the parser appends without a Python frame for each chunk
        self.held = 0
        self.complete = False
        self.proven = True
        self.clean = False
        self._limits = limits
        self._started = False
        self._framed = False
        self._chunked = False
        self._keep_alive = False
        self._interim = 0
        self._head_bytes = 0
        self._dry = 0
        self._refused: UpstreamError | None = None
        # A parser for each answer (0.4 us): no state of an earlier one can matter.
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Read what the socket gave; raises UpstreamError if it is not an answer to be trusted."""
        parser = self._parser
        if parser is None:
            raise UpstreamError(UpstreamFailure.BAD_HTTP, "bytes after the end of the answer")
        before, headed, started = len(self.pieces), self.status != 0, self._started
        if not started:
            self._started = True
            if not data.startswith(b"H"):  # llhttp also takes RTSP, ICE, and line ends in front
                self._refuse(UpstreamFailure.BAD_HTTP, "the answer does not begin with HTTP")
        self.held += len(data)
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            if not self.complete:
                self._parser = None
                raise self._refused or UpstreamError(UpstreamFailure.BAD_HTTP, str(error)) from None
            self._keep_alive = False  # something follows the complete answer
        if self.complete:
            self._parser = None  # also breaks the cycle between parser and reader
            self.clean = self._keep_alive and self._ends_with_answer(data, before, headed=headed, whole=not started)
        elif len(self.pieces) > before:
            self._dry = 0
        else:
            self._dry += len(data)
            if self._dry > self._limits.header_bytes:
                self._refuse(UpstreamFailure.TOO_LARGE, "too many bytes without a body byte")

    def eof(self, *, reset: bool = False) -> None:
        """The connection ended, in order or not (``reset``); raises UpstreamError unless the answer may end so."""
        self._parser = None
        if self.complete:
            return
        how = "was cut" if reset else "ended"
        if not self._started:
            raise UpstreamError(UpstreamFailure.CLOSED, f"the connection {how} before the server answered")
        if reset or not self.status or self._framed or not self._limits.allow_unframed:
            raise UpstreamError(UpstreamFailure.TRUNCATED, f"the connection {how} before the proven end of the answer")
        self.complete, self.proven = True, False

    def take(self) -> bytes:
        """Take all body bytes that wait (may be none)."""
        body = b"".join(self.pieces)
        self.pieces.clear()
        self.held = 0
        return body

    def discard(self) -> None:
        """Forget what waits and read no more."""
        self.pieces.clear()
        self.held = 0
        self._parser = None

    def on_message_begin(self) -> None:
        """Parser callback; a second answer is refused."""
        if self.complete:
            self._refuse(UpstreamFailure.BAD_HTTP, "a second answer")

    def on_status(self, reason: bytes) -> None:
        """Parser callback; a reason with control characters is none (RFC 9112, section 4)."""
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in reason):  # noqa: PLR2004 - ASCII's controls
            self._refuse(UpstreamFailure.BAD_HTTP, "a control character in the reason")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser callback; trailers arrive here too and are dropped."""
        if self.status:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._limits.header_bytes or len(self.headers) >= MAX_HEADERS:
            self._refuse(UpstreamFailure.TOO_LARGE, "too many headers")
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Parser callback: judges the head."""
        parser = self._parser
        if parser is None:  # only `feed` runs the parser, and it holds one
            raise RuntimeError
        status, version = parser.get_status_code(), parser.get_http_version()
        singles: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name in _SINGLE:
                if name in singles:
                    self._refuse(UpstreamFailure.BAD_HTTP, f"{name.decode()} twice")
                singles[name] = value
        self._judge(status, version, singles)
        if status < 200:  # noqa: PLR2004 - the class of interim answers
            self.headers.clear()
            return
        if version == "1.1":
            self._keep_alive = parser.should_keep_alive()
        self.status = status

    def on_message_complete(self) -> None:
        """Parser callback; the end of an interim answer is none."""
        self.complete = self.status != 0

    def _judge(self, status: int, version: str, singles: dict[bytes, bytes]) -> None:
        # llhttp refuses some of this by itself; its own defaults have changed before, so nothing rests on them.
        length, transfer = singles.get(b"content-length"), singles.get(b"transfer-encoding")
        if version not in {"1.1", "1.0"}:
            self._refuse(UpstreamFailure.BAD_HTTP, "neither HTTP/1.1 nor 1.0")
        if not 100 <= status <= 599 or status == 101:  # noqa: PLR2004 - the classes of RFC 9110; 101 was never asked for
            self._refuse(UpstreamFailure.BAD_HTTP, "a status that cannot answer")
        if length is not None and transfer is not None:
            self._refuse(UpstreamFailure.BAD_HTTP, "both content-length and transfer-encoding")
        if transfer is not None and (transfer.lower() != b"chunked" or version == "1.0"):
            self._refuse(UpstreamFailure.BAD_HTTP, "a transfer-encoding other than chunked")
        if singles.get(b"content-encoding", b"").lower() not in {b"", b"identity"}:
            self._refuse(UpstreamFailure.UNEXPECTED_ENCODING, "a content-encoding that was not asked for")
        if status < 200:  # noqa: PLR2004 - the class of interim answers
            self._interim += 1
            if self._interim > MAX_INTERIM or length is not None or transfer is not None:
                self._refuse(UpstreamFailure.BAD_HTTP, "too many interim answers, or one with a body")
        elif status in _BODILESS:
            if transfer is not None or int(length or b"0"):
                self._refuse(UpstreamFailure.BAD_HTTP, "a body that its status forbids")
            self._framed = True
        else:
            self._chunked = transfer is not None
            self._framed = self._chunked or length is not None

    def _ends_with_answer(self, data: bytes, before: int, *, headed: bool, whole: bool) -> bool:
        # llhttp silently skips line ends after an answer, and does not tell where it ended: count.
        if self._chunked:
            return data.endswith(_HEAD_END) and data[-5:-4] not in {b"", b"\r", b"\n"}
        body = sum(map(len, self.pieces[before:]))
        if headed:
            return len(data) == body
        if not whole:
            return False
        end = 0
        for _ in range(self._interim + 1):
            end = data.find(_HEAD_END, end) + len(_HEAD_END)
        return end + body == len(data)

    def _refuse(self, kind: UpstreamFailure, reason: str) -> None:
        self._parser = None
        self._refused = UpstreamError(kind, reason)
        raise self._refused
