"""One connection against a fake transport: whose bytes are whose, and when it may rest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from guard.upstream.connection import Connection
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class _FakeTransport(asyncio.Transport):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.written = b""
        self.unsent = 0
        self.log: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return "abort" in self.log

    def abort(self) -> None:
        self.log.append("abort")

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")


class _FakeOwner:
    def __init__(self) -> None:
        self.log: list[str] = []

    def joined(self, connection: Connection) -> None:
        self.log.append("joined")

    def rested(self, connection: Connection) -> None:
        self.log.append("rested")

    def lost(self, connection: Connection) -> None:
        self.log.append("lost")


class _Bench:
    """A connection with all its surroundings and a real socket."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        self.tcp = socket.create_connection(listener.getsockname())
        self.peer, _ = listener.accept()
        listener.close()
        self.now = 5.0
        self.owner = _FakeOwner()
        self.transport = _FakeTransport(self.tcp)
        self.connection = Connection(self.owner, self.loop, Limits(held_bytes=100), lambda: self.now)

    def close(self) -> None:
        self.loop.close()
        for sock in (self.tcp, self.peer):
            sock.close()


@pytest.fixture
def bench() -> Iterator[_Bench]:
    made = _Bench()
    made.connection.connection_made(made.transport)
    yield made
    made.close()


def test_a_clean_complete_answer_lets_it_rest(bench: _Bench) -> None:
    answer = bench.connection.send(b"request")
    assert bench.transport.written == b"request"
    bench.now = 6.0
    bench.connection.data_received(ANSWER)
    assert bench.owner.log == ["joined", "rested"]
    assert (bench.connection.rested_since, answer.last_read, answer.complete) == (6.0, 6.0, True)
    assert bench.transport.log == []


@pytest.mark.parametrize("after", [b"\r\n", b"x", ANSWER])
def test_anything_after_the_answer_in_the_same_segment_ends_it(bench: _Bench, after: bytes) -> None:
    answer = bench.connection.send(b"request")
    bench.connection.data_received(ANSWER + after)
    assert answer.complete
    assert bench.owner.log == ["joined"]
    assert bench.transport.log == ["abort"]


def test_anything_that_comes_while_it_rests_ends_it(bench: _Bench) -> None:
    bench.connection.send(b"request")
    bench.connection.data_received(ANSWER)
    bench.connection.data_received(b"\r\n")
    assert bench.transport.log == ["abort"]


def test_an_answer_complete_before_its_request_was_written_ends_it(bench: _Bench) -> None:
    answer = bench.connection.send(b"request")
    bench.transport.unsent = 1
    bench.connection.data_received(ANSWER)
    assert answer.complete
    assert bench.transport.log == ["abort"]


def test_a_malformed_answer_ends_it_and_fails_the_answer(bench: _Bench) -> None:
    answer = bench.connection.send(b"request")
    bench.connection.data_received(b"nonsense")
    assert bench.transport.log == ["abort"]
    with pytest.raises(UpstreamError) as caught:
        bench.loop.run_until_complete(answer.head())
    assert caught.value.kind is UpstreamFailure.BAD_HTTP


@pytest.mark.parametrize("reset", [False, True])
def test_the_end_of_the_socket_truncates_the_answer(bench: _Bench, reset: bool) -> None:
    answer = bench.connection.send(b"request")
    bench.connection.data_received(STREAM + b"3\r\nabc\r\n")
    if reset:
        bench.connection.connection_lost(ConnectionResetError())
    else:
        bench.connection.eof_received()
    assert bench.loop.run_until_complete(answer.read()) == b"abc"
    with pytest.raises(UpstreamError) as caught:
        bench.loop.run_until_complete(answer.read())
    assert caught.value.kind is UpstreamFailure.TRUNCATED


def test_a_request_on_a_connection_that_is_gone_is_refused(bench: _Bench) -> None:
    bench.connection.abort()
    with pytest.raises(UpstreamError) as caught:
        bench.connection.send(b"request")
    assert caught.value.kind is UpstreamFailure.CLOSED
    assert bench.transport.written == b""


def test_a_connection_aborted_before_it_is_made_is_closed_when_it_is() -> None:
    bench = _Bench()
    bench.connection.abort()
    bench.connection.connection_made(bench.transport)
    assert bench.transport.log == ["abort"]
    bench.close()


def test_silence_includes_what_the_kernel_holds_and_the_loop_has_not_seen(bench: _Bench) -> None:
    assert bench.connection.silent()
    bench.peer.sendall(b"x")
    assert not bench.connection.silent()


def test_silence_includes_an_end_that_the_loop_has_not_seen(bench: _Bench) -> None:
    bench.peer.close()
    assert not bench.connection.silent()


def test_reading_stops_above_the_bound_and_goes_on_once_all_is_taken(bench: _Bench) -> None:
    answer = bench.connection.send(b"request")
    bench.connection.data_received(STREAM)
    bench.connection.data_received(b"40\r\n" + b"x" * 0x40)
    assert bench.transport.log == ["pause"]
    bench.now = 9.0
    assert bench.loop.run_until_complete(answer.read()) == b"x" * 0x40
    assert bench.transport.log == ["pause", "resume"]
    assert answer.last_read == 9.0


def test_bytes_that_bring_no_body_never_stop_the_reading(bench: _Bench) -> None:
    bench.connection.send(b"request")
    bench.connection.data_received(STREAM)
    bench.connection.data_received(b"1;" + b"x" * 1000)
    assert bench.transport.log == []


def test_requests_leave_without_delay(bench: _Bench) -> None:
    assert bench.tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
