"""The supervisor: owns the listeners, the admin API and the metrics page, and ends everything in order.

Its parts do the work: `tending` keeps workers alive, `acts` spreads stop orders and records them, `judging` watches the
policies. None of them waits for another.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from guard import __version__
from guard.admin.api import Person, Readiness, admin_app
from guard.admin.switchboard import Switchboard
from guard.app import json_log, python_version, storage
from guard.audit.ledger import Ledger
from guard.clock import SystemClock
from guard.credentials import Holder, Register
from guard.policy.compile import check_compiles, first_moment
from guard.policy.load import Config, load, read_secret
from guard.serve.acts import Acts
from guard.serve.certificates import Certificates, admin_certificates, surface_certificates, watch
from guard.serve.control import Wake
from guard.serve.cosigning import Cosigning
from guard.serve.http import protocol_class
from guard.serve.judging import Judging
from guard.serve.sealing import Sealing, key_ring
from guard.serve.secured import secured
from guard.serve.server import address, listening, server
from guard.serve.tending import Tending
from guard.state.directory import OrderDirectory
from guard.state.switches import FileSwitches
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import Event, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin

ADMIN_HEADER_BYTES: Final = 16_384
ADMIN_HEADER_SECONDS: Final = 5.0
ADMIN_CONNECTIONS: Final = 256
ADMIN_LEAVE_SECONDS: Final = 2.0


class Supervisor:
    """Runs until SIGTERM or SIGINT; implements `guard.admin.api.Fleet`."""

    def __init__(
        self,
        config: Config,
        sockets: Mapping[str, socket.socket],
        admin: socket.socket,
        admin_tls: Certificates | None = None,
    ) -> None:
        """Take the listening sockets and open what the supervisor owns; raises OSError, LedgerError or ConfigError."""
        self.config = config
        clock = SystemClock()
        self._log = json_log(config, clock)
        self._sockets = sockets
        self._admin_socket = admin
        self._admin_tls = admin_tls
        pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
        state, audit = storage(config)
        board = self._board = Switchboard(config, OrderDirectory(state), state, clock.now, os.urandom)
        ring = key_ring(config)
        self._ledger = Ledger.open(audit / "supervisor", clock)
        self._meter = meter = Meter(Origin.SUPERVISOR)
        self._exposition = Exposition(meter)
        self._people = Register(
            pepper,
            {
                token.digest: Holder(Person(token.id, token.person, token.role), first_moment(token.expires))
                for token in config.guard.admin.tokens
            },
            clock,
        )
        self._tending = Tending(config, self._sockets, self._exposition, meter, self._log, clock.now)
        switches = FileSwitches(OrderDirectory(state), clock)
        self._acts = Acts(config, switches, board, self._ledger, meter, self._log, clock, self._tending.tell)
        self._judging = Judging(config, meter, self._log, clock)
        self._sealing = Sealing(config, ring, self._durable, self._acts, meter, self._log, clock)
        self._cosigning = Cosigning(config, ring.log.key, meter, self._log, clock)
        self._leaving = asyncio.Event()
        self._at_once = asyncio.Event()

    # What the admin listener asks.

    def workers(self) -> tuple[str, ...]:
        """Every place of a worker; one that is being replaced has not obeyed yet."""
        return tuple(str(index) for index in range(self.config.guard.workers))

    def ready(self) -> Readiness:
        """At least one worker serves, and none is wanted gone."""
        serving = self._tending.serving
        ready = serving > 0 and not self._leaving.is_set()
        return Readiness(ready, serving, self.config.guard.workers, self._tending.troubles)

    def wake(self) -> None:
        """Tell the workers and look ourselves."""
        self._tending.tell(Wake())
        self._acts.look()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Render the page."""
        return self._exposition.render(accept)

    def standing(self) -> list[dict[str, Any]]:
        """Judge each model now."""
        return self._judging.standing()

    def refused(self, reason: str) -> None:
        """Log that somebody without the right tried to act."""
        self._log.emit(Level.WARNING, Event.ADMIN_REFUSED, reason=reason)

    def _durable(self) -> dict[str, int | None]:
        """How far the log of every process that writes one is on the disk."""
        workers = {f"worker-{index}": durable for index, durable in self._tending.durable.items()}
        return {**workers, "supervisor": self._ledger.durable()}

    # Life.

    async def run(self) -> int:
        """Serve until a signal, then drain; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._meter.bind("guard_build_info", __version__, python_version())
        in_force = ", ".join(standing.stop.id for standing in self._board.in_force()) or "none"
        subject = f"configuration {self.config.digest}; stops in force: {in_force}"
        await self._acts.record("guard", "start", __version__, subject)
        self._tending.begin()
        hosts = self.config.guard.admin.hosts or ()
        http = protocol_class(ADMIN_HEADER_BYTES, ADMIN_HEADER_SECONDS, 2 * ADMIN_CONNECTIONS, hosts)
        if self._admin_tls is not None:
            http = secured(http, self._admin_tls)
        admin = server(admin_app(self._board, self._people, self), http, keep_alive=5, concurrency=ADMIN_CONNECTIONS)
        serving = asyncio.ensure_future(admin.serve([self._admin_socket]))
        self._log.emit(
            Level.INFO,
            Event.STARTED,
            surfaces=[f"{name}={address(sock)}" for name, sock in self._sockets.items()],
            admin=address(self._admin_socket),
            policy=self.config.digest,
            workers=self.config.guard.workers,
        )
        parts = (self._acts, self._judging, self._sealing, self._cosigning)
        watching = [asyncio.ensure_future(part.watch()) for part in parts]
        if self._admin_tls is not None:
            watching.append(asyncio.ensure_future(watch([self._admin_tls], self._log)))
        await self._leaving.wait()
        await self._drain()
        admin.should_exit = True
        await asyncio.wait({serving}, timeout=ADMIN_LEAVE_SECONDS)
        for task in (serving, *watching):
            task.cancel()
        await asyncio.gather(serving, *watching, return_exceptions=True)
        await self._acts.settle()
        await self._acts.record("guard", "end", __version__, "")
        self._ledger.close()
        await self._sealing.close()
        self._log.emit(Level.INFO, Event.ENDED)
        return 0

    def _signalled(self) -> None:
        if self._leaving.is_set():
            self._at_once.set()
        self._leaving.set()

    async def _drain(self) -> None:
        """Let running streams finish, in their time; a second signal ends the patience. Orders are still looked for."""
        seconds = self.config.guard.supervision.drain_seconds
        self._log.emit(Level.INFO, Event.DRAINING, seconds=seconds, live=self._tending.live)
        for sock in self._sockets.values():
            sock.close()
        await self._tending.drain(seconds, self._at_once)


async def _run(
    config: Config, sockets: Mapping[str, socket.socket], admin: socket.socket, admin_tls: Certificates | None
) -> int:
    return await Supervisor(config, sockets, admin, admin_tls).run()


def main(config_dir: Path) -> int:
    """Run the guard; raises ConfigError, OSError or LedgerError when it cannot begin."""
    config = load(config_dir)
    check_compiles(config)  # what no worker could serve must not begin
    surface_certificates(config)
    admin_tls = admin_certificates(config)
    with ExitStack() as stack:
        # The addresses first: a second guard by mistake must not touch the records of the first.
        sockets = {each.name: stack.enter_context(listening(each)) for each in config.guard.surfaces}
        admin = stack.enter_context(listening(config.guard.admin))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        return runner.run(_run(config, sockets, admin, admin_tls))
