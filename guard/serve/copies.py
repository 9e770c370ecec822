"""The supervisor's view of shipping: it keeps the process that ships alive, and tells how far records lag."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from guard.app import storage
from guard.audit.note import Key
from guard.policy.load import Config
from guard.policy.model import RequestLogMount
from guard.serve.processes import ending
from guard.serve.shipping import Shipment, shipment
from guard.shipping.cursor import FOLDER
from guard.shipping.status import FILE, Status, read_status
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

LOOK_SECONDS: Final = 0.5
# Longer than any one object may take, asked for, sent and read back: then it hangs where no time limit reaches.
SILENT_SECONDS: Final = 120.0
RESTART_SECONDS: Final = 2.0
LAST_SECONDS: Final = 5.0
KILLED_SECONDS: Final = 1.0


class Copies:
    """Starts the process where copies are configured, and reads what it says; nothing waits for it."""

    def __init__(self, config: Config, key: Key, meter: Meter, log: JsonLog, clock: Clock) -> None:
        """Take the policy whose models may demand copies, the log's public key, and where figures and lines go."""
        self._config = config
        self._given = shipment(config, key)
        self._meter = meter
        self._log = log
        self._clock = clock
        self._state: Path = storage(config)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._began = clock.now()
        self._seen: int | None = None
        self._heard = 0.0
        self._restart = float("-inf")
        self._counted = (0, 0, 0)
        self._problem = ""
        self._overdue: set[str] = set()

    async def watch(self) -> None:
        """Keep it going for ever."""
        given = self._given
        if given is None:
            return
        while True:
            try:
                self._keep(given)
                await self.look()
            except Exception as problem:  # noqa: BLE001 - copies go on to be made, and lag is told again
                self._log.failure(Event.INTERNAL_ERROR, problem)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read what it said last, and tell."""
        self._tell(*await asyncio.to_thread(self._look))

    def take(self, config: Config) -> None:
        """Hold another configuration's models to their lag; where copies go takes a restart."""
        for alias in self._config.models.keys() - config.models.keys():
            self._meter.forget("guard_audit_ship_overdue", alias)
            self._overdue.discard(alias)
        self._config = config

    async def close(self) -> None:
        """Let it ship what was sealed last, for a few seconds; a store that hangs delays the end no longer."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + LAST_SECONDS
        while process.poll() is None and loop.time() < until:  # noqa: ASYNC110 - its end comes unannounced
            await asyncio.sleep(0.02)
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # what hangs in the system ends when that lets it
                await asyncio.to_thread(process.wait, KILLED_SECONDS)
            self._log.emit(Level.WARNING, Event.SHIP_FAILED, reason="the last records have no copy yet")

    def _keep(self, given: Shipment) -> None:
        """See that it runs, and end one that says nothing any more."""
        now = self._clock.steady()
        process = self._process
        if process is not None and process.poll() is None:
            if now - self._heard >= SILENT_SECONDS:
                self._fail("it fell silent")
                process.kill()  # another is started once the system has ended it: two would wait for one lock
            return
        if now - self._restart < RESTART_SECONDS:
            return
        if process is not None:
            self._fail(f"its process ended: {ending(process.returncode)}")
            if process.stdin is not None:
                process.stdin.close()
        self._restart = self._heard = now
        self._counted = (0, 0, 0)
        self._process = _start(given)

    def _look(self) -> tuple[Status | None, int]:
        """What it said last, and when it said it (nanoseconds)."""
        try:
            said = (self._state / FOLDER / FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return None, -1
        return read_status(self._state), said

    def _tell(self, status: Status | None, said: int) -> None:
        # What stood there at first, an earlier process said.
        if said != self._seen and self._seen is not None and status is not None:
            self._heard = self._clock.steady()
            self._count(status)
        self._seen = said
        lag = max(0.0, self._clock.now() - (self._began if status is None else status.shipped_to))
        self._meter.set(self._meter.bind("guard_audit_ship_lag_seconds"), lag)
        for alias, policy in self._config.models.items():
            for mount in policy.safeguards:
                if isinstance(mount, RequestLogMount) and mount.settings.copies is not None:
                    self._judge(alias, lag, mount.settings.copies.max_lag_seconds)

    def _count(self, status: Status) -> None:
        counted = (status.bytes, status.objects, status.failures)
        names = (
            "guard_audit_shipped_bytes_total",
            "guard_audit_shipped_objects_total",
            "guard_audit_ship_failures_total",
        )
        for name, now, before in zip(names, counted, self._counted, strict=True):
            self._meter.inc(self._meter.bind(name), float(max(0, now - before)))
        self._counted = counted
        for writer, records in status.records.items():
            self._meter.set(self._meter.bind("guard_audit_shipped_records", writer), float(records))
        if status.problem:
            self._fail(status.problem)
        elif self._problem:
            self._problem = ""
            self._meter.set(self._meter.bind("guard_audit_ship_failing"), 0.0)
            self._log.emit(Level.INFO, Event.SHIPS_AGAIN)

    def _fail(self, problem: str) -> None:
        self._meter.set(self._meter.bind("guard_audit_ship_failing"), 1.0)
        if problem != self._problem:
            self._log.emit(Level.ERROR, Event.SHIP_FAILED, reason=problem)
        self._problem = problem

    def _judge(self, alias: str, lag: float, most: float) -> None:
        late = lag > most
        self._meter.set(self._meter.bind("guard_audit_ship_overdue", alias), float(late))
        if late and alias not in self._overdue:
            self._overdue.add(alias)
            self._log.emit(Level.ERROR, Event.COPIES_OVERDUE, model=alias, seconds=round(lag, 1), allowed=most)
        elif not late and alias in self._overdue:
            self._overdue.discard(alias)
            self._log.emit(Level.INFO, Event.COPIES_IN_TIME, model=alias)


def _start(given: Shipment) -> subprocess.Popen[bytes]:
    flags = ["-P", *(["-I"] if sys.flags.isolated else [])]
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "guard.serve.shipping", given.order()],
        stdin=subprocess.PIPE,
        process_group=0,
    )
