"""The model behind the self-test alias: a little server within the worker, on a socket in the state folder.

It also says when it holds a question unanswered: a drill must stop what has reached the model, not only its door.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from typing import Final

from guard.drills.forms import FORMS, HOLD, Form

TICK_SECONDS: Final = 0.02
MAX_REQUEST: Final = 65_536
LONGEST_SECONDS: Final = 120.0
_ASKED: Final = b"GET /held/"
_NAMED: Final = re.compile(rf"{HOLD} ([0-9.]{{1,40}})")
_PATHS: Final = {form.path.encode(): form for form in FORMS.values()}
_STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Synthetic:
    """Answers each request by its route until its connection ends; nothing runs while nobody asks."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        self._more = asyncio.Condition()

    async def open(self, sock: socket.socket) -> None:
        """Answer on this listening socket."""
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_REQUEST)

    async def aclose(self) -> None:
        """End, and every answer with it."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._talking):
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._talking.add(task)
            task.add_done_callback(self._talking.discard)
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(_ASKED):
            name = head[len(_ASKED) :].partition(b" ")[0].decode("ascii", "replace")
            async with self._more:
                await self._more.wait_for(lambda: name in self._held)
            await _write({"held": name}, writer)
            return
        length = next((line[16:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")), b"0")
        asked = json.loads(await reader.readexactly(min(int(length), MAX_REQUEST)))
        form = _PATHS[head.split(b" ", 2)[1]]
        if asked.get("stream"):
            await _tick(form, reader, writer)
        elif held := _NAMED.search(_prompt(asked)):
            async with self._more:
                self._held.add(held[1])
                self._more.notify_all()
            try:
                await reader.read()  # whoever waits for an answer is to be cut while the model is silent
            finally:
                self._held.discard(held[1])
        else:
            await _write(form.whole, writer)
            await reader.read()


async def _write(answer: object, writer: asyncio.StreamWriter) -> None:
    body = json.dumps(answer).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def _tick(form: Form, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    gone = asyncio.ensure_future(reader.read())
    try:
        writer.write(_STREAM + (_chunk(form.begin) if form.begin else b""))
        while not gone.done():
            writer.write(_chunk(form.tick))
            await writer.drain()
            await asyncio.wait({gone}, timeout=TICK_SECONDS)
    finally:
        gone.cancel()


def _prompt(asked: dict[str, object]) -> str:
    return json.dumps([asked.get(key) for key in ("messages", "prompt", "input")])


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
