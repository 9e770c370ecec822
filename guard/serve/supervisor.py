"""The supervisor: owns the listeners, the admin API and the metrics page, and ends everything in order.

Its parts do the work: `tending` keeps workers alive, `acts` spreads stop orders and records them, `judging` watches the
policies, `reloading` changes them. None of them waits for another. It is one file because it is where they are joined.
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
from starlette.routing import Route

from guard import __version__
from guard.admin.api import Person, Readiness, admin_app
from guard.admin.entrance import Entrance
from guard.admin.incident_api import IncidentApi
from guard.admin.people import admin_of, holders
from guard.admin.pushed_orders import PushedOrders
from guard.admin.site import Site
from guard.admin.switchboard import Switchboard
from guard.app import json_log, log_disk, python_version, storage
from guard.audit.ledger import Ledger
from guard.clock import SystemClock
from guard.credentials import Register
from guard.hooks.drilled import drill_hooks
from guard.incidents.desk import IncidentDesk
from guard.incidents.folder import IncidentFolder
from guard.policy.acceptance import Approvals, NotApprovedError, Wanted
from guard.policy.fingerprint import standards_in
from guard.policy.selftest import release_of
from guard.policy.source import ConfigError, Problem
from guard.resuming import ResumeJudge
from guard.serve.acts import Acts
from guard.serve.approving import SignedApprovals
from guard.serve.beginning import Beginning, Checked, begin
from guard.serve.certificates import watch
from guard.serve.control import Wake
from guard.serve.copies import Copies
from guard.serve.cosigning import Cosigning
from guard.serve.drilling import Drilling
from guard.serve.drills_in import DrillEntrance
from guard.serve.exporting import Exporting
from guard.serve.following import FleetMember
from guard.serve.handling import Handling
from guard.serve.hooking import Hooking, HookSwitch
from guard.serve.http import protocol_class
from guard.serve.judging import Judging
from guard.serve.monitoring import Monitoring
from guard.serve.panel import Panel
from guard.serve.processes import Standing
from guard.serve.reloading import Desk, Reloading
from guard.serve.remembering import MAX_TOLD, in_words, note
from guard.serve.sealing import Sealing, key_ring
from guard.serve.secured import secured
from guard.serve.server import address, listening, server
from guard.serve.spreading import Spreading
from guard.serve.stepping import Stepping
from guard.serve.telling import Telling
from guard.serve.tending import Tending
from guard.serve.timestamping import Timestamping
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import ENTROPY_BYTES, order_id
from guard.state.peers import PATH
from guard.state.reloads import Reloaded
from guard.state.snapshots import Current, Snapshots
from guard.state.switches import FileSwitches
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import CEILING, Meter
from guard.telemetry.metric import Origin
from safeguards.ports import Clock

ADMIN_HEADER_BYTES: Final = 16_384
ADMIN_HEADER_SECONDS: Final = 5.0
ADMIN_CONNECTIONS: Final = 256
ADMIN_LEAVE_SECONDS: Final = 2.0
MAX_HELD: Final = 10


class Supervisor:
    """Runs until SIGTERM or SIGINT; implements `guard.admin.api.Fleet`."""

    def __init__(
        self,
        beginning: Beginning,
        sockets: Mapping[str, socket.socket],
        admin: socket.socket,
        approvals: Approvals,
    ) -> None:
        """Take the listening sockets and open what the supervisor owns; raises OSError, LedgerError or ConfigError."""
        config = self.config = beginning.checked.config
        self._beginning = beginning
        clock = SystemClock()
        self._log = json_log(config, clock)
        self._sockets = sockets
        self._admin_socket = admin
        self._admin_tls = beginning.checked.admin_tls
        state, audit = storage(config)
        board = self._board = Switchboard(config, OrderDirectory(state), state, clock.now, os.urandom)
        _make_issuer(state, self._log)
        ring = key_ring(config)
        self._ledger = Ledger.open(audit / "supervisor", clock, disk=log_disk(config))
        # Its labels are of the configuration and of orders, and a gauge that collapsed would show nothing.
        self._meter = meter = Meter(Origin.SUPERVISOR, cap=CEILING)
        self._exposition = Exposition(meter)
        self._people = _people(beginning.checked, clock)
        snapshots = Snapshots(state)
        # The records are ours by now: what is in force is written by one supervisor alone.
        standing = Standing(config.directory, config.digest, snapshots.put(config.digest, beginning.bundle.files))
        if beginning.accepted is not None and beginning.accepted.wanted is not None:
            _use_up(approvals, beginning.accepted.wanted)
        current = _current(beginning, clock.now())
        snapshots.choose(current)
        # Before any worker: they map the lease, which begins without proof.
        self._member = None if config.guard.fleet is None else FleetMember(config, meter, self._log, clock)
        self._tending = Tending(config, standing, self._sockets, self._exposition, meter, self._log, clock.now)
        self._judge = ResumeJudge(config, state, clock.now)
        switches = self._switches = FileSwitches(OrderDirectory(state), clock, self._judge)
        telling = self._telling = Telling(config, beginning.checked.receivers, board, meter, self._log, clock)
        if self._member is not None:
            telling.lapsed = self._member.lapsed
        self._acts = Acts(config, switches, board, self._ledger, meter, self._log, clock, self._tending.tell, telling)
        if self._member is not None:
            self._acts.tell_peers = self._member.tell_peers
        folder = IncidentFolder(state)
        stepping = Stepping(board, lambda: switches.state, os.urandom, meter, self._log)
        record = self._acts.record
        self._handling = Handling(config, folder, stepping, meter, self._log, clock, record, os.urandom, telling.found)
        counters = self._exposition.counters
        self._monitoring = Monitoring(
            config, counters, stepping, meter, self._log, clock, self._acts.note, telling.found
        )
        switch = HookSwitch(board, lambda: switches.state)
        self._drills_in = DrillEntrance(state, os.urandom, self._admin_tls)
        drills = drill_hooks(self._drills_in.secret, release_of(config))
        self._hooking = Hooking(beginning.checked.hooks, drills, switch, self._acts, meter, self._log, clock)
        self._judging = Judging(config, meter, self._log, clock, self._acts.note)
        self._drilling = Drilling(config, state, meter, self._log, clock, self._acts.record, os.urandom, telling.found)
        desk = Desk(meter, self._log, self._acts.record, clock)
        spreading = Spreading(self._tending, standing)
        self._reloading = Reloading(beginning, current, snapshots, spreading, approvals, desk, self._take)
        self._sealing = Sealing(config, ring, self._durable, self._acts, meter, self._log, clock)
        self._cosigning = Cosigning(config, ring.log.key, meter, self._log, clock)
        self._timestamping = Timestamping(config, meter, self._log, clock, os.urandom)
        self._copies = Copies(config, ring.log.key, meter, self._log, clock)
        self._panel = Panel(
            self._tending,
            self._judging,
            self._sealing,
            self._cosigning,
            self._timestamping,
            self._handling,
            self._acts,
            self._drilling,
        )
        self._entrance = Entrance(self._people, admin_of(config), clock, os.urandom, self._drills_in.holder)
        known = self._handling.known
        self._desk = IncidentDesk(
            config, folder, clock.now, lambda now: order_id(now, os.urandom(ENTROPY_BYTES)), board.is_stop, known
        )
        exports = Exporting(folder, audit, self._ledger, clock)
        self._site = Site(board, self, self._panel, self._entrance, clock, self._desk, exports)
        self._incident_api = IncidentApi(self._desk, exports, clock)
        self._rendering = asyncio.Lock()
        self._from_peers = PushedOrders(board, self, clock.now)
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

    def fleet(self) -> FleetMember | None:
        """This guard's place in its fleet."""
        return self._member

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Render the page, in a thread of which there is one: many models make it long, and a stop must not wait."""
        async with self._rendering:
            return await asyncio.to_thread(self._exposition.page().render, accept)

    def standing(self) -> list[dict[str, Any]]:
        """Judge each model now."""
        return self._judging.standing()

    def waiting(self) -> list[dict[str, Any]]:
        """What waits for people's approval."""
        return [each.fields() for each in self._site.waiting()]

    def drills(self) -> dict[str, Any]:
        """How drills stand."""
        return self._drilling.fields()

    def policy(self) -> dict[str, Any]:
        """Which policy is in force, and whether the files say the same."""
        return self._reloading.standing

    async def reload(self, who: str, reason: str) -> Reloaded:
        """Take up what the files hold now."""
        return await asyncio.shield(self._reloading.reload(who, reason))

    def _take(self, checked: Checked) -> None:
        """Go on with another configuration, all parts within one turn of the loop."""
        config = self.config = checked.config
        self._people.take(_people(checked, SystemClock()))
        self._judge = self._judge.under(config)
        self._switches.take(self._judge)
        self._entrance.take(admin_of(config))
        parts = (self._board, self._acts, self._judging, self._handling, self._monitoring, self._copies, self._drilling)
        for part in (*parts, self._desk):
            part.take(config)
        self._hooking.take(checked.hooks)
        self._telling.take(config, checked.receivers)

    def refused(self, reason: str) -> None:
        """Log that somebody without the right tried to act."""
        self._meter.inc(self._meter.bind("guard_admin_refusals_total"))
        self._log.emit(Level.WARNING, Event.ADMIN_REFUSED, reason=reason)

    def emergency(self, who: str) -> None:
        """Somebody uses an emergency token: the alert on this figure wakes people up."""
        self._meter.inc(self._meter.bind("guard_emergency_tokens_used_total"))
        self._log.emit(Level.ERROR, Event.EMERGENCY_TOKEN, who=who)

    def _all_serve(self) -> bool:
        """Whether a drill would find every worker."""
        return self._tending.serving == self.config.guard.workers and not self._leaving.is_set()

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
        loop.add_signal_handler(signal.SIGHUP, self._reloading.signalled)
        self._meter.bind("guard_build_info", __version__, python_version())
        in_force = ", ".join(standing.stop.id for standing in self._board.in_force()) or "none"
        subject = f"configuration {self.config.digest}; stops in force: {in_force}"
        await self._acts.record("guard", "start", __version__, subject)
        await self._tell_beginning()
        if self._member is not None:
            self._member.wake = self.wake
            self._member.begin()
        self._tending.begin()
        hosts = self.config.guard.admin.hosts or ()
        http = protocol_class(ADMIN_HEADER_BYTES, ADMIN_HEADER_SECONDS, 2 * ADMIN_CONNECTIONS, hosts)
        if self._admin_tls is not None:
            http = secured(http, self._admin_tls)
        app = admin_app(
            self._board,
            self._people,
            self,
            self._hooking.receiver,
            self._pages(),
            self._entrance.holder,
            self._drills_in.holder,
            self._incident_api.operations(),
        )
        admin = server(app, http, keep_alive=5, concurrency=ADMIN_CONNECTIONS)
        serving = asyncio.ensure_future(admin.serve([self._admin_socket]))
        self._log.emit(
            Level.INFO,
            Event.STARTED,
            surfaces=[f"{name}={address(sock)}" for name, sock in self._sockets.items()],
            admin=address(self._admin_socket),
            policy=self.config.digest,
            workers=self.config.guard.workers,
        )
        parts = (
            self._telling,
            self._acts,
            self._judging,
            self._handling,
            self._monitoring,
            self._reloading,
            self._sealing,
            self._cosigning,
            self._timestamping,
            self._copies,
        )
        self._telling.begin(self._switches.state)
        watching = [asyncio.ensure_future(part.watch()) for part in parts]
        if self._member is not None:
            watching.append(asyncio.ensure_future(self._member.watch()))
        self._drills_in.open(self.config, address(self._admin_socket), self._log)
        drilling = asyncio.ensure_future(self._drilling.watch(self._all_serve))
        if self._admin_tls is not None:
            watching.append(asyncio.ensure_future(watch([self._admin_tls], self._log)))
        await self._leaving.wait()
        self._drills_in.close()
        await _ended(drilling)  # while there are workers to obey the resume
        await self._drain()
        if self._member is not None:
            await self._member.close()
        self._panel.ended = True
        admin.should_exit = True
        await asyncio.wait({serving}, timeout=ADMIN_LEAVE_SECONDS)
        await self._telling.close()
        for task in (serving, *watching):
            task.cancel()
        await asyncio.gather(serving, *watching, return_exceptions=True)
        await self._acts.settle()
        await self._acts.record("guard", "end", __version__, "")
        self._ledger.close()
        await self._sealing.close()
        await self._copies.close()
        self._log.emit(Level.INFO, Event.ENDED)
        return 0

    def _pages(self) -> list[Route]:
        peers = Route(PATH, self._from_peers.take, methods=["POST"])
        return [*self._site.routes(), *([] if self._member is None else [peers])]

    async def _tell_beginning(self) -> None:
        """Say, where it is so, that the files are not what the guard began with, or changed while it was off."""
        begun = self._beginning
        last = "" if begun.last is None else begun.last.digest
        if begun.held:
            reasons = list(begun.held[:MAX_HELD])
            self._log.emit(Level.ERROR, Event.POLICY_HELD, policy=self.config.digest, reasons=reasons)
            await self._acts.record("guard", "policy held", self.config.digest, "; ".join(begun.held))
        elif last != self.config.digest:
            change = f"{last[:16] or 'none'} -> {self.config.digest[:16]}"
            accepted = begun.accepted
            effect, approved = ("first", ()) if accepted is None else (accepted.effect.value, accepted.approved_by)
            lowered = () if accepted is None else tuple(map(str, accepted.lowered))
            changes = 0 if accepted is None else len(accepted.changes)
            standards = standards_in(self.config)
            words = in_words(changes, effect, approved_by=approved, lowered=lowered, standards=standards)
            self._log.emit(
                Level.INFO,
                Event.POLICY_IN_FORCE,
                by="start",
                before=last,
                policy=self.config.digest,
                effect=effect,
                changes=changes,
                approved_by=list(approved),
                lowered=list(lowered[:MAX_TOLD]),
            )
            await self._acts.record("guard", "policy in_force", change, f"at the start, {words}")

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


def _make_issuer(state: Path, log: JsonLog) -> None:
    """Make the key that this host signs orders with; without it the guard serves and stops, and cannot resume."""
    try:
        Issuer.open(state)
    except OSError as problem:
        log.emit(Level.ERROR, Event.ISSUER_UNUSABLE, reason=problem.strerror or type(problem).__name__)


def _people(checked: Checked, clock: Clock) -> Register[Person]:
    return Register(checked.pepper, holders(checked.config), clock)


def _current(beginning: Beginning, now: float) -> Current:
    """Return the note of what is in force from this start on; what was in force already keeps its time."""
    config, last = beginning.checked.config, beginning.last
    if last is not None and last.digest == config.digest:
        return note(config, last.since, last.who, last)
    return note(config, now, "start", last)


def _use_up(approvals: Approvals, wanted: Wanted) -> None:
    """Use up what approved the change with which the guard begins; raises ConfigError."""
    try:
        approvals.use(wanted)
    except NotApprovedError as missing:
        raise ConfigError([Problem("approvals", 0, "", str(missing))]) from None


async def _ended(task: asyncio.Task[None]) -> None:
    """End a part and wait until it has put away what it holds."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _run(
    beginning: Beginning, sockets: Mapping[str, socket.socket], admin: socket.socket, approvals: Approvals
) -> int:
    return await Supervisor(beginning, sockets, admin, approvals).run()


def main(config_dir: Path) -> int:
    """Run the guard; raises ConfigError, OSError or LedgerError when it cannot begin."""
    approvals = SignedApprovals()
    beginning = begin(config_dir, approvals, SystemClock().now)  # what no worker could serve must not begin
    guard = beginning.checked.config.guard
    with ExitStack() as stack:
        # The addresses first: a second guard by mistake must not touch the records of the first.
        sockets = {each.name: stack.enter_context(listening(each)) for each in guard.surfaces}
        admin = stack.enter_context(listening(guard.admin))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        return runner.run(_run(beginning, sockets, admin, approvals))
