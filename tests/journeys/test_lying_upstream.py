"""An upstream that fails, lies or floods: each ends as an error, and nothing uninspected leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.upstream.send import ModelServer
from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    ScriptedUpstream,
    answer,
    chunk,
    completion,
    delta,
    event,
    says,
    sends,
    stream_body,
    text,
    ticks,
)

NEVER = Gate()
SECRET = b"upstream-words-nobody-inspected"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard with short deadlines in front of an upstream that can be told to lie.

    Connections of the model ``kept`` are used again at once; those of ``demo`` never are, because a server that closes
    without having said so fails whatever request meets its close.
    """

    guard: GuardThread
    upstream: ScriptedUpstream
    credentials: Credentials

    def ask(
        self, *pieces: bytes | Gate | float, close: bool = False, stream: bool = True, model: str = "demo"
    ) -> Whole:
        """Let the upstream send this for one request and return all that the caller gets."""
        self.upstream.script = sends(*pieces, close=close)
        return self.again(stream=stream, model=model)

    def again(self, *, stream: bool = True, model: str = "kept") -> Whole:
        """Ask without changing the script."""
        with RawCaller(self.guard.port, self.credentials.key) as caller:
            caller.ask(stream=stream, model=model)
            return caller.answer()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("lying")
    with ScriptedUpstream(says("hello")) as upstream:
        times = {"idle_seconds": 1.0, "total_seconds": 2.0, "first_byte_seconds": 1.0, "rest_seconds": 0.0}
        models = [
            ModelSpec("kept", upstream=upstream.url, times=times),
            ModelSpec(upstream=upstream.url, times={**times, "max_idle": 0}),
        ]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials)


LIES: dict[str, tuple[str, tuple[bytes | Gate | float, ...]]] = {
    "a stream that is JSON": ("upstream_failed", (answer(completion(SECRET.decode())),)),
    "a stream that is HTML": ("upstream_failed", (answer(SECRET, content_type="text/html"),)),
    "400": ("bad_request", (answer(SECRET, status="400 Bad Request"),)),
    "401": ("upstream_failed", (answer(SECRET, status="401 Unauthorized"),)),
    "404": ("upstream_failed", (answer(SECRET, status="404 Not Found"),)),
    "429": ("overloaded", (answer(SECRET, status="429 Too Many Requests"),)),
    "500": ("upstream_failed", (answer(SECRET, status="500 Internal Server Error"),)),
    "503": ("overloaded", (answer(SECRET, status="503 Service Unavailable"),)),
    "a redirect": ("upstream_failed", (answer(SECRET, status="302 Found", more="location: http://localhost/\r\n"),)),
    "204": ("upstream_failed", (b"HTTP/1.1 204 No Content\r\n\r\n",)),
    "not HTTP": ("upstream_failed", (b"RTSP/1.0 200 OK\r\n\r\n" + SECRET,)),
    "two lengths": ("upstream_failed", (SSE + b"content-length: 5\r\ncontent-length: 6\r\n\r\n" + SECRET,)),
    "compressed": ("upstream_failed", (SSE + b"content-encoding: gzip\r\ncontent-length: 31\r\n\r\n" + SECRET,)),
    "garbage": ("upstream_failed", (STREAM_HEAD, chunk(b"data: " + SECRET + b"\n\n"))),
    "not UTF-8": ("upstream_failed", (STREAM_HEAD, chunk(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'))),
    "a named event": ("upstream_failed", (STREAM_HEAD, chunk(b"event: other\n" + text(SECRET.decode())))),
    "an error object": ("upstream_failed", (STREAM_HEAD, chunk(event({"error": {"message": SECRET.decode()}})))),
    "text that is a number": ("upstream_failed", (STREAM_HEAD, chunk(delta({"content": 7})))),
    "a choice out of range": ("upstream_failed", (STREAM_HEAD, chunk(text("x", choice=99)))),
    "an endless event": ("upstream_failed", (STREAM_HEAD, chunk(b"data: " + b"x" * 1_100_000))),
    "an endless head": ("upstream_failed", (SSE + b"x: " + b"y" * 70_000,)),
    "nothing": ("upstream_failed", ()),
    "silence": ("upstream_timeout", (NEVER,)),
}

MIDDLES = ((STREAM_HEAD,), (NEVER,), ())


@pytest.mark.parametrize("name", LIES)
def test_a_lie_before_any_text_is_a_plain_error_that_repeats_nothing(bench: Bench, name: str) -> None:
    code, pieces = LIES[name]
    got = bench.ask(*pieces, close=True)
    assert (got.code, got.ended) == (code, True)
    assert got.status in {400, 502, 503, 504}
    assert SECRET not in got.body
    assert MARKER.encode() not in got.body


@pytest.mark.parametrize("name", [name for name, (_, pieces) in LIES.items() if pieces[:1] in MIDDLES])
def test_a_lie_in_the_middle_is_an_error_event_without_a_terminator_and_the_connection_closes(
    bench: Bench, name: str
) -> None:
    code, pieces = LIES[name]
    gate = Gate()
    rest = pieces[1:] if pieces[:1] == (STREAM_HEAD,) else pieces
    bench.upstream.script = sends(STREAM_HEAD, chunk(text("so far ")), gate, *rest, close=True)
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask()
        caller.until(b"so far ")
        gate.open()
        got = caller.answer()
    assert (got.status, got.code, got.ended, got.closed) == (200, code, True, True)
    assert DONE not in got.body
    assert got.texts == "so far "
    assert SECRET not in got.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"index":0,"message":null}]}',
        json.dumps({"error": {"message": SECRET.decode()}}).encode(),
        SECRET,
        completion("well")[:-1],
    ],
)
def test_a_whole_answer_that_is_none_is_an_error(bench: Bench, body: bytes) -> None:
    got = bench.ask(answer(body), stream=False)
    assert (got.status, got.code) == (502, "upstream_failed")
    assert SECRET not in got.body


def test_a_whole_answer_that_is_cut_short_is_an_error(bench: Bench) -> None:
    got = bench.ask(answer(completion("well"))[:-1], close=True, stream=False)
    assert (got.status, got.code) == (502, "upstream_failed")


def test_a_whole_answer_of_another_length_is_an_error_and_its_connection_is_not_used_again(bench: Bench) -> None:
    body = completion("well")
    longer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (len(body) - 1)
    got = bench.ask(longer + body, stream=False, model="kept")
    assert (got.status, got.code) == (502, "upstream_failed")
    before = bench.upstream.accepted
    bench.upstream.script = says("fresh")
    assert bench.again().texts == "fresh"
    assert bench.upstream.accepted == before + 1


def test_a_second_answer_after_the_first_is_given_to_nobody(bench: Bench) -> None:
    one = STREAM_HEAD + chunk(stream_body("first")) + LAST_CHUNK
    got = bench.ask(one + one.replace(b"first", b"later"), model="kept")
    assert got.texts == "first"
    bench.upstream.script = says("fresh")
    assert [bench.again().texts for _ in range(3)] == ["fresh"] * 3


def test_a_late_answer_on_a_kept_connection_is_given_to_nobody(bench: Bench) -> None:
    late = Gate()
    one = STREAM_HEAD + chunk(stream_body("first")) + LAST_CHUNK
    bench.upstream.script = sends(one, late, one.replace(b"first", b"later"))
    assert bench.again().texts == "first"
    bench.guard.quiet()
    bench.upstream.script = says("fresh")
    before = bench.upstream.open
    late.open()
    bench.upstream.wait_until(lambda: bench.upstream.open == before - 1)
    assert bench.again().texts == "fresh"


def test_an_upstream_that_never_ends_is_ended_by_the_deadline(bench: Bench) -> None:
    bench.upstream.script = ticks(seconds=0.02)
    got = bench.again()
    assert (got.status, got.code, got.ended, got.closed) == (200, "deadline", True, True)
    assert got.texts.startswith("tick tick ")
    assert DONE not in got.body
    bench.upstream.wait_until(lambda: bench.upstream.busy == 0)


def test_an_upstream_that_falls_silent_is_ended_by_the_idle_deadline(bench: Bench) -> None:
    got = bench.ask(STREAM_HEAD, chunk(text("tick ")), NEVER)
    assert (got.status, got.code, got.texts, got.closed) == (200, "upstream_timeout", "tick ", True)


def test_a_body_without_framing_has_no_proven_end(bench: Bench) -> None:
    got = bench.ask(SSE + b"\r\n" + text("tick "), close=True)
    assert (got.status, got.code, got.texts, got.closed) == (200, "upstream_failed", "tick ", True)


def test_an_upstream_that_cannot_be_reached_is_a_plain_error(tmp_path: Path) -> None:
    credentials = write_configuration(tmp_path, models=[ModelSpec(upstream="http://127.0.0.1:1")])
    with GuardThread(tmp_path) as guard, RawCaller(guard.port, credentials.key) as caller:
        caller.ask()
        assert (caller.answer()).code == "upstream_failed"


def test_the_connection_is_used_again_when_its_end_comes_a_moment_after_the_terminator(bench: Bench) -> None:
    server = bench.guard.worker.models._serving["kept"].upstream
    assert isinstance(server, ModelServer)
    pool = server._pool
    gate = Gate()
    bench.upstream.script = sends(STREAM_HEAD, chunk(stream_body("first")), gate, LAST_CHUNK)
    got = bench.again()
    assert (got.texts, got.ended) == ("first", True)
    used = bench.upstream.requests[-1].connection
    idle = bench.guard.call(lambda: pool.idle)
    gate.open()
    bench.guard.wait_until(lambda: bench.guard.call(lambda: pool.idle) == idle + 1, "the connection rested")
    before = bench.upstream.accepted
    for _ in range(idle + 1):
        assert bench.again().texts == "first"
        bench.guard.wait_until(lambda: bench.guard.call(lambda: pool.idle) == idle + 1, "the connection rested")
    assert bench.upstream.accepted == before
    assert used in {request.connection for request in bench.upstream.requests[-idle - 1 :]}


def test_a_body_that_does_not_end_after_its_terminator_costs_its_connection_and_nothing_else(bench: Bench) -> None:
    got = bench.ask(STREAM_HEAD, chunk(stream_body("first")), NEVER, model="kept")
    assert (got.texts, got.ended) == ("first", True)
    bench.upstream.wait_until(lambda: bench.upstream.busy == 0)
    bench.upstream.script = says("fresh")
    assert bench.again().texts == "fresh"
