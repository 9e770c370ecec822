"""A whole guard before servers behind TLS and on Unix sockets: it serves, refuses, lets go, and repeats no word."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.parts.certificates import Authority, Issued
from tests.parts.configuration import ModelSpec, write_configuration
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
    event,
    says,
    sends,
    text,
    ticks,
)

SECRET = b"upstream-words-nobody-inspected"


class SecuredUpstream(ScriptedUpstream):
    """A scripted server behind TLS or on a Unix socket."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, unix: str = "") -> None:
        """Say hello."""
        super().__init__(says("hello"))
        self._tls = tls
        self._unix = unix

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"unix:{self._unix}" if self._unix else f"https://127.0.0.1:{self.port}"

    async def _begin(self) -> None:
        if self._unix:
            self._server = await asyncio.start_unix_server(self._serve, self._unix, limit=1 << 24)
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard and its upstream."""

    guard: GuardThread
    upstream: SecuredUpstream
    key: str

    def ask(self, *, stream: bool = True) -> Whole:
        """Ask once."""
        with RawCaller(self.guard.port, self.key) as caller:
            caller.ask(stream=stream)
            return caller.answer()


@contextmanager
def serving(directory: Path, upstream: SecuredUpstream, **settings: Any) -> Iterator[Bench]:
    """Serve with these keys in the model's section upstream; relative paths lead to the configuration's folder."""
    with upstream:
        times = {"first_byte_seconds": 5, "rest_seconds": 0.0}
        credentials = write_configuration(directory, models=[ModelSpec(upstream=upstream.url, times=times)])
        path = directory / "models" / "demo.yaml"
        content = json.loads(path.read_text())
        content["upstream"] |= settings
        path.write_text(json.dumps(content))
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("roads") / "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("127.0.0.1")


ROADS = ("tls", "unix")


@pytest.fixture(scope="module", params=ROADS)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: Authority, issued: Issued
) -> Iterator[Bench]:
    """Mutual TLS with a pinned authority, or a Unix socket with a base path."""
    directory = tmp_path_factory.mktemp("road")
    if request.param == "unix":
        with serving(directory, SecuredUpstream(unix=str(directory / "s")), base_path="/below/v1") as made:
            yield made
        return
    own = authority.issue(common_name="guard")
    tls = {
        "ca": str(authority.pem),
        "client_certificate": str(own.certificate),
        "client_key": {"file": str(own.key)},
    }
    with serving(directory, SecuredUpstream(tls=issued.server(clients=authority.pem)), tls=tls) as made:
        yield made


def test_it_serves_and_uses_its_connection_again(bench: Bench) -> None:
    bench.upstream.script = says("hello ", "there")
    before = bench.upstream.accepted
    for stream in (True, False, True):
        got = bench.ask(stream=stream)
        assert got.status == 200
        assert b"hello" in got.body
    assert bench.upstream.accepted - before <= 1
    head = bench.upstream.requests[-1].head
    unix = bench.upstream.url.startswith("unix:")
    assert head.startswith(b"POST /below/v1/chat/completions " if unix else b"POST /v1/chat/completions ")
    assert f"\r\nhost: {'localhost' if unix else f'127.0.0.1:{bench.upstream.port}'}\r\n".encode() in head


@pytest.mark.parametrize(
    "pieces",
    [
        (answer(SECRET, status="500 Internal Server Error"),),
        (answer(SECRET, status="401 Unauthorized"),),
        (answer(SECRET, content_type="text/html"),),
        (answer(SECRET, content_type="text/event-stream", more="content-encoding: gzip\r\n"),),
        (STREAM_HEAD, chunk(event({"error": {"message": SECRET.decode()}}))),
        (SECRET,),
        (),
    ],
)
def test_what_is_no_answer_is_an_error_that_repeats_nothing(bench: Bench, pieces: tuple[bytes, ...]) -> None:
    bench.upstream.script = sends(*pieces, close=True)
    got = bench.ask()
    assert (got.status, got.code) == (502, "upstream_failed")
    assert SECRET not in got.body
    bench.upstream.wait_until(lambda: bench.upstream.open == 0)


def test_an_answer_that_only_the_end_of_the_connection_ends_is_cut_short(bench: Bench) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n"
    bench.upstream.script = sends(head % b"application/json" + completion("unframed"), close=True)
    got = bench.ask(stream=False)
    assert (got.status, got.code) == (502, "upstream_failed")
    assert b"unframed" not in got.body
    bench.upstream.script = sends(head % b"text/event-stream" + text("unframed"), close=True)
    got = bench.ask()
    assert got.code == "upstream_failed"
    assert DONE not in got.body


def test_an_answer_cut_in_the_middle_is_an_error_in_the_stream(bench: Bench) -> None:
    gate = Gate()
    bench.upstream.script = sends(STREAM_HEAD, chunk(text("so far ")), gate, close=True)
    with RawCaller(bench.guard.port, bench.key) as caller:
        caller.ask()
        caller.until(b"so far ")
        gate.open()
        got = caller.answer()
    assert (got.status, got.code, got.closed) == (200, "upstream_failed", True)
    assert DONE not in got.body


@pytest.mark.parametrize("phase", ["before the head", "in the body"])
def test_a_caller_who_leaves_is_seen_by_the_server(bench: Bench, phase: str) -> None:
    bench.upstream.script = sends(Gate()) if phase == "before the head" else ticks()
    with RawCaller(bench.guard.port, bench.key) as caller:
        caller.ask()
        if phase == "in the body":
            caller.until(b"tick ")
        bench.upstream.wait_until(lambda: bench.upstream.busy == 1)
    bench.upstream.wait_until(lambda: bench.upstream.open == 0)


@pytest.mark.parametrize("flaw", ["another name", "another authority", "expired", "no client certificate"])
def test_a_server_that_does_not_prove_who_it_is_gets_no_word(
    tmp_path: Path, authority: Authority, issued: Issued, flaw: str
) -> None:
    server = {
        "another name": lambda: authority.issue("127.0.0.2").server(),
        "another authority": lambda: Authority(tmp_path / "other").issue("127.0.0.1").server(),
        "expired": lambda: authority.issue("127.0.0.1", expired=True).server(),
        "no client certificate": lambda: issued.server(clients=authority.pem, version=ssl.TLSVersion.TLSv1_2),
    }[flaw]()
    with serving(tmp_path / "guard", SecuredUpstream(tls=server), tls={"ca": str(authority.pem)}) as bench:
        got = bench.ask()
        assert (got.status, got.code) == (502, "upstream_failed")
        for word in (b"certificate", b"127.0.0", b"tls", b"TLS"):
            assert word not in got.body
        assert bench.upstream.requests == []


def test_a_name_of_its_own_can_be_what_the_certificate_must_have(tmp_path: Path, authority: Authority) -> None:
    upstream = SecuredUpstream(tls=authority.issue("models.internal").server())
    tls = {"ca": str(authority.pem), "server_name": "models.internal"}
    with serving(tmp_path, upstream, tls=tls) as bench:
        assert bench.ask().status == 200
        assert f"\r\nhost: 127.0.0.1:{upstream.port}\r\n".encode() in upstream.requests[-1].head


def test_an_answer_of_another_model_than_expected_is_withheld(
    tmp_path: Path, issued: Issued, authority: Authority
) -> None:
    upstream = SecuredUpstream(tls=issued.server())
    with serving(tmp_path, upstream, tls={"ca": str(authority.pem)}, expect_model="up-1.2") as bench:

        def say(model: str) -> bytes:
            choices = [{"index": 0, "delta": {"content": f"from {model} "}, "finish_reason": None}]
            return event({"model": model, "choices": choices})

        upstream.script = sends(STREAM_HEAD, chunk(say("up-1.2"), say("up-1.2"), DONE), LAST_CHUNK)
        assert bench.ask().texts == "from up-1.2 from up-1.2 "
        upstream.script = sends(STREAM_HEAD, chunk(say("up-1.3"), DONE), LAST_CHUNK)
        got = bench.ask()
        assert (got.status, got.code) == (502, "upstream_failed")
        assert b"up-1" not in got.body
        upstream.script = sends(STREAM_HEAD, chunk(say("up-1.2")), chunk(say("up-1.3"), DONE), LAST_CHUNK)
        assert b"from up-1.3" not in bench.ask().body
