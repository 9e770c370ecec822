"""Rough figures of the hop: CPU microseconds of this process per request and per streamed read.

`PYTHONPATH=. python tests/guard/upstream/measure.py [requests]`; the server is another process. Wake-ups dominate at
low load, so compare only figures of the same concurrency. No test: nothing here asserts.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool

_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: x\r\ndate: today\r\ncontent-length: 1000\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = b"b1\r\n" + b"data: " + b"x" * 169 + b"\n\n" + b"\r\n"
_EVENTS = 2000
_REQUEST = (
    b"POST /%s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    + b"x" * 500
)


class _Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.left = 0

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST /json"):
            self.transport.write(_JSON + b"x" * 1000)
        elif data.startswith(b"POST /stream"):
            self.left = _EVENTS
            self.transport.write(_HEAD)
            self._event()

    def _event(self) -> None:
        self.left -= 1
        self.transport.write(_EVENT if self.left else b"0\r\n\r\n")
        if self.left:
            asyncio.get_running_loop().call_later(0.002, self._event)


def _serve(pipe: Pipe) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


async def _json(pool: Pool, count: int) -> int:
    reads = 0
    for _ in range(count):
        answer = await pool.request(_REQUEST % b"json")
        while await answer.read() is not None:
            reads += 1
    return reads


async def _stream(pool: Pool, _: int) -> int:
    reads = 0
    answer = await pool.request(_REQUEST % b"stream")
    while await answer.read() is not None:
        reads += 1
    return reads


async def _measure(port: int, count: int, rest: float) -> None:
    for name, work, tasks in (
        ("json", _json, 1),
        ("json", _json, 32),
        ("stream", _stream, 10),
        ("stream", _stream, 100),
    ):
        pool = Pool(
            Endpoint("127.0.0.1", port), max_idle=2000, rest_seconds=rest, connect_seconds=5, first_byte_seconds=30
        )
        await asyncio.gather(*(_json(pool, 20) for _ in range(tasks)))
        cpu, wall = time.process_time(), time.perf_counter()
        done = sum(await asyncio.gather(*(work(pool, count // tasks) for _ in range(tasks))))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        _say(
            f"{name:7}{tasks:4} at once, rest {rest}: {cpu / done * 1e6:6.1f} us CPU each, {done / wall:8.0f}/s,"
            f" {pool.dialled} dialled"
        )
        await pool.aclose()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    port = ours.recv()
    for factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        _say(factory.__module__)
        for rest in (0.0, 0.05):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(_measure(port, int(sys.argv[1]) if len(sys.argv) > 1 else 20000, rest))
    process.terminate()
    process.join()
