"""A scripted inference server on a raw socket: every byte and every pause of its answers is the test's.

It runs in a thread of its own, so that it serves tests of any kind: synchronous clients, other loops, real processes.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

PATIENCE: Final = 30.0
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: its head, its body, which connection brought it, and when (monotonic seconds)."""

    head: bytes
    body: bytes
    connection: int
    at: float

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.json.get("stream"))

    @property
    def identity(self) -> str:
        """The guard's id of the exchange."""
        found = re.search(rb"x-request-id: ([^\r]+)", self.head)
        return found[1].decode() if found else ""


class Gate:
    """Something a script waits for and any thread opens."""

    def __init__(self) -> None:
        """Begin shut."""
        self._event = threading.Event()

    def open(self) -> None:
        """Let everyone pass, now and later."""
        self._event.set()

    async def passed(self, peer: Peer) -> None:
        """Wait in a script; raises ConnectionError when the client leaves meanwhile."""
        while not self._event.is_set():
            if peer.left:
                raise ConnectionError
            await asyncio.sleep(0.002)


class Peer:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve this socket."""
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Write and flush piece by piece; raises ConnectionError when the client is gone."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    @property
    def left(self) -> bool:
        """Whether the client has closed its side."""
        return self.reader.at_eof() or self.writer.is_closing()


Script = Callable[[Peer, Received], Awaitable[None]]


def chunk(*data: bytes) -> bytes:
    """Each of these as a chunk of a body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in data)


def event(content: object) -> bytes:
    """One event that carries this as JSON."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


def delta(delta: dict[str, Any], *, choice: int = 0, finish: str | None = None) -> bytes:
    """One event of a chat completion's stream."""
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    return event({"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices})


def text(content: str, *, choice: int = 0) -> bytes:
    """One event with text."""
    return delta({"content": content}, choice=choice)


def stream_body(*contents: str) -> bytes:
    """A whole stream's events, to its terminator."""
    return b"".join(map(text, contents)) + delta({}, finish="stop") + DONE


def answer(body: bytes, *, status: str = "200 OK", content_type: str = "application/json", more: str = "") -> bytes:
    """A whole answer with its length; ``more`` holds further header lines, each with its line end."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def completion(*contents: str, message: dict[str, Any] | None = None) -> bytes:
    """The body of a whole chat completion with one choice for each content."""
    messages = [message] if message is not None else [{"role": "assistant", "content": each} for each in contents]
    choices = [{"index": n, "message": each, "finish_reason": "stop"} for n, each in enumerate(messages)]
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return json.dumps({"id": "up", "object": "chat.completion", "choices": choices, "usage": usage}).encode()


def says(*contents: str) -> Script:
    """Answer every request with this text, streamed in these pieces or whole, and keep the connection."""

    async def script(peer: Peer, request: Received) -> None:
        if request.streamed:
            pieces = [chunk(text(each)) for each in contents]
            await peer.send(STREAM_HEAD, *pieces, chunk(delta({}, finish="stop"), DONE) + LAST_CHUNK)
        else:
            await peer.send(answer(completion("".join(contents))))

    return script


def sends(*pieces: bytes | Gate | float, close: bool = False) -> Script:
    """Send these bytes, wait at the gates, sleep the numbers (seconds); then ``close`` the connection or keep it."""

    async def script(peer: Peer, _: Received) -> None:
        for piece in pieces:
            if isinstance(piece, Gate):
                await piece.passed(peer)
            elif isinstance(piece, bytes):
                await peer.send(piece)
            else:
                await asyncio.sleep(piece)
        if close:
            peer.writer.close()

    return script


def ticks(piece: str = "tick ", *, seconds: float = 0.01) -> Script:
    """Stream this text for ever, one event every so many seconds."""

    async def script(peer: Peer, _: Received) -> None:
        await peer.send(STREAM_HEAD)
        while True:
            await peer.send(chunk(text(piece)))
            await asyncio.sleep(seconds)

    return script


class ScriptedUpstream:
    """Serves on a free loopback port inside a ``with`` block; ``script`` may be exchanged between requests.

    ``requests`` holds all that came, ``accepted`` counts connections, ``open`` those that still are, ``busy`` the
    requests being answered.
    """

    def __init__(self, script: Script) -> None:
        """Answer by this script."""
        self.script = script
        self.requests: list[Received] = []
        self.accepted = 0
        self.open = 0
        self.busy = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted upstream", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._call(self._begin()).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that is open."""
        self._call(self._end()).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def wait_for_requests(self, count: int) -> list[Received]:
        """Wait until so many requests have come in all; TimeoutError after the patience."""
        self.wait_until(lambda: len(self.requests) >= count)
        return self.requests[:count]

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for something that this server will see; TimeoutError after the patience."""
        until = monotonic() + PATIENCE
        pause = threading.Event()
        while not true():
            if monotonic() > until:
                raise TimeoutError("the upstream did not see what was waited for")
            pause.wait(0.002)

    def _call(self, work: Any) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        tasks: Sequence[asyncio.Task[None]] = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        number = self.accepted
        peer = Peer(reader, writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                request = Received(head, body, number, monotonic())
                self.requests.append(request)
                self.busy += 1
                try:
                    await self.script(peer, request)
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # the client has left, or the test is over
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
