"""Bringing the request log under signed heads, and indexing it, while the guard runs: in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from guard.app import storage
from guard.audit.indexer import Indexer
from guard.audit.note import Key
from guard.audit.sealer import Round, Sealed, Sealer, logs, open_sealer
from guard.audit.segments import LedgerError, describe
from guard.audit.signing_keys import KeyRing, open_keys, public_key
from guard.policy.load import Config
from guard.policy.secret import read_secret_bytes
from guard.serve.acts import Acts
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

LAST_ROUNDS: Final = 64
GUARD: Final = "guard"


def signing_key(config: Config) -> bytes | None:
    """The log's key as the configuration gives it, None if it gives none; raises ConfigError."""
    ref = config.guard.audit.signing_key
    return None if ref is None else read_secret_bytes(ref, config.directory)


def key_ring(config: Config) -> KeyRing:
    """Open the log's keys; raises ConfigError and LedgerError."""
    state, audit = storage(config)
    return open_keys(state, audit, origin=config.guard.audit.origin, configured=signing_key(config))


def log_key(config: Config) -> Key:
    """The log's public key; raises ConfigError and LedgerError."""
    state, _ = storage(config)
    return public_key(state, origin=config.guard.audit.origin, configured=signing_key(config))


class Sealing:
    """Seals again and again; what fails is logged once, told by a metric, and tried again."""

    def __init__(
        self,
        config: Config,
        ring: KeyRing,
        durable: Callable[[], Mapping[str, int | None]],
        acts: Acts,
        meter: Meter,
        log: JsonLog,
        clock: Clock,
    ) -> None:
        """Take the keys, who says how far each log is on the disk, and where the figures and lines go."""
        self._audit: Path = storage(config)[1]
        self._settings = config.guard.audit
        self._config = config
        self._ring: KeyRing | None = ring
        self._durable = durable
        self._acts = acts
        self._meter = meter
        self._log = log
        self._clock = clock
        self._sealer: Sealer | None = None
        self._failing: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._indexer = Indexer()
        self._unindexed = ""
        self.sealed = False  # whether a round went through since the start
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "audit-seal")

    @property
    def failing(self) -> Mapping[str, str]:
        """Whose records cannot be sealed now, and why."""
        return {writer: problem for writer, problem in self._failing.items() if problem}

    async def watch(self) -> None:
        """Seal for ever."""
        while True:
            await self.seal(self._durable())
            await self.index()
            await asyncio.sleep(self._settings.checkpoint_seconds)

    async def seal(self, durable: Mapping[str, int | None]) -> bool:
        """Seal once; returns whether records on the disk are left for the next time."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._round, durable)
        except Exception as problem:  # noqa: BLE001 - the log goes on without; the metric and the line say so
            words = str(problem) if isinstance(problem, LedgerError) else _words(problem)
            self._tell("all", words)
            return False
        self._tell("all", "")
        for each in found.writers:
            self._tell(each.writer, each.problem)
            self._meter.set(self._meter.bind("guard_audit_unsealed_records", each.writer), float(each.behind))
            if self._moves(each, known=durable.get(each.writer, 0) is not None):
                since = self._meter.bind("guard_audit_sealed_timestamp_seconds", each.writer)
                self._meter.set(since, self._clock.now())
            self._sizes[each.writer] = each.size
        self.sealed = True
        if found.epoch is not None and not self._closing:  # at the end there is no log any more to record it in
            subject = f"{found.epoch.number} {found.epoch.key}"
            await self._acts.record(GUARD, "audit_epoch", subject, "the key that signs the request log from here on")
        return any(each.behind for each in found.writers)

    def _moves(self, found: Sealed, *, known: bool) -> bool:
        """Tell whether all that a writer has on the disk is sealed, or more of it than before."""
        if found.problem or not known:
            return False
        return found.behind == 0 or found.size > self._sizes.get(found.writer, 0)

    async def index(self) -> None:
        """Index what has come; without it a search is slow and no less right, so it is only logged."""
        try:
            problem = await asyncio.get_running_loop().run_in_executor(self._thread, self._index)
        except Exception as error:  # noqa: BLE001 - nothing relies on an index
            problem = str(error) if isinstance(error, LedgerError) else _words(error)
        if problem and problem != self._unindexed:
            self._log.emit(Level.WARNING, Event.INDEX_FAILED, reason=problem)
        self._unindexed = problem

    def _index(self) -> str:
        gathered = {} if self._sealer is None else self._sealer.gathered
        return self._indexer.round(logs(self._audit), gathered=gathered)

    async def close(self) -> None:
        """Seal what the ended writers left, and give everything back."""
        self._closing = True
        for _ in range(LAST_ROUNDS):
            if not await self.seal({}):
                break
        await asyncio.get_running_loop().run_in_executor(self._thread, self._shut)
        self._thread.shutdown()

    def _round(self, durable: Mapping[str, int | None]) -> Round:
        try:
            if self._sealer is None:
                ring = self._ring or key_ring(self._config)
                self._sealer = open_sealer(self._audit, ring, self._clock, self._settings.epoch_seconds)
            return self._sealer.round(durable)
        except Exception:
            # Whatever it was, begin again from what is on the disk, the chain of keys too.
            self._shut()
            self._ring = None
            raise

    def _shut(self) -> None:
        sealer, self._sealer = self._sealer, None
        if sealer is not None:
            sealer.close()

    def _tell(self, writer: str, problem: str) -> None:
        self._meter.set(self._meter.bind("guard_audit_seal_failing", writer), 1.0 if problem else 0.0)
        before = self._failing.get(writer, "")
        if problem and problem != before:
            self._log.emit(Level.ERROR, Event.SEAL_FAILED, writer=writer, reason=problem)
        elif before and not problem:
            self._log.emit(Level.INFO, Event.SEALED_AGAIN, writer=writer)
        self._failing[writer] = problem


def _words(problem: Exception) -> str:
    """What went wrong, with the file where the system names one."""
    where = f"{problem.filename}: " if isinstance(problem, OSError) and problem.filename else ""
    return f"{where}{describe(problem)}"
