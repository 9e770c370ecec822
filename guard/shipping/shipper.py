"""A round of shipping: everything that is under a signed head goes to the store, in an order that can be verified.

What a signed head covers is on the disk. Heads are read first, newest first, so that everything they speak of is there
when they are shipped, last: bodies before the leaves that refer to them, leaves and the tiles that prove them before
the heads, so that a copy alone proves all that its last head covers. Each piece counts once the store has it whole and
the cursor says so on the disk; dying anywhere ships a piece twice at most, and the second time it is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.audit.body_places import FOLDER
from guard.audit.checkpoint import Checkpoint
from guard.audit.copies import step
from guard.audit.epochs import FILE as EPOCHS
from guard.audit.heads import CHECKPOINT
from guard.audit.note import Key, Note
from guard.audit.read import FLEET
from guard.audit.sealer import logs
from guard.audit.segments import LedgerError, describe
from guard.audit.tiles import WIDTH
from guard.audit.timestamps import ANSWER, HEAD, folder, sizes
from guard.audit.timestamps import FOLDER as TIMESTAMPS
from guard.shipping.cursor import Cursor, Position
from guard.shipping.edges import edge, newest_heads
from guard.shipping.heads import read_heads, same_head, signed_head
from guard.shipping.pieces import PIECE_BYTES, Piece, bodies, body_segments, last_record, leaves, oldest, resumed, tiles
from guard.shipping.status import Status
from guard.shipping.store import ConflictError, Store, StoreError
from safeguards.ports import Clock

TILES: Final = "tile"
EDGE: Final = "edge"
HEADS: Final = "heads"
TILES_AT_ONCE: Final = 8
LEAVES_AT_ONCE: Final = 16_384  # whose tiles go, 64 and a few, before the cursor moves over them


@dataclass(slots=True)
class Counts:
    """What was done since the process began."""

    bytes: int = 0
    objects: int = 0
    failures: int = 0
    records: dict[str, int] = field(default_factory=dict)


def log_folder(key: Key) -> str:
    """The name under which all copies of one log stand: it follows from the log's key, so no two logs share one."""
    return f"log-{hashlib.sha256(str(key).encode()).hexdigest()[:16]}"


class Shipper:
    """Ships one audit folder; one process at a time does, which holds the lock. From one thread."""

    def __init__(
        self,
        audit: Path,
        key: Key,
        store: Store,
        cursor: Cursor,
        clock: Clock,
        *,
        keep_days: int | None = None,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the log's key for its name; ``told`` is called after each object.

        ``keep_days`` is for how long what is no text is locked, where the store locks.
        """
        self._audit = audit
        self._origin = key.name
        self._folder = log_folder(key)
        self._store = store
        self._cursor = cursor
        self._clock = clock
        self._keep_days = keep_days
        self._told = told
        self._lost: list[str] = []
        self.counts = Counts()

    def round(self) -> tuple[str, ...]:
        """Ship what there is; returns what is wrong with single logs, while the others went on.

        Raises StoreError when the store takes nothing now, LedgerError and OSError.
        """
        if not self._audit.is_dir():
            return ()
        heads = read_heads(self._audit)
        problems: list[str] = []
        with ThreadPoolExecutor(TILES_AT_ONCE, "ship-tiles") as pool:
            for writer, signed in heads.sizes.items():
                with self._apart(problems):
                    self._bodies(self._audit / writer)
                    self._log(self._audit / writer, signed, pool)
            if heads.fleet is not None:
                with self._apart(problems):
                    self._edges(heads.fleet, heads.sizes, pool, problems)
                with self._apart(problems):
                    self._fleet(heads.fleet, heads.epochs, pool)
        problems += self._lost
        self._lost.clear()
        return tuple(problems)

    @contextmanager
    def _apart(self, problems: list[str]) -> Iterator[None]:
        """What is wrong with one log holds up no other; a store that does not answer holds up all."""
        try:
            yield
        except (ConflictError, LedgerError, OSError, ValueError) as error:
            self.counts.failures += 1
            problems.append(words(error))

    def status(self, problem: str = "") -> Status:
        """How it stands now, the store not asked; raises LedgerError and OSError."""
        now = self._clock.now()
        counts = self.counts
        if self._audit.is_dir():
            for path in logs(self._audit):
                at = self._cursor.at(path.name)
                counts.records[path.name] = at.next - 1
                first = oldest(path, at)
                now = now if first is None else min(now, first)
        return Status(now, problem, counts.bytes, counts.objects, counts.failures, dict(counts.records))

    def _bodies(self, directory: Path) -> None:
        known = self._cursor.below(f"{directory.name}/{FOLDER}/")
        there = set()
        for path in body_segments(directory):
            source = str(path.relative_to(self._audit))
            there.add(source)
            at = known.get(source, Position())
            until = path.stat().st_size  # what is written from now on waits for the next round
            while at.offset < until and (piece := bodies(self._audit, path, at)):
                at = self._piece(source, piece, None)
        self._cursor.forget([source for source in known if source not in there])

    def _log(self, directory: Path, signed: int, pool: ThreadPoolExecutor) -> None:
        at = self._cursor.at(directory.name)
        if at.next > signed + 1:
            if last_record(directory) >= at.next - 1:
                return  # a power cut took the newest head: it will be signed again
            raise LedgerError(
                f"{directory}: {signed} records are signed, but {at.next - 1} were shipped: it was put back"
            )
        while piece := leaves(directory, at, signed):
            at = self._piece(directory.name, piece, signed)
            if piece.lost:
                self._lost.append(piece.lost)
                self.counts.failures += 1
        self._tiles(directory, signed, pool)

    def _tiles(self, directory: Path, signed: int, pool: ThreadPoolExecutor) -> None:
        source = f"{directory.name}/{TILES}"
        before = self._cursor.at(source).next - 1
        while before // WIDTH < signed // WIDTH:
            size = min(signed, (before // LEAVES_AT_ONCE + 1) * LEAVES_AT_ONCE)
            for done in [pool.submit(self._tile, directory, path) for path in tiles(before, size)]:
                self._count(done.result())
            self._cursor.move(source, Position(next=size + 1))
            before = size

    def _tile(self, directory: Path, path: str) -> int:
        return self._put_tile(directory, path, (directory / path).read_bytes())

    def _put_tile(self, directory: Path, path: str, data: bytes) -> int:
        self._store.put(f"{self._folder}/{directory.name}/{path}", data, self._keep(None))
        return len(data)

    def _edge(self, directory: Path, signed: int, head: Checkpoint, pool: ThreadPoolExecutor) -> None:
        """The partial tiles under a head that is about to be in the copy."""
        source = f"{directory.name}/{EDGE}"
        before = self._cursor.at(source).next - 1
        if not before < head.size <= signed:
            return  # it is there, or a power cut took the newest head: it will be signed again
        tiles = edge(directory, signed, head, before)
        for done in [pool.submit(self._put_tile, directory, tile.path, tile.data) for tile in tiles]:
            self._count(done.result())
        self._cursor.move(source, Position(next=head.size + 1))

    def _edges(self, fleet: Note, sizes: dict[str, int], pool: ThreadPoolExecutor, problems: list[str]) -> None:
        """The same for the last head of each writer that will be in the copy's fleet log."""
        source, directory = f"{FLEET}/{HEADS}", self._audit / FLEET
        at = self._cursor.at(source)
        newest, after = newest_heads(directory, at, signed_head(fleet, directory).size)
        for writer, signed in sizes.items():
            head = newest.get(f"{self._origin}/{writer}")
            if head is not None:
                with self._apart(problems):
                    self._edge(self._audit / writer, signed, head, pool)
        if after != at:
            self._cursor.move(source, after)

    def _fleet(self, note: Note, epochs: int, pool: ThreadPoolExecutor) -> None:
        head = signed_head(note, self._audit / FLEET)
        size = head.size
        self._log(self._audit / FLEET, size, pool)
        at = self._cursor.at(EPOCHS)
        path = self._audit / EPOCHS
        while at.offset < epochs:
            with path.open("rb") as file:
                file.seek(at.offset)
                data = file.read(min(PIECE_BYTES, epochs - at.offset))
            name = step(EPOCHS, at.offset)
            at = self._piece(EPOCHS, Piece(name, path, at.offset, data, Position("", at.offset + len(data))), None)
        source = f"{FLEET}/{CHECKPOINT}"
        if size > self._cursor.at(source).next - 1:
            self._edge(self._audit / FLEET, size, head, pool)
            try:
                self._store.put(f"{self._folder}/{step(source, size)}", note.encode(), self._keep(None))
            except ConflictError as conflict:
                if not same_head(conflict.existing, note):
                    raise
            self._count(len(note.encode()))
            self._cursor.move(source, Position(next=size + 1))
        self._timestamps(size)

    def _timestamps(self, signed: int) -> None:
        """The time stamps over heads that the copy covers by now, each with its head first."""
        source = f"{FLEET}/{TIMESTAMPS}"
        before = self._cursor.at(source).next - 1
        for size in (each for each in sizes(self._audit) if before < each <= signed):
            for suffix in (HEAD, ANSWER):
                path = folder(self._audit) / f"{size:020}{suffix}"
                data = path.read_bytes()
                self._store.put(f"{self._folder}/{path.relative_to(self._audit)}", data, self._keep(None))
                self._count(len(data))
            self._cursor.move(source, Position(next=size + 1))

    def _piece(self, source: str, piece: Piece, signed: int | None) -> Position:
        """Store a piece and move the cursor; of one that is there already, cut otherwise, go on after it."""
        after, size = piece.after, len(piece.data)
        try:
            self._store.put(f"{self._folder}/{piece.name}", piece.data, self._keep(piece.keep))
        except ConflictError as conflict:
            found = resumed(piece, conflict.existing, signed)
            if found is None:
                raise
            after, size = found, 0
        self._cursor.move(source, after)
        self._count(size)
        return after

    def _count(self, size: int) -> None:
        self.counts.bytes += size
        self.counts.objects += 1
        self._told()

    def _keep(self, day: date | None) -> date | None:
        """Until when the store is to lock it: a text by its class, everything else by the days that were set.

        What is shipped after its time is over is not locked; S3 takes no day gone by.
        """
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        if day is None and self._keep_days is not None:
            day = today + timedelta(days=1 + self._keep_days)
        return day if day is not None and day > today else None


def words(error: Exception) -> str:
    """What went wrong, with the file where the system names one."""
    if isinstance(error, StoreError | LedgerError | ValueError):
        return str(error)
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{where}{describe(error)}"
