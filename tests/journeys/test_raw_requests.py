"""Requests with bytes turned, lines doubled, bodies cut and others glued on, on a raw socket to the running guard.

Whatever comes, it is answered or the connection ends within a bound; nothing is forwarded that a strict reading of
HTTP/1.1 does not find as a whole request; and the next caller is served.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guard.serve.http import protocol_class
from guard.wire.routes import ROUTES
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.every_dialect import speak
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.strict_http import whole_requests
from tests.parts.upstream import ScriptedUpstream

ECHO: Final = "words-of-the-caller"
SECONDS: Final = 0.25  # for the headers, and for the body
BOUND: Final = 5.0  # seconds in which a caller has an answer or no connection
STATUSES: Final = frozenset({200, 202, 400, 401, 404, 405, 408, 413, 421, 429, 431, 505})  # 429: of reports
KEY: Final = b"the-key-of-the-caller"
TOKENS: Final = (
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x80", b"\xff", b"0", b"-1"),
    *(b"Content-Length: 5\r\n", b"content-length: 0\r\n", b"content-length:\r\n", b"content-length : 7\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"transfer-encoding:\x0bchunked\r\n"),
    *(b"Host: other\r\n", b"host:\r\n", b"Connection: close\r\n", b"connection: keep-alive\r\n", b" folded\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"authorization: Bearer x\r\n"),
    *(b"content-encoding: gzip\r\n", b"content-type: text/plain\r\n", b"x: y\r\n", b"Trailer: x\r\n"),
    *(
        b"0\r\n\r\n",
        b"5;ext=1\r\n",
        b"ffffffffffffffff\r\n",
        b" HTTP/1.1",
        b" HTTP/0.9",
        b"HTTP/1.0",
        b"PRI * HTTP/2.0",
    ),
    *(b"GET /v1/models HTTP/1.1\r\nhost: guard\r\n\r\n", b"http://guard", b"//", b"/../", b"%2e", b"#", b"?x=1"),
)


def post(path: str, body: dict[str, Any], *, chunks: int = 0, extra: tuple[str, ...] = ()) -> bytes:
    """A good request, its body with a length or in so many chunks."""
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: guard", "content-type: application/json", *extra]
    lines.append(f"authorization: Bearer {KEY.decode()}")
    lines.append("transfer-encoding: chunked" if chunks else f"content-length: {len(raw)}")
    if chunks:
        size = -(-len(raw) // chunks)
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        raw = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


CHAT: Final = {"model": "demo", "messages": [{"role": "user", "content": ECHO}]}
GOOD: Final = (
    post("/v1/chat/completions", CHAT),
    post("/v1/chat/completions", {**CHAT, "stream": True}),
    post("/v1/chat/completions", CHAT, chunks=3),
    post("/v1/chat/completions", CHAT, chunks=1, extra=("connection: keep-alive", "accept: */*")),
    post("/v1/completions", {"model": "demo", "prompt": ECHO}, chunks=2),
    post("/v1/messages", {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": ECHO}]}),
    post("/report", {"request_id": "0123", "comment": ECHO}),
    b"GET /v1/models HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer " + KEY + b"\r\n\r\n",
)


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """One or two good requests, with a few things done to them."""
    data = b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(("turn", "insert", "delete", "double a line", "cut", "move a line")))
        if what == "turn" and at < len(data):
            data = data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]
        elif what == "insert":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + draw(st.integers(1, 12)) :]
        elif what == "cut":
            data = data[:at]
        else:
            start = data.rfind(b"\n", 0, at) + 1
            end = data.find(b"\n", at) + 1 or len(data)
            rest = data if what == "double a line" else data[:start] + data[end:]
            where = draw(st.sampled_from([each.end() for each in re.finditer(rb"\n", rest)] or [0]))
            data = rest[:where] + data[start:end] + rest[where:]
    return data


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard with short deadlines, and its upstream."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: bytes

    def exchange(self, pieces: list[bytes], *, half_close: bool) -> bytes:
        """Send these bytes, and read to the end of the connection or of the first answer; raises TimeoutError."""
        with socket.create_connection(("127.0.0.1", self.guard.port), timeout=BOUND) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in pieces:
                    link.sendall(piece)
                if half_close:
                    link.shutdown(socket.SHUT_WR)
            except (ConnectionError, OSError):
                pass  # it was refused while it was still being sent
            return _answered(link)

    def still_serves(self) -> None:
        """The next caller gets an answer."""
        with RawCaller(self.guard.port, self.key.decode()) as caller:
            caller.ask("the next", stream=False)
            assert caller.answer().status == 200


def _answered(link: socket.socket) -> bytes:
    got = b""
    end = time.monotonic() + BOUND
    while not _is_whole(got):
        link.settimeout(max(0.001, end - time.monotonic()))
        try:
            piece = link.recv(65536)
        except ConnectionError:
            return got
        if not piece:
            return got
        got += piece
    return got


def _is_whole(got: bytes) -> bool:
    """Whether this is a whole answer that leaves the connection open."""
    got = re.sub(rb"\AHTTP/1\.1 100 Continue\r\n\r\n", b"", got)
    head, mark, body = got.partition(b"\r\n\r\n")
    if not mark or b"\r\nconnection: close" in head:
        return False
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    return body.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length[1])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("raw")
    with ScriptedUpstream(speak) as upstream:
        operations = ("chat", "completions", "messages")
        credentials = write_configuration(
            directory,
            models=[ModelSpec(upstream=upstream.url, operations=operations)],
            limits={"body_seconds": SECONDS, "body_bytes": 4096},
        )
        with GuardThread(directory, protocol=protocol_class(4096, SECONDS, 1000)) as guard:
            yield Bench(guard, upstream, credentials.key.encode())


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=wires(), cuts=st.lists(st.integers(0, 4096), max_size=3), half_close=st.booleans())
@example(data=GOOD[0] * 2, cuts=[], half_close=False)
@example(data=GOOD[2], cuts=list(range(0, 600, 7)), half_close=False)
def test_only_whole_requests_are_forwarded_and_everyone_is_answered_or_let_go(
    bench: Bench, data: bytes, cuts: list[int], half_close: bool
) -> None:
    data = data.replace(KEY, bench.key)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    before = len(bench.upstream.requests)
    got = bench.exchange(pieces, half_close=half_close)
    bench.guard.quiet()
    forwarded = [request.body for request in bench.upstream.requests[before:]]
    whole = [each for each in whole_requests(data) if each.method == b"POST" and each.target.split(b"?")[0] in ROUTES]
    assert len(forwarded) <= len(whole)
    for sent, asked in zip(forwarded, whole, strict=False):
        assert json.loads(sent) == {**json.loads(asked.body), "model": "tiny"}
    if got:
        status = re.match(rb"(?:HTTP/1\.1 100 Continue\r\n\r\n)?HTTP/1\.1 (\d{3}) [A-Za-z -]*\r\n", got)
        assert status is not None, got
        assert int(status[1]) in STATUSES
        assert re.search(rb"\r\nx-request-id: [0-9a-f]{28}\r\n", got)
        assert ECHO.encode() not in got
        assert bench.key not in got
        if int(status[1]) == 200:
            assert whole_requests(data)
    bench.still_serves()


@pytest.mark.parametrize("good", GOOD[:5], ids=range(5))
def test_a_request_that_is_cut_at_any_byte_is_not_forwarded(bench: Bench, good: bytes) -> None:
    data = good.replace(KEY, bench.key)
    before = len(bench.upstream.requests)
    for size in range(len(data)):
        got = bench.exchange([data[:size]], half_close=True)
        assert got == b"" or not got.startswith(b"HTTP/1.1 200"), size
    bench.guard.quiet()
    assert len(bench.upstream.requests) == before
    bench.still_serves()


def test_nothing_is_left_behind(bench: Bench) -> None:
    bench.guard.quiet()
    live = bench.guard.worker.live
    assert (len(live), live.arriving, live._of) == (0, 0, {})


def test_what_the_edge_refuses_is_counted(bench: Bench) -> None:
    before = bench.guard.metric("guard_refusals_total", "bad_request")
    got = bench.exchange([b"POST / HTTP/1.1\r\n\r\n"], half_close=False)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert bench.guard.metric("guard_refusals_total", "bad_request") == before + 1
