"""The way of an answer past ASGI's messages: the same bytes on the wire, in one write for each piece."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.guard.serve.edge import Edge, Message, exactly, rest
from tests.parts.guard_process import wait_until

JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream")
BIG = b"x" * 8_000_000


class Answering(Edge):
    """An edge whose application answers by the wire, as the target says."""

    def __init__(self) -> None:
        """Nothing has gone wrong yet."""
        super().__init__()
        self.problems: list[str] = []
        self.flowing: list[bool] = []
        self.waiting = 0
        self.taken = 0

    async def application(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer."""
        await receive()
        await getattr(self, scope["raw_path"].decode().strip("/"))(scope["extensions"]["guard.wire"])

    async def whole(self, wire: Any) -> None:
        """In one piece."""
        await wire.answer((200, (JSON, (b"content-length", b"2"))), b"{}", chunked=False, ends=True)

    async def last(self, wire: Any) -> None:
        """The last of its connection."""
        wire.last()
        await self.whole(wire)

    async def stream(self, wire: Any) -> None:
        """In three pieces, the second empty, the end with words."""
        await wire.answer((200, (SSE,)), b"one ", chunked=True, ends=False)
        await wire.answer(None, b"", chunked=True, ends=False)
        await wire.answer(None, b"two ", chunked=True, ends=False)
        await wire.answer(None, b"three", chunked=True, ends=True)

    async def pieces(self, wire: Any) -> None:
        """By pieces that wait for nothing, where there may be any; notes where."""
        self.flowing.append(wire.flowing)
        await wire.answer((200, (SSE,)), b"one ", chunked=True, ends=False)
        self.flowing.append(wire.flowing)
        if wire.flowing:
            wire.piece(b"")
            wire.piece(b"two ")
        await wire.answer(None, b"three", chunked=True, ends=True)
        self.flowing.append(wire.flowing)

    async def split(self, wire: Any) -> None:
        """With a header that holds a line's end, then properly."""
        try:
            await wire.answer((200, ((b"x", b"a\r\nb: c"),)), b"", chunked=True, ends=True)
        except RuntimeError as problem:
            self.problems.append(str(problem))
        await self.whole(wire)

    async def twice(self, wire: Any) -> None:
        """And once more, and with a second head, and without any."""
        for head in (None, (200, (JSON, (b"content-length", b"2")))):
            if head is not None:
                await self.whole(wire)
            try:
                await wire.answer(head, b"no", chunked=False, ends=True)
            except RuntimeError as problem:
                self.problems.append(str(problem))

    async def flood(self, wire: Any) -> None:
        """More than the caller takes, until it does or leaves."""
        await wire.answer((200, (SSE,)), BIG, chunked=True, ends=False)
        self.waiting += 1
        self.flowing.append(wire.flowing)
        await wire.answer(None, b"end", chunked=True, ends=True)
        self.taken += 1


def request(path: str, method: str = "POST") -> bytes:
    return f"{method} /{path} HTTP/1.1\r\nhost: guard\r\ncontent-length: 0\r\n\r\n".encode()


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def test_a_whole_answer_keeps_the_connection() -> None:
    with Answering() as edge, edge.connect() as sock:
        for _ in range(2):
            sock.sendall(request("whole"))
            assert exactly(sock, len(WHOLE)) == WHOLE


def test_the_last_answer_says_so_and_closes() -> None:
    with Answering() as edge:
        assert edge.say(request("last")) == WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


def test_a_stream_is_chunked_and_an_empty_piece_does_not_end_it() -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.sendall(request("stream"))
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        expected = head + b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"
        assert exactly(sock, len(expected)) == expected
        sock.sendall(request("whole"))
        assert exactly(sock, len(WHOLE)) == WHOLE


def test_pieces_flow_between_the_head_and_the_end_and_nowhere_else() -> None:
    with Answering() as edge, edge.connect() as sock:
        for _ in range(2):
            sock.sendall(request("pieces"))
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            expected = head + b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"
            assert exactly(sock, len(expected)) == expected
        sock.sendall(request("pieces", "HEAD"))
        wait_until(lambda: len(edge.flowing) == 9, "all three are answered")
        assert edge.flowing == [False, True, False] * 2 + [False] * 3


def test_an_answer_to_head_has_no_body() -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.sendall(request("whole", "HEAD"))
        assert exactly(sock, len(WHOLE) - 2) == WHOLE[:-2]
        sock.sendall(request("whole"))
        assert exactly(sock, len(WHOLE)) == WHOLE


def test_a_header_cannot_hold_the_end_of_a_line() -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.sendall(request("split"))
        assert exactly(sock, len(WHOLE)) == WHOLE
        assert edge.problems == ["a header holds the end of a line"]


def test_an_answer_has_one_head_and_nothing_after_its_end() -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.sendall(request("twice"))
        assert exactly(sock, len(WHOLE)) == WHOLE
        wait_until(lambda: len(edge.problems) == 2, "both are refused")
        sock.sendall(request("whole"))
        assert exactly(sock, len(WHOLE)) == WHOLE


def test_a_caller_who_takes_nothing_is_waited_for() -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        sock.sendall(request("flood").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        wait_until(lambda: edge.waiting == 1, "the first piece is under way")
        assert (edge.taken, edge.flowing) == (0, [False])
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.read() == BIG + b"end"
        assert edge.taken == 1


def test_to_a_caller_who_has_left_nothing_is_sent() -> None:
    with Answering() as edge:
        with edge.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
            sock.sendall(request("flood"))
            wait_until(lambda: edge.waiting == 1, "the first piece is under way")
        wait_until(lambda: edge.taken == 1, "the second finds nobody and does not wait for ever")


@pytest.mark.parametrize("path", ["whole", "stream"])
def test_a_request_that_is_not_wholly_read_ends_its_connection(path: str) -> None:
    with Answering() as edge, edge.connect() as sock:
        sock.sendall(request(path).replace(b"content-length: 0", b"content-length: 9") + b"half")
        assert rest(sock).startswith(b"HTTP/1.1 200 OK\r\n")
