"""The HTTP edge alone on a loopback port: its application notes what it was given and answers ``ok``."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Self

import uvloop

from guard.serve.http import GuardProtocol, protocol_class
from guard.serve.server import listen, server

PATIENCE: Final = 30.0
GOOD: Final = b"POST /good HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}"

Message = MutableMapping[str, Any]


class Edge:
    """Serves inside a ``with`` block; ``seen`` holds target, headers and body of each request that came whole."""

    def __init__(
        self, *, header_bytes: int = 4096, header_seconds: float = 10.0, connections: int = 64, keep_alive: int = 75
    ) -> None:
        """Use these bounds."""
        self.seen: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.gone = 0
        self.open = threading.Event()
        self.open.set()
        self.port = 0
        self._http: type[GuardProtocol] = protocol_class(header_bytes, header_seconds, connections)
        self._keep_alive = keep_alive
        self._loop = uvloop.new_event_loop()
        self._end = asyncio.Event()
        self._up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        self._up.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.open.set()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many connections the server knows."""
        return len(self._server.server_state.connections)

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def say(self, *pieces: bytes) -> bytes:
        """Send these on a new connection and return all that comes until the server closes it."""
        with self.connect() as sock:
            for piece in pieces:
                with suppress(BrokenPipeError, ConnectionResetError):
                    sock.sendall(piece)
            return rest(sock)

    async def application(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer every request that comes whole; `/refused` as the journey refuses, without its body."""
        connection = scope["extensions"]["guard.connection"]
        if scope["raw_path"] == b"/refused":
            connection.last()
        else:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.gone += 1
                    connection.abort()
                    return
                body, more = body + message["body"], message["more_body"]
            self.seen.append((scope["raw_path"], list(scope["headers"]), body))
            left = asyncio.Event()
            connection.when_gone(left.set)
            while not self.open.is_set() and not left.is_set():  # noqa: ASYNC110 - one of them is another thread's
                await asyncio.sleep(0.002)
            connection.when_gone(None)
            if left.is_set():
                self.gone += 1
                return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        sock = listen("127.0.0.1", 0)
        self.port = sock.getsockname()[1]
        self._server = server(self.application, self._http, keep_alive=self._keep_alive)
        serving = asyncio.ensure_future(self._server.serve([sock]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.001)
        self._up.set_result(None)
        await self._end.wait()
        self._server.should_exit = self._server.force_exit = True
        await serving


def rest(sock: socket.socket) -> bytes:
    """Read to the end; a reset fails the test, since it may take an answer with it."""
    got = b""
    while piece := sock.recv(65_536):
        got += piece
    return got
