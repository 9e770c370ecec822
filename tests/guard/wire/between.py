"""A dialect between a real SDK and an upstream: reads, writes and answers as the journey does, without safeguards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from guard.wire.dialect import TOLD, AnswerReader, Event, Grants, Naming, Request
from guard.wire.sse import BadStream
from guard.wire.strict_json import BadField, parse_object
from safeguards.verdict import Code

NAMING = Naming("req-1", "alias", 1_700_000_000)
Upstream = Callable[[bytes], bytes]
Page = Callable[[str, tuple[tuple[bytes, bytes], ...]], tuple[int, bytes]]


class Between:
    """Serves one dialect on a free loopback port inside a ``with`` block; ``upstream`` takes and gives whole bodies.

    ``pages`` answers GET with a status and a body; ``last`` is the request that was understood last.
    """

    def __init__(self, dialect: Any = None, upstream: Upstream | None = None, pages: Page | None = None) -> None:
        """Take the dialect and what stands behind it."""
        self.dialect = dialect
        self.upstream = upstream
        self.pages = pages
        self.grants = Grants()
        self.last: Request | None = None
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._send(*between.answer(body))

            def do_GET(self) -> None:
                headers = tuple((name.lower().encode(), value.encode()) for name, value in self.headers.items())
                assert between.pages is not None
                self._send(*between.pages(self.path, headers), "application/json")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _send(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL that an OpenAI SDK is given."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()

    def answer(self, body: bytes) -> tuple[int, bytes, str]:
        """Status, body and content type of the answer to one POST."""
        dialect = self.dialect
        try:
            request = self.last = dialect.read_request(parse_object(body), self.grants)
        except BadField as bad:
            return 400, dialect.error(Code.BAD_REQUEST, NAMING.request, str(bad)), "application/json"
        assert self.upstream is not None
        given = self.upstream(dialect.write_request(request, "up"))
        reader = dialect.reader(request, NAMING)
        events: list[Event] = []
        try:
            events += reader.feed(given)
            events += reader.finish()
        except BadStream:
            code = Code.UPSTREAM_FAILED
            if not request.streamed:
                return TOLD[code].status, dialect.error(code, NAMING.request), "application/json"
            seen = events[-1].seen if events else None
            failed = b"".join(event.data for event in events) + dialect.end_failed(NAMING, seen, code)
            return 200, failed, "text/event-stream"
        content_type = "text/event-stream" if request.streamed else "application/json"
        return 200, b"".join(event.data for event in events), content_type


def fed(reader: AnswerReader, *pieces: bytes) -> list[Event]:
    """All events of an answer that comes in these pieces, each batch settled as the journey does."""
    events = []
    for piece in pieces:
        events += reader.feed(piece)
        for channel in reader.touched:
            channel.settle()
        reader.touched.clear()
    return events + reader.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places (modulo its length)."""
    marks = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]


def strings(value: object) -> set[str]:
    """Every string value in a structure, keys apart."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*map(strings, value)) if isinstance(value, list) else set()
