"""The supervisor: owns the listeners, the admin API and the metrics page, and keeps workers alive and obedient.

It starts workers, replaces those that die or fall silent, spreads stop orders, judges policies, and puts every act of
control on record.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop

from guard import __version__
from guard.admin.api import Person, admin_app
from guard.admin.switchboard import Switchboard
from guard.app import json_log, python_version, storage
from guard.audit.ledger import Ledger
from guard.clock import SystemClock
from guard.credentials import Holder, Register
from guard.policy.compile import first_moment
from guard.policy.load import Config, load, read_secret
from guard.policy.report import standing
from guard.serve.control import Beat, Drain, Ready, Wake, hear_worker, send
from guard.serve.http import protocol_class
from guard.serve.processes import WorkerProcess, start_worker
from guard.state.directory import OrderDirectory
from guard.state.merge import TWO_PERSON_ASL
from guard.state.orders import Order
from guard.state.switches import FileSwitches
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import Event, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin, Restart
from guard.telemetry.observe import policy_judged
from safeguards.decision import Unavailable

TICK_SECONDS: Final = 0.05
START_SECONDS: Final = 30.0
JUDGE_SECONDS: Final = 5.0
LEAVE_SECONDS: Final = 8.0
BACKLOG: Final = 2048


class _AdminServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Supervisor:
    """Runs until SIGTERM or SIGINT; implements `guard.admin.api.Fleet`."""

    def __init__(self, config: Config) -> None:
        """Open what the supervisor owns; raises OSError, LedgerError or ConfigError."""
        self.config = config
        self._clock = SystemClock()
        self._log = json_log(config, self._clock)
        state, audit = storage(config)
        self._switches = FileSwitches(OrderDirectory(state), self._clock)
        self._board = Switchboard(config, OrderDirectory(state), state, self._clock.now, os.urandom)
        self._ledger = Ledger.open(audit / "supervisor", self._clock)
        self._meter = Meter(Origin.SUPERVISOR)
        self._exposition = Exposition(self._meter)
        pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
        self._people = Register(
            pepper,
            {
                token.digest: Holder(Person(token.id, token.person, token.role), first_moment(token.expires))
                for token in config.guard.admin.tokens
            },
            self._clock,
        )
        self._sockets = {each.name: _listen(each.host, each.port) for each in config.guard.surfaces}
        self._admin_socket = _listen(config.guard.admin.host, config.guard.admin.port)
        self._workers: dict[int, WorkerProcess] = {}
        self._incarnation = 0
        self._leaving = asyncio.Event()
        self._at_once = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._routable: dict[str, bool] = {}

    # What the admin listener asks.

    def workers(self) -> tuple[str, ...]:
        """Every place of a worker; one that is being replaced has not obeyed yet."""
        return tuple(str(index) for index in range(self.config.guard.workers))

    def ready(self) -> bool:
        """At least one worker serves, and none is wanted gone."""
        return not self._leaving.is_set() and any(worker.ready for worker in self._workers.values())

    def wake(self) -> None:
        """Tell the workers and look ourselves."""
        for worker in self._workers.values():
            send(worker.writer, Wake())
        self._look()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Render the page."""
        return self._exposition.render(accept)

    def standing(self) -> list[dict[str, Any]]:
        """Judge each model now."""
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        found = []
        for alias in self.config.models:
            report = standing(self.config, alias, at)
            found.append(
                {
                    "model": alias,
                    "standard": f"{report.standard} {report.version}",
                    "asl": {"deployment": report.deployment, "security": report.security},
                    "routable": report.routable,
                    "until": report.until.isoformat() if report.until else None,
                    "unmet": [row.row for row in report.unmet],
                }
            )
        return found

    def refused(self, reason: str) -> None:
        """Log that somebody without the right tried to act."""
        self._log.emit(Level.WARNING, Event.ADMIN_REFUSED, reason=reason)

    # Life.

    async def run(self) -> int:
        """Serve until a signal, then drain; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._meter.bind("guard_build_info", __version__, python_version())
        for reason in Restart:
            self._meter.bind("guard_worker_restarts_total", reason)
        self._judge()
        self._orders_metric()
        in_force = ", ".join(stop.id for stop in self._switches.state.still_held(TWO_PERSON_ASL)) or "none"
        await self._record(
            "guard", "start", __version__, f"configuration {self.config.digest}; stops in force: {in_force}"
        )
        for index in range(self.config.guard.workers):
            await self._start(index)
        admin = self._admin()
        serving = asyncio.ensure_future(admin.serve([self._admin_socket]))
        self._log.emit(
            Level.INFO,
            Event.STARTED,
            surfaces=[f"{name}={_address(sock)}" for name, sock in self._sockets.items()],
            admin=_address(self._admin_socket),
            policy=self.config.digest,
            workers=self.config.guard.workers,
        )
        keeping = asyncio.ensure_future(self._keep())
        await self._leaving.wait()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await self._drain()
        admin.should_exit = True
        await asyncio.wait({serving}, timeout=2.0)
        serving.cancel()
        await asyncio.gather(serving, *self._background, return_exceptions=True)
        await self._record("guard", "end", __version__, "")
        self._ledger.close()
        self._log.emit(Level.INFO, Event.ENDED)
        return 0

    def _signalled(self) -> None:
        if self._leaving.is_set():
            self._at_once.set()
        self._leaving.set()

    def _admin(self) -> _AdminServer:
        settings = uvicorn.Config(
            admin_app(self._board, self._people, self),
            http=protocol_class(16_384, 10.0),
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=256,
        )
        return _AdminServer(settings)

    async def _start(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        self._incarnation += 1
        worker = await start_worker(
            self.config.directory, self.config.digest, index, self._incarnation, self._sockets, loop.time()
        )
        self._workers[index] = worker
        self._log.emit(Level.INFO, Event.WORKER_STARTED, worker=index, pid=worker.process.pid)
        hearing = asyncio.ensure_future(self._hear(worker))
        self._background.add(hearing)
        hearing.add_done_callback(self._background.discard)

    async def _hear(self, worker: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        while (message := await hear_worker(worker.reader)) is not None:
            worker.heard = loop.time()
            match message:
                case Ready():
                    worker.ready = True
                case Beat(live, metrics):
                    worker.live = live
                    self._exposition.apply(worker.index, worker.incarnation, metrics, self._clock.now())
        worker.writer.close()

    async def _keep(self) -> None:
        """Turn: look for orders, replace workers, judge policies."""
        loop = asyncio.get_running_loop()
        judged = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._look()
            for index, worker in tuple(self._workers.items()):
                await self._tend(index, worker, loop.time())
            if loop.time() - judged >= JUDGE_SECONDS:
                judged = loop.time()
                self._judge()

    async def _tend(self, index: int, worker: WorkerProcess, now: float) -> None:
        """Replace a worker that has exited, or that has been silent for too long."""
        patience = self.config.guard.supervision.deaf_seconds if worker.ready else START_SECONDS
        code = worker.process.poll()
        if code is None and now - worker.heard < patience:
            return
        reason = Restart.EXITED
        if code is None:
            reason = Restart.DEAF
            worker.process.kill()
            code = await asyncio.to_thread(worker.process.wait)
            self._log.emit(Level.ERROR, Event.WORKER_DEAF, worker=index, silent_seconds=round(now - worker.heard, 3))
        else:
            self._log.emit(Level.ERROR, Event.WORKER_EXITED, worker=index, code=code)
        self._exposition.retire(index, worker.incarnation)
        self._meter.inc(self._meter.bind("guard_worker_restarts_total", reason))
        if not worker.ready:
            await asyncio.sleep(1.0)  # one that cannot start is not tried in a tight loop
        await self._start(index)

    def _look(self) -> None:
        """Apply new orders to our own view, whoever gave them; wake the workers and record the act."""
        readable = not self._switches.failure
        applied = self._switches.poll()
        if readable == bool(self._switches.failure):
            event = Event.STATE_READABLE if not readable else Event.STATE_UNREADABLE
            self._log.emit(Level.ERROR, event, reason=self._switches.failure)
        if not applied:
            return
        for worker in self._workers.values():
            send(worker.writer, Wake())
        self._orders_metric()
        self._meter.set(self._meter.bind("guard_kill_switch_last_change_timestamp_seconds"), self._clock.now())
        state = self._switches.state
        orders: dict[str, Order] = {order.id: order for order in state.stops}
        orders |= {order.id: order for order in state.resumes}
        for identity in applied:
            order = orders.get(identity)
            if order is None:
                self._remember("file", "stop", identity, "a file in the orders' directory")
            elif order in state.stops:
                self._remember(order.who, "stop", f"{order.id} {getattr(order, 'scope', '')}", order.reason)
            else:
                self._remember(order.who, "resume", f"{order.id} {' '.join(getattr(order, 'lifts', ()))}", order.reason)

    def _remember(self, who: str, what: str, subject: str, reason: str) -> None:
        event = Event.STOP_ORDERED if what == "stop" else Event.STOP_LIFTED
        self._log.emit(Level.WARNING, event, who=who, subject=subject, reason=reason)
        recording = asyncio.ensure_future(self._record(who, what, subject, reason))
        self._background.add(recording)
        recording.add_done_callback(self._background.discard)

    async def _record(self, who: str, what: str, subject: str, reason: str) -> None:
        """Put an act of control on record; a log that cannot be written never keeps a stop from being one."""
        try:
            await self._ledger.control(who=who, what=what, subject=subject, reason=reason)
        except Unavailable as failure:
            self._log.emit(Level.ERROR, Event.LOG_FAILED, reason=failure.reason)

    def _orders_metric(self) -> None:
        self._meter.forget("guard_kill_switch_engaged")
        for stop in self._switches.state.still_held(TWO_PERSON_ASL):
            key = self._meter.bind("guard_kill_switch_engaged", stop.scope.kind.value, stop.scope.subject)
            self._meter.set(key, 1.0)
        held = self._board.models_held()
        for alias in self.config.models:
            key = self._meter.bind("guard_kill_switch_engaged", "model", alias)
            self._meter.set(key, 1.0 if alias in held else 0.0)

    def _judge(self) -> None:
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        for alias, policy in self.config.models.items():
            report = standing(self.config, alias, at)
            asl = max(policy.asl.deployment, policy.asl.security)
            framework = f"{report.standard} {report.version}"
            policy_judged(self._meter, alias, asl, framework, self.config.digest, len(report.unmet))
            for attestation in self.config.evidence[alias]:
                key = self._meter.bind("guard_attestation_expiry_timestamp_seconds", alias, attestation.claim)
                self._meter.set(key, first_moment(attestation.expires))
            if self._routable.get(alias) is not report.routable:
                self._routable[alias] = report.routable
                if report.routable:
                    self._log.emit(Level.INFO, Event.MODEL_ROUTABLE, model=alias)
                else:
                    rows = [row.row for row in report.unmet]
                    self._log.emit(Level.ERROR, Event.MODEL_NOT_ROUTABLE, model=alias, unmet=rows[:50], count=len(rows))

    async def _drain(self) -> None:
        """Let running streams finish, in their time; a second signal ends the patience."""
        seconds = self.config.guard.supervision.drain_seconds
        self._log.emit(
            Level.INFO, Event.DRAINING, seconds=seconds, live=sum(each.live for each in self._workers.values())
        )
        for sock in self._sockets.values():
            sock.close()
        for worker in self._workers.values():
            send(worker.writer, Drain(seconds))
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds + LEAVE_SECONDS
        while loop.time() < until and not self._at_once.is_set():
            self._look()
            if all(worker.process.poll() is not None for worker in self._workers.values()):
                break
            await asyncio.sleep(TICK_SECONDS)
        for worker in self._workers.values():
            if worker.process.poll() is None:
                worker.process.kill()
            await asyncio.to_thread(worker.process.wait)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as problem:
        sock.close()
        raise OSError(problem.errno, f"cannot listen on {host}:{port}: {problem.strerror}") from None
    return sock


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _run(config_dir: Path) -> int:
    return await Supervisor(load(config_dir)).run()


def main(config_dir: Path) -> int:
    """Run the guard."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(config_dir))
