"""One worker of the guard in a thread of this process: its real edge, journey and loop, without a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import uvicorn
import uvloop

from guard.app import SYSTEM_CLOCK, Worker, build_worker, edge_refusals
from guard.audit import records
from guard.audit.contents import Contents
from guard.audit.disk import Disk
from guard.audit.keys import KeyFolder
from guard.audit.read import Entry, Found, find, iter_records, search
from guard.audit.wrapping import Kek
from guard.policy.content import read_content_key
from guard.policy.load import load
from guard.serve.control import Drain, hear_worker, send
from guard.serve.http import GuardProtocol
from guard.serve.worker import WorkerLoop
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import ENTROPY_BYTES, Source, StopOrder, issue_resume, issue_stop
from guard.state.scope import Scope
from guard.telemetry.logs import JsonLog
from safeguards.ports import Clock

PATIENCE: Final = 30.0
T = TypeVar("T")


class _Server(uvicorn.Server):
    """Signals are pytest's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class GuardThread:
    """Serves the configuration of a directory inside a ``with`` block, each surface on a free port of loopback.

    ``clock`` and ``disk`` take the place of the real ones; ``prepare`` may change the worker before it serves;
    ``protocol`` is the edge with other bounds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock = SYSTEM_CLOCK,
        disk: Disk | None = None,
        prepare: Callable[[Worker], None] | None = None,
        protocol: type[GuardProtocol] = GuardProtocol,
    ) -> None:
        """Start nothing yet."""
        self.directory = directory
        self.ports: dict[str, int] = {}
        self.worker: Worker
        self._clock = clock
        self._disk = disk
        self._prepare = prepare
        self._protocol = protocol
        self._loop = uvloop.new_event_loop()
        self._up: Future[None] = Future()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._handlers: list[logging.Handler] = []

    @property
    def port(self) -> int:
        """The port of the surface public."""
        return self.ports["public"]

    @property
    def url(self) -> str:
        """The base URL of the surface public."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Serve."""
        self._handlers = logging.getLogger().handlers[:]
        self._thread.start()
        self._up.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        """Drain, close, and give the root logger back to whoever had it."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        logging.getLogger().handlers[:] = self._handlers
        assert not self._thread.is_alive(), "the guard did not end"

    def call(self, work: Callable[[], T]) -> T:
        """Run something in the guard's own thread and return what it returns."""

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def wait_until(self, true: Callable[[], bool], what: str = "it") -> None:
        """Wait for something that is brought about here; TimeoutError after the patience."""
        until = time.monotonic() + PATIENCE
        pause = threading.Event()
        while not true():
            if time.monotonic() > until:
                raise TimeoutError(f"waited in vain until {what} was so")
            pause.wait(0.003)

    def quiet(self) -> None:
        """Wait until no exchange is running, so that all are recorded and counted."""
        self.wait_until(lambda: self.call(lambda: self.metric("guard_requests_in_flight") == 0.0), "all had ended")

    def metric(self, name: str, *labels: str) -> float:
        """The sum of a metric's series that have all these label values (of a histogram: how many observations)."""
        state = self.worker.witness.meter.state()
        total = 0.0
        for series in (state.counters, state.gauges):
            total += sum(value for key, value in series.items() if key[0] == name and set(labels) <= set(key[1:]))
        for key, found in state.histograms.items():
            if key[0] == name and set(labels) <= set(key[1:]):
                total += sum(found[1:])
        return total

    def stop(self, scope: str, reason: str = "a test") -> StopOrder:
        """Order a stop as the command line does; the worker obeys by itself."""
        entropy = os.urandom(ENTROPY_BYTES)
        order = issue_stop(
            Scope.parse(scope), reason=reason, who="a test", source=Source.CLI, now=time.time(), entropy=entropy
        )
        self._orders().put(order)
        return order

    def resume(self, *stops: StopOrder) -> None:
        """Lift stops, and wait until the worker knows."""
        entropy = os.urandom(ENTROPY_BYTES)
        lifts = [stop.id for stop in stops]
        now = self.worker.ports.clock.now()  # a resume of the future lifts nothing
        order = issue_resume(lifts, reason="a test", who="a test", source=Source.CLI, now=now, entropy=entropy)
        self._orders().put(Issuer.open(self.directory / "var" / "state").signed(order))
        self.wait_until(lambda: order.id in self.worker.switches.state.ids, "the resume was known")

    def entries(self) -> Sequence[records.Record]:
        """All records of the request log that are written by now."""
        audit = self.directory / "var" / "audit"
        return [item.record for item in iter_records(audit) if isinstance(item, Entry)]

    def found(self, request: str) -> Found:
        """The records of one exchange, once it has ended."""
        self.quiet()
        return find(self.directory / "var" / "audit", request)

    def texts(self, request: str, kind: type[records.Record]) -> list[str]:
        """The kept texts of an exchange's records of one kind, in their order, opened and checked."""
        config = self.worker.config
        assert config.guard.content is not None
        audit = self.directory / "var" / "audit"
        folder = KeyFolder(self.directory / config.guard.content.wrapped)
        contents = Contents(audit, folder, Kek(read_content_key(config, config.guard.content)))
        return [
            text.text
            for item in search(audit, request)
            if isinstance(item, Entry) and isinstance(item.record, kind)
            for text in contents.texts(item.writer, item.record)
        ]

    def _orders(self) -> OrderDirectory:
        return OrderDirectory(self.directory / "var" / "state")

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as problem:
                if self._up.done():
                    raise
                self._up.set_exception(problem)

    async def _serve(self) -> None:
        config = load(self.directory)
        worker = self.worker = build_worker(config, 0, clock=self._clock, disk=self._disk)
        quiet = os.open(os.devnull, os.O_WRONLY)
        worker.witness.log = JsonLog(self._clock, fd=quiet)  # lines of another thread would land between the tests' own
        if self._prepare is not None:
            self._prepare(worker)
        mine, its = socket.socketpair()
        its_reader, its_writer = await asyncio.open_connection(sock=its)
        reader, writer = await asyncio.open_connection(sock=mine)
        beside = WorkerLoop(worker, its_reader, its_writer)
        background = [asyncio.ensure_future(each) for each in (beside.obey(), beside.tick(), _listen(reader))]
        servers = await self._listen(worker)
        self._up.set_result(None)
        await self._end.wait()
        send(writer, Drain(0.1))
        await beside.drain.wait()
        for server, _ in servers:
            server.should_exit = True
            server.force_exit = True
        await asyncio.wait([task for _, task in servers])
        for each in background:
            each.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await worker.models.aclose()
        worker.ledger.close()
        os.close(quiet)
        for end in (writer, its_writer):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    async def _listen(self, worker: Worker) -> list[tuple[_Server, asyncio.Task[None]]]:
        settings: Mapping[str, Any] = {
            "http": type("ToldProtocol", (self._protocol,), {"tell": staticmethod(edge_refusals(worker.witness))}),
            "ws": "none",
            "lifespan": "off",
            "loop": "none",
            "log_config": None,
            "access_log": False,
            "proxy_headers": False,
            "server_header": False,
            "date_header": False,
        }
        servers = []
        for name, edge in worker.edges.items():
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports[name] = listener.getsockname()[1]
            server = _Server(uvicorn.Config(edge.proxy, **settings))
            servers.append((server, asyncio.ensure_future(server.serve([listener]))))
        while not all(server.started for server, _ in servers):  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.001)
        return servers


async def _listen(reader: asyncio.StreamReader) -> None:
    while await hear_worker(reader) is not None:
        pass
