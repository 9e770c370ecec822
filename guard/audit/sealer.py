"""Sealing: every second the heads of all writers' trees are signed and put into the fleet log.

It is the supervisor's work. Workers, who read what callers send, neither hold the keys nor spend time on hashes; what
they wrote is read back from their segments once it is durable, so a head never covers what a power cut could take.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint
from guard.audit.epochs import Epoch
from guard.audit.fleet import FleetLog, last_heads
from guard.audit.gathering import Gathered
from guard.audit.heads import CHECKPOINT, GrowingLog, read_head
from guard.audit.leaf_reader import SealError
from guard.audit.note import Note
from guard.audit.read import FLEET, writers
from guard.audit.segments import LedgerError, describe, listing
from guard.audit.signing_keys import KeyRing
from guard.audit.tiles import write_atomically
from safeguards.ports import Clock

REOPEN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sealed:
    """How far one writer is sealed: records under its signed head, durable ones that are not, and what is wrong."""

    writer: str
    size: int
    behind: int
    problem: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: the state of every writer, the fleet log's head, and the epoch that began, if one did."""

    writers: tuple[Sealed, ...]
    fleet: Note | None
    epoch: Epoch | None


class Sealer:
    """Seals the logs below one audit folder; every method from one thread at a time, none of them on an event loop."""

    def __init__(self, audit: Path, ring: KeyRing, clock: Clock, epoch_seconds: float) -> None:
        """Open the fleet log; raises LedgerError and OSError."""
        self._audit = audit
        self._ring = ring
        self._clock = clock
        self._epoch_seconds = epoch_seconds
        self._turned = clock.steady()
        # The newest heads that are known to have been signed: no log is sealed on that has less.
        self._floors = {head.origin: head for head in ring.heads}
        begun = self._floors.get(ring.origin, Checkpoint(ring.origin, 0, b""))
        for head in last_heads(audit, ring.log.key, begun.size).values():
            self._raise_floor(head)
        if (kept := ring.kept()) is not None:
            self._raise_floor(kept)
        self._fleet = FleetLog(audit)
        try:
            self._heads = self._fleet_heads()
            self._raise_floor(self._heads.newest)
        except BaseException:
            self._fleet.close()
            raise
        self._logs: dict[str, GrowingLog] = {}
        self.gathered: dict[str, Gathered] = {}  # by the writer's name: what was read, for the indexes
        self._problems: dict[str, tuple[float, str]] = {}
        self._head = read_head(self._fleet.directory)

    def round(self, durable: Mapping[str, int | None]) -> Round:
        """Sign what is new; raises LedgerError and OSError for the keys and the fleet log, never for one writer.

        ``durable`` says how far the log of each running writer is on the disk, None while that is not known yet. A
        directory that it does not name has no writer, and all of it is sealed.
        """
        found: list[Sealed] = []
        grown: list[tuple[GrowingLog, Checkpoint]] = []
        names = [path.name for path in logs(self._audit)]
        for name in names:
            self._open(name)
        epoch = self._turn() if self._due() else None
        if self._head is None:
            self._begin_fleet()
        for name in names:
            log = self._logs.get(name)
            behind = 0
            if log is not None and not (name in durable and durable[name] is None):
                behind = self._advance(name, log, durable.get(name))
                if name in self._logs and log.size > log.signed.size and log.size >= log.newest.size:
                    grown.append((log, log.head))
            _, problem = self._problems.get(name, (0.0, ""))
            problem = problem or (log.damage if log is not None else "")
            found.append(Sealed(name, log.signed.size if log else 0, behind, problem))
        found += self._missing(names)
        if grown:
            notes = [self._ring.sign(head.text()) for _, head in grown]
            # First the fleet log: a head that only its writer's own folder knows could be taken back with it.
            self._fleet.append(notes)
            for (log, head), note in zip(grown, notes, strict=True):
                log.signed_as(note, head)
                self._floors[head.origin] = head
            self._seal_fleet()
        sizes = {log.directory.name: log.signed.size for log, _ in grown}
        states = tuple(
            Sealed(each.writer, sizes.get(each.writer, each.size), each.behind, each.problem) for each in found
        )
        return Round(states, self._head, epoch)

    def close(self) -> None:
        """Sync the youngest tiles and give the fleet log back."""
        for log in (*self._logs.values(), self._heads):
            with contextlib.suppress(OSError):  # they follow from the records
                log.close()
        self._fleet.close()

    def _due(self) -> bool:
        # The steady clock too: a wall clock that was set back must not stretch an epoch.
        return (
            self._ring.due(self._clock.now(), self._epoch_seconds)
            or self._clock.steady() - self._turned >= self._epoch_seconds
        )

    def _turn(self) -> Epoch:
        # Also of logs that are in trouble or gone: what was signed of them is not forgotten with an epoch.
        own = self._ring.origin
        heads = [head for origin, head in sorted(self._floors.items()) if origin != own]
        heads += [self._floors[own]] if own in self._floors else []
        epoch = self._ring.turn(self._clock.now(), tuple(head for head in heads if head.size))
        self._turned = self._clock.steady()
        return epoch

    def _open(self, name: str) -> None:
        if name in self._logs:
            return
        since, _ = self._problems.get(name, (float("-inf"), ""))
        if self._clock.steady() - since < REOPEN_SECONDS:
            return
        origin = f"{self._ring.origin}/{name}"
        try:
            floor, gathered = self._floors.get(origin), Gathered()
            self._logs[name] = GrowingLog(self._audit / name, origin, self._ring.log.key, floor, gathered)
            self.gathered[name] = gathered
        except (SealError, OSError) as error:
            self._trouble(name, error)
        else:
            self._problems.pop(name, None)
            self._raise_floor(self._logs[name].newest)

    def _advance(self, name: str, log: GrowingLog, durable: int | None) -> int:
        try:
            behind = log.advance(durable)
            log.flush(self._clock.steady())
        except SealError as error:
            del self._logs[name], self.gathered[name]
            self._trouble(name, error)
        except OSError as error:
            self._trouble(name, error)
        else:
            self._problems.pop(name, None)
            return behind
        return 0

    def _trouble(self, name: str, error: SealError | OSError) -> None:
        words = str(error) if isinstance(error, LedgerError) else f"{self._audit / name}: {describe(error)}"
        self._problems[name] = (self._clock.steady(), words)

    def _raise_floor(self, head: Checkpoint) -> None:
        known = self._floors.get(head.origin)
        if known is None or head.size > known.size:
            self._floors[head.origin] = head

    def _fleet_heads(self) -> GrowingLog:
        """The fleet log's own tree; raises SealError where that was cut, or put back, or has lost its head."""
        place, ring = self._fleet.directory, self._ring
        floor = self._floors.get(ring.origin)
        size = 0 if floor is None else floor.size
        if self._fleet.durable < size:
            raise SealError(
                f"{place}: ends at entry {self._fleet.durable}, but {size} were signed; put it back, or, to begin "
                f"another log, move the whole audit folder and {ring.fleet_head} away"
            )
        if ring.number > 0 and read_head(place) is None:
            raise SealError(f"{place / CHECKPOINT} is missing, and a fleet log is never without it: put it back")
        return GrowingLog(place, ring.origin, ring.log.key, floor)

    def _missing(self, names: list[str]) -> Iterator[Sealed]:
        """Whose whole folder is gone, though records of it were signed."""
        for origin, head in self._floors.items():
            name = origin.removeprefix(self._ring.origin).removeprefix("/")
            if name and name not in names and head.size:
                yield Sealed(name, 0, 0, f"{self._audit / name}: the whole log is missing, but {head.size} were signed")

    def _begin_fleet(self) -> None:
        """Sign the empty fleet log, before any head goes into it: from then on it is never without a head."""
        self._head = self._ring.sign(self._heads.head.text())
        write_atomically(self._fleet.directory / CHECKPOINT, self._head.encode(), durable=True)

    def _seal_fleet(self) -> None:
        while self._heads.advance(self._fleet.durable):
            continue
        self._heads.flush(self._clock.steady())
        head = self._heads.head
        self._head = self._ring.sign(head.text())
        self._heads.signed_as(self._head, head)
        self._floors[head.origin] = head
        self._ring.keep(self._head)


def logs(audit: Path) -> list[Path]:
    """The folders that hold a writer's log, or held one that was signed; raises LedgerError."""
    return [path for path in writers(audit) if listing(path) or (path / CHECKPOINT).exists()]


def open_sealer(audit: Path, ring: KeyRing, clock: Clock, epoch_seconds: float) -> Sealer:
    """Open everything sealing needs; raises LedgerError alone."""
    try:
        return Sealer(audit, ring, clock, epoch_seconds)
    except OSError as error:
        raise LedgerError(f"{error.filename or os.fspath(audit / FLEET)}: {describe(error)}") from error
