"""How long a stop takes: from the order to the last byte of every stream, and what the check costs at every send.

Real guards of two workers with 100 streams, half of which have fallen silent: ordered in the host's own folder; in a
real PostgreSQL; and there again while the guard's connection goes nowhere and its notification is lost with it. Beside
them are callers who take next to nothing of a fast answer: what they can still read afterwards is counted. The callers,
the model, the guard and the database share the machine, so the figures are pessimistic.
"""

import asyncio
import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from guard.clock import SystemClock
from guard.reply import STOP_SECONDS
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.lease import LONGEST, Lease, LeasedSwitches, LeaseWord
from guard.state.orders import ENTROPY_BYTES, Source, StopOrder, encode, issue_resume, issue_stop
from guard.state.places import Patience
from guard.state.postgres_engine import PostgresEngine, Server
from guard.state.scope import Scope
from guard.state.switches import FileSwitches
from safeguards.exchange import Caller, Exchange
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import ModelSpec
from tests.parts.fleets import Fleet, Replica
from tests.parts.guard_process import wait_until
from tests.parts.postgres import Postgres
from tests.parts.tcp_proxy import TcpProxy
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, text

STREAMS: Final = 100
SLOW: Final = 4
SLOW_BUFFER: Final = 4096
WORKERS: Final = 2
CHECKS: Final = 200_000
PATIENCE: Final = 30.0

Figure = tuple[str, list[float], str]
Put = Callable[[StopOrder], Awaitable[None]]


async def _script(peer: Peer, request: Received) -> None:
    await peer.send(STREAM_HEAD, chunk(text("one ")))
    with contextlib.suppress(ConnectionError):
        while request.json["messages"][-1]["content"] == "flood":
            await peer.send(chunk(text("word " * 400)))
    while request.json["messages"][-1]["content"] == "count":
        await peer.send(chunk(text("tick ")))
        await asyncio.sleep(0.1)
    with contextlib.suppress(ConnectionError):
        await peer.reader.read(1)


def measure(rounds: int) -> list[Figure]:
    """Take all of it, each stop so many times."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ScriptedUpstream(_script) as upstream,
        ExitStack() as up,
    ):
        path = Path(folder)
        models = [ModelSpec("demo", upstream=upstream.url)]
        found = [checks(path / "checks", asl) for asl in (2, 3)]
        with Fleet(path / "alone", models, [""], WORKERS, {"folder": path / "shared"}) as fleet:
            (one,) = fleet.replicas
            found += _stops("order in the host's folder to last byte", one, _here(one), 100.0, rounds)
        database = up.enter_context(Postgres(durable=True))
        proxy = up.enter_context(TcpProxy(database.port))
        with Fleet(path / "fleet", models, [database.dsn(port=proxy.port)], WORKERS) as fleet:
            (one,) = fleet.replicas
            elsewhere = _elsewhere(database)
            found += _stops("order in PostgreSQL to last byte", one, elsewhere, 250.0, rounds)

            async def unheard(order: StopOrder) -> None:
                proxy.swallow()
                await elsewhere(order)

            found += _stops("… hint lost, connection going nowhere", one, unheard, 1000.0, rounds)
        return found


def _here(replica: Replica) -> Put:
    directory = OrderDirectory(replica.state)

    async def put(order: StopOrder) -> None:
        directory.put(order)

    return put


def _elsewhere(database: Postgres) -> Put:
    async def put(order: StopOrder) -> None:
        engine = PostgresEngine(Server.parse(database.dsn()), None, Patience(), "bench")
        await engine.put(order.id, encode(order))
        await engine.aclose()

    return put


def _stops(what: str, replica: Replica, put: Put, goal: float, rounds: int) -> list[Figure]:
    """Stop so many times; every stream's time counts."""
    directory = OrderDirectory(replica.state)
    every: list[float] = []
    last: list[float] = []
    late: list[float] = []
    for _ in range(rounds):
        wait_until(lambda: not replica.fleet["problem"], "the fleet is whole")
        order = issue_stop(Scope.parse("key:app"), reason="a measurement", who="bench", source=Source.CLI,
                           now=time.time(), entropy=os.urandom(ENTROPY_BYTES))  # fmt: skip
        times, read = asyncio.run(_one(replica, put, order))
        times.sort()
        late += read
        every += times
        last.append(times[-1])
        lifting = issue_resume([order.id], reason="measured", who="bench", source=Source.CLI, now=time.time(),
                               entropy=os.urandom(ENTROPY_BYTES))  # fmt: skip
        wait_until(lambda: directory.snapshot(of_a_known_host).stops != frozenset(), "the order is here")
        directory.put(Issuer.open(replica.state).signed(lifting))
        wait_until(partial(_serves, replica), "it is served again")
    p99 = sorted(every)[int(len(every) * 0.99) - 1]
    remark = f"{WORKERS} workers, {STREAMS} streams; p99 {p99:.0f} ms, goal under {goal:.0f}"
    slow = f"of each of {SLOW} callers with {SLOW_BUFFER} bytes of buffer; their own hosts have these already"
    return [
        (f"{what}, ms", every, remark),
        ("… the last of them, ms", last, "of each stop"),
        ("… what a slow caller still reads, KB", late, slow),
    ]


def _serves(replica: Replica) -> bool:
    return not replica.status().get("stops", ["unknown"])


async def _one(replica: Replica, put: Put, order: StopOrder) -> tuple[list[float], list[float]]:
    """Open the streams, give the order; milliseconds until each stream's connection has ended, and KB read late."""
    slow = [await asyncio.to_thread(_slow, replica) for _ in range(SLOW)]
    streams = [await _stream(replica, "count" if index % 2 else "silence") for index in range(STREAMS)]
    began = time.perf_counter()
    ends = [asyncio.ensure_future(_ended(reader)) for reader, _ in streams]
    await put(order)
    found = [(end - began) * 1000 for end in await asyncio.wait_for(asyncio.gather(*ends), PATIENCE)]
    for _, writer in streams:
        writer.close()
    await asyncio.sleep(2 * STOP_SECONDS)
    return found, [await asyncio.to_thread(_rest, each) for each in slow]


def _slow(replica: Replica) -> socket.socket:
    """Begin a fast answer and take no more of it than its beginning."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
    sock.settimeout(PATIENCE)
    sock.connect(replica.guard.data)
    sock.sendall(_request(replica, "flood"))
    sock.recv(1)
    return sock


def _rest(sock: socket.socket) -> float:
    """Read what there is to the end or the reset, in KB."""
    size = 0
    with sock, contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            size += len(piece)
    return size / 1000


async def _stream(replica: Replica, prompt: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = replica.guard.data
    reader, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    writer.write(_request(replica, prompt))
    await asyncio.wait_for(reader.readuntil(b"one "), PATIENCE)
    return reader, writer


def _request(replica: Replica, prompt: str) -> bytes:
    body = json.dumps({"model": "demo", "stream": True, "messages": [{"role": "user", "content": prompt}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {replica.credentials.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _ended(reader: asyncio.StreamReader) -> float:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65_536):
            pass
    return time.perf_counter()


def checks(state: Path, asl: int) -> Figure:
    """What the question before every send costs, with a lease beside the orders."""
    directory, clock = OrderDirectory(state), SystemClock()
    word = LeaseWord(state)
    switches = LeasedSwitches(FileSwitches(directory, clock, of_a_known_host), Lease(state, LONGEST, clock))
    caller = Caller("app", "bench", "general")
    exchange = Exchange(id="x", caller=caller, model="demo", asl=asl, surface="public", dialect="openai-chat",
                        operation="chat", streamed=True, passages=(), policy="p", received=0.0)  # fmt: skip
    found = []
    for _ in range(5):
        word.renew(clock.steady())
        began = time.perf_counter()
        for _ in range(CHECKS):
            switches.covering(exchange)
        found.append((time.perf_counter() - began) / CHECKS * 1_000_000)
    remark = "orders alone" if asl not in LONGEST else "orders, and the lease by the clock"
    return f"the check before a send at ASL-{asl}, µs", found, f"{remark}; goal under 0.2"
