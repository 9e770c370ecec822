"""How far each part of the log has been shipped, durably: a small SQLite file in the folder of state.

Losing it loses nothing: what is shipped again is compared with what is there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.directory import prepare
from guard.audit.segments import LedgerError, describe

FOLDER: Final = "shipping"
BUSY_SECONDS: Final = 5.0
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS shipped"
    " (source TEXT PRIMARY KEY, segment TEXT NOT NULL, offset INTEGER NOT NULL, next INTEGER NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Position:
    """What is shipped of one source: up to byte ``offset`` of ``segment``; ``next`` is the record that comes next.

    A source that is one file has no ``segment``; one that is a tree has the number of its leaves as ``next`` less one.
    """

    segment: str = ""
    offset: int = 0
    next: int = 1


class Cursor:
    """The positions of all sources; one process writes, others may read. Every method raises LedgerError."""

    def __init__(self, state: Path, target: str) -> None:
        """Open it, or begin at nothing; each target, which is where copies go, has its own."""
        self._path = state / FOLDER / f"cursor-{hashlib.sha256(target.encode()).hexdigest()[:16]}.sqlite"
        try:
            prepare(self._path.parent)
        except OSError as error:
            raise LedgerError(f"{self._path.parent}: {describe(error)}") from error
        with self._open() as database:
            database.execute(_TABLE)

    def at(self, source: str) -> Position:
        """How far this source is."""
        with self._open() as database:
            row = database.execute("SELECT segment, offset, next FROM shipped WHERE source = ?", (source,)).fetchone()
        return Position() if row is None else Position(*row)

    def below(self, prefix: str) -> dict[str, Position]:
        """How far every source is whose name begins so."""
        with self._open() as database:
            rows = database.execute(
                "SELECT source, segment, offset, next FROM shipped WHERE substr(source, 1, ?) = ?",
                (len(prefix), prefix),
            ).fetchall()
        return {source: Position(*rest) for source, *rest in rows}

    def move(self, source: str, to: Position) -> None:
        """Put it on the disk."""
        with self._open() as database:
            database.execute(
                "INSERT INTO shipped VALUES (?, ?, ?, ?) ON CONFLICT (source) DO UPDATE"
                " SET segment = excluded.segment, offset = excluded.offset, next = excluded.next",
                (source, to.segment, to.offset, to.next),
            )

    def forget(self, sources: list[str]) -> None:
        """Let go of sources whose files are gone."""
        with self._open() as database:
            database.executemany("DELETE FROM shipped WHERE source = ?", [(source,) for source in sources])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database, database:
                database.execute("PRAGMA synchronous = FULL")
                yield database
        except sqlite3.Error as error:
            hint = "; without it, everything is compared with the copies once more"
            raise LedgerError(f"{self._path}: {error}{hint}") from None
