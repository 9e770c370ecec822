"""A raw HTTP server on loopback whose every byte a test writes, and both event loops to meet it on."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Self

import uvloop

from guard.upstream.endpoint import Endpoint
from guard.upstream.http1 import Limits
from guard.upstream.pool import Pool
from guard.upstream.tls import Tls

LOOPS: Final[tuple[Callable[[], asyncio.AbstractEventLoop], ...]] = (asyncio.new_event_loop, uvloop.new_event_loop)
PATIENCE: Final = 30.0

REQUEST: Final = b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def run(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on a loop of this kind, with its patience."""
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main, PATIENCE))


def asking(text: str) -> bytes:
    """A request that carries this text."""
    return b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text.encode())


def answering(body: bytes, *headers: bytes) -> bytes:
    """A whole answer with this body."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (lines, len(body), body)


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about; the run's patience bounds it."""
    while not true():  # noqa: ASYNC110 - what is waited for lies in the code under test, which sets no events
        await asyncio.sleep(0.001)


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve this socket."""
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes | None:
        """The body of the next request, None once the client is gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return await self.reader.readexactly(int(length[1]) if length else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def send(self, data: bytes) -> None:
        """Write and flush; a client that left is no error here."""
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            return


Script = Callable[[Peer, bytes], Awaitable[None]]


class ScriptedServer:
    """Answers each request by a script; knows how many connections it was given, and how many are open."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, unix: str = "") -> None:
        """Serve with this script; over TLS with this context, or on a Unix socket."""
        self._script = script
        self._tls = tls
        self._unix = unix
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.open = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        if self._unix:
            self._server: asyncio.Server = await asyncio.start_unix_server(self._serve, self._unix, limit=1 << 22)
            return self
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and end what is open."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def pool(self, *, tls: Tls | None = None, limits: Limits | None = None, **changes: Any) -> Pool:
        """A pool towards this server, by name, that does not wait before it uses a connection again."""
        settings = {"max_idle": 64, "rest_seconds": 0.0, "connect_seconds": 20.0, "first_byte_seconds": 20.0}
        endpoint = Endpoint("localhost", self.port, tls, self._unix)
        return Pool(endpoint, limits=limits or Limits(), **(settings | changes))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        peer = Peer(reader, writer)
        try:
            while (body := await peer.request()) is not None:
                await self._script(peer, body)
        except asyncio.CancelledError:
            return  # the test is over
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


async def echo(peer: Peer, body: bytes) -> None:
    """Answer with the body of the request."""
    await peer.send(answering(body))


async def whole(pool: Pool, request: bytes = REQUEST) -> bytes:
    """Ask and read to the proven end."""
    answer = await pool.request(request)
    pieces = []
    while (piece := await answer.read()) is not None:
        pieces.append(piece)
    return b"".join(pieces)
