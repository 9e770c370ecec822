"""A worker: one event loop that owns streams, obeys the supervisor, and goes on obeying stop orders without it.

It is one file because one tick does all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import uvloop

from guard.admin.running import Running, grouped
from guard.app import Worker, build_worker, edge_refusals
from guard.live import LiveExchanges
from guard.policy.bundle import read_snapshot
from guard.policy.load import Memory, understand
from guard.serve.certificates import surface_certificates, watch
from guard.serve.changeover import Changeover
from guard.serve.control import Abandon, Adopt, Beat, Drain, Prepare, Prepared, Ready, Wake, hear_supervisor, send
from guard.serve.drilled import Door, rehearse
from guard.serve.garbage import settle
from guard.serve.http import GuardProtocol, protocol_class
from guard.serve.processes import OTHER_POLICY, Standing
from guard.serve.responding import Responding
from guard.serve.secured import secured
from guard.serve.server import server
from guard.state.lease import lapse
from guard.state.orders import Order
from guard.telemetry.logs import Event, Level
from safeguards.decision import Ending, Unavailable
from safeguards.exchange import Exchange
from safeguards.kill_switch import stopped
from safeguards.scope import SELF_TEST
from safeguards.verdict import Block, Code

TICK_SECONDS: Final = 0.05
BEATS: Final = 5  # ticks between two reports
LAST_WORDS_SECONDS: Final = 3.0
# A worker that has lost its supervisor cannot be measured or drained from outside, and a successor waits for its log.
ORPHAN_SECONDS: Final = 5.0
KEEP_ALIVE_SECONDS: Final = 75
DESCRIPTORS: Final = 65_536  # what a worker asks for; half goes to callers, half to models and files


class WorkerLoop:
    """What a worker does beside serving: it looks for orders, cuts, watches deadlines, and reports."""

    def __init__(
        self,
        worker: Worker,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        protocols: Mapping[str, type[GuardProtocol]] = MappingProxyType({}),
        memory: Memory | None = None,
    ) -> None:
        """Take the parts, the socket to the supervisor, each surface's protocol, and what was read of the files."""
        self.worker = worker
        self._reader = reader
        self._writer = writer
        self._wake = asyncio.Event()
        self._untended = ""
        self._lapsed: frozenset[int] = frozenset()
        witness = worker.witness
        self.responding = Responding(
            worker.pushed, lambda: worker.switches.state, witness.meter, witness.log, self.confirm
        )
        self.drain = asyncio.Event()
        self.drain_seconds = worker.config.guard.supervision.drain_seconds
        self.changeover = Changeover(worker, protocols, memory or Memory(), lambda message: send(writer, message))

    async def obey(self) -> None:
        """Hear the supervisor until it is gone; without one a worker drains and ends."""
        self.drain_seconds = min(self.drain_seconds, ORPHAN_SECONDS)
        try:
            while (message := await hear_supervisor(self._reader)) is not None:
                match message:
                    case Drain(seconds):
                        self.drain_seconds = seconds
                        break
                    case Wake():
                        self._wake.set()
                    case Prepare():
                        self.changeover.prepare(message)
                    case Adopt():
                        self.changeover.adopt(message)
                    case Abandon():
                        self.changeover.abandon()
        finally:
            self.drain.set()

    async def told_to_begin(self) -> None:
        """Wait for the word to serve, or to end."""
        waits = [asyncio.ensure_future(each.wait()) for each in (self.changeover.begun, self.drain)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()

    async def tick(self) -> None:
        """Turn for ever."""
        meter = self.worker.witness.meter
        lag = meter.bind("guard_event_loop_lag_seconds")
        loop = asyncio.get_running_loop()
        count = 0
        while True:
            due = loop.time() + TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            if self._wake.is_set():
                self._wake.clear()
            else:
                meter.observe(lag, max(0.0, loop.time() - due))
            self.obey_orders()
            self.obey_lease()
            rehearse(self.worker)
            count += 1
            if count % BEATS == 0:
                self.worker.live.overdue(loop.time())
                self.report()

    def obey_orders(self) -> None:
        """Apply what is new, cut what it covers, and acknowledge."""
        worker = self.worker
        applied = worker.switches.poll()
        meter = worker.witness.meter
        meter.set(meter.bind("guard_kill_switch_readable"), 0.0 if worker.switches.failure else 1.0)
        noticed = worker.live.noticed()
        early = self.responding.turn(applied)
        applied = tuple(order for order in applied if order not in early)
        if not applied:
            return
        cut: dict[str, int] = {order: noticed.get(order, 0) for order in applied}

        def cause(exchange: Exchange) -> tuple[Ending, Block] | None:
            try:
                stop = worker.switches.cutting(exchange)
            except Unavailable:
                return None  # the pipeline decides what an unreadable state means, at the next text
            if stop is None:
                return None
            cut[stop.order] = cut.get(stop.order, 0) + 1
            return Ending.STOPPED, stopped(stop)

        worker.live.cut_where(cause)
        self._tighten()
        meter.set(meter.bind("guard_kill_switch_orders"), float(len(worker.switches.state.still_held(0))))
        self.confirm(cut, time.time())

    def confirm(self, cut: Mapping[str, int], now: float) -> None:
        """Tell that these new orders are in force here, and how long that took."""
        meter = self.worker.witness.meter
        propagation = meter.bind("guard_kill_switch_propagation_seconds")
        state = self.worker.switches.state
        orders: list[Order] = [*state.stops, *state.rules, *(each.order for each in state.resumes)]
        for order in orders:
            if order.id in cut:
                meter.observe(propagation, max(0.0, now - order.created))
        self.acknowledge(cut, now)

    def _tighten(self) -> None:
        """Have what runs judged more strictly where an order says so; those that cannot be known tighten everything."""
        for live in self.worker.live:
            try:
                tightens = self.worker.switches.tightens(live.exchange) is not None
            except Unavailable:
                tightens = True
            if tightens:
                live.tighten()

    def obey_lease(self) -> None:
        """Cut what runs at the levels that may not be served any more without proof that every order is known."""
        lease = self.worker.lease
        if lease is None:
            return
        lapsed, before = lease.any_lapsed(), self._lapsed
        if lapsed != before:
            self._lapsed = lapsed
            event = Event.LEASE_LAPSED if lapsed - before else Event.LEASE_RENEWED
            levels = [f"ASL-{asl}" for asl in sorted(lapsed)]
            self.worker.witness.log.emit(Level.ERROR, event, lapsed=levels, seconds=lease.age())
        if not lapsed:
            return

        def cause(exchange: Exchange) -> tuple[Ending, Block] | None:
            if exchange.asl not in lapsed:
                return None
            return Ending.STOPPED, stopped(lapse(lease, exchange.asl))

        self.worker.live.cut_where(cause)

    def acknowledge(self, cut: Mapping[str, int], now: float) -> None:
        """Tell that these orders are in force here; what cannot be written is told with the next."""
        self.worker.acknowledgements.forget(self.worker.switches.forgotten())
        with contextlib.suppress(OSError):
            self.worker.acknowledgements.record(cut, now)

    def report(self) -> None:
        """Send the supervisor a sign of life with the counters."""
        worker = self.worker
        try:
            worker.ledger.tend()
        except Unavailable as failure:
            if failure.reason != self._untended:  # four times a second would be too often
                worker.witness.log.emit(Level.ERROR, Event.LOG_FAILED, reason=failure.reason)
            self._untended = failure.reason
        else:
            self._untended = ""
        worker.witness.audited(worker.ledger.stats())
        send(
            self._writer,
            Beat(len(worker.live), worker.witness.meter.snapshot(), worker.ledger.durable(), _running(worker.live)),
        )


def _running(live: LiveExchanges) -> tuple[Running, ...]:
    found = (each.exchange for each in live if each.exchange.model != SELF_TEST)
    return grouped((each.model, each.caller.tier, each.caller.key) for each in found)


async def serve(standing: Standing, index: int, listeners: Mapping[str, int], control: int) -> int:
    """Serve until told to end; returns the exit code."""
    bundle = read_snapshot(standing.snapshot)
    if bundle.digest != standing.digest and not bundle.problems:
        # Two workers with two policies would be two guards: the supervisor's word counts.
        return OTHER_POLICY
    memory = Memory()
    config = understand(bundle, standing.directory, memory)
    worker = build_worker(config, index)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=control))
    protocols: dict[str, type[GuardProtocol]] = {}
    beside = WorkerLoop(worker, reader, writer, protocols, memory)
    limits = config.guard.limits
    certificates = surface_certificates(config)
    most = _connections()
    servers = []
    for surface in config.guard.surfaces:
        tell = edge_refusals(worker.witness)
        http = protocol_class(limits.header_bytes, limits.header_seconds, most, surface.hosts or (), tell)
        if surface.name in certificates:
            http = secured(http, certificates[surface.name])
        protocols[surface.name] = http
        listener = socket.socket(fileno=listeners[surface.name])
        servers.append((server(worker.edges[surface.name].proxy, http, keep_alive=KEEP_ALIVE_SECONDS), listener))
    settle()
    beside.responding.begin()
    known = worker.switches.counting
    beside.acknowledge(dict.fromkeys(known - beside.responding.turn(known), 0), time.time())
    meter = worker.witness.meter
    meter.set(meter.bind("guard_kill_switch_orders"), float(len(worker.switches.state.still_held(0))))
    ticking = asyncio.ensure_future(beside.tick())
    # A worker that no longer looks for orders must not serve.
    ticking.add_done_callback(lambda _: beside.drain.set())
    renewing = asyncio.ensure_future(watch(tuple(certificates.values()), worker.witness.log, worker=index))
    background = [asyncio.ensure_future(beside.obey()), ticking, renewing]
    send(writer, Prepared(config.digest))
    await beside.told_to_begin()
    for edge in worker.edges.values():  # told to end before it began: whatever comes is turned away
        edge.arrivals.draining = beside.drain.is_set()
    door = Door(worker, index)
    await door.open()
    serving = [asyncio.ensure_future(each.serve([sock])) for each, sock in servers]
    while not all(each.started for each, _ in servers):  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.005)
    send(writer, Ready(worker.config.digest))
    beside.report()
    await beside.drain.wait()
    if ticking.done():
        ticking.result()  # raises what ended it; the streams end with the process
    for edge in worker.edges.values():
        edge.arrivals.draining = True
    await door.aclose()
    for each, _ in servers:
        each.should_exit = True
    await asyncio.wait(serving, timeout=beside.drain_seconds)
    for exchange in worker.live:
        exchange.cut(Ending.ERROR, Block(Code.DRAINING, "the time to finish is up"))
    await asyncio.wait(serving, timeout=LAST_WORDS_SECONDS)
    for each, _ in servers:
        each.force_exit = True
    await asyncio.wait(serving, timeout=1.0)
    beside.report()
    for task in (*background, *serving):
        task.cancel()
    await asyncio.gather(*background, *serving, return_exceptions=True)
    await worker.models.aclose()
    if lost := worker.ledger.close():
        worker.witness.log.emit(Level.ERROR, Event.LOG_FAILED, reason=f"{lost} records were never written")
    worker.acknowledgements.withdraw()
    if worker.tracer is not None:
        await asyncio.to_thread(worker.tracer.close)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()
    return 0


def _connections() -> int:
    """Raise the limit of open files as far as allowed; returns how many connections of callers fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return (DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) // 2


def main(standing: Standing, index: int, listeners: Mapping[str, int], control: int) -> int:
    """Run a worker process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(standing, index, listeners, control))
