"""The leaves of one writer's directory, read in order from its segments as they grow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guard.audit.frames import End, Scanner
from guard.audit.gathering import Gathered
from guard.audit.segments import CHUNK, LedgerError, Lost, describe, first_of, listing, pass_damage
from guard.audit.tree import VOID, leaf_hash

_MOST_VOID: Final = 65_536  # leaves at once of sequences that no record has


class SealError(LedgerError):
    """What is on the disk is not what was signed, or cannot be signed; the message names the place."""


class Leaves:
    """Reads from the segment that holds the record ``first`` on; ``next`` is the sequence that comes next.

    A segment that a later one follows is synced before its end is passed: whoever wrote it may have been killed.
    """

    def __init__(self, directory: Path, first: int = 1, gathered: Gathered | None = None) -> None:
        """Begin with the record of this sequence; ``gathered`` is told of every frame that is read on the way."""
        self._directory = directory
        self._gathered = gathered
        self.next = first
        self._path: Path | None = None
        self._scanner = Scanner()
        self._position = 0
        self._searched: tuple[Path, int] | None = None
        self.damage = ""  # where records that can be read follow such that cannot

    def read(self, budget: int) -> Iterator[tuple[int, bytes]]:
        """What came since the last call, as sequence and leaf; otherwise as `runs`."""
        for first, leaves in self.runs(budget):
            yield from enumerate(leaves, first)

    def runs(self, budget: int) -> Iterator[tuple[int, list[bytes]]]:
        """What came since the last call: leaves that follow one another, with the sequence of the first.

        It ends when about ``budget`` bytes are read. Raises SealError when a later segment writes records again that
        were read already, or when what was read of one was cut off; OSError when the disk fails.
        """
        # Listed before reading: whatever is not the newest now gets no more bytes.
        paths = [path for path in listing(self._directory) if self._path is None or path.name >= self._path.name]
        if self._path is None:
            paths = paths[max(0, sum(first_of(path) <= self.next for path in paths) - 1) :]
        for at, path in enumerate(paths):
            if self._path != path:
                yield from self._enter(path)
            while budget > 0:
                data = self._chunk(path)
                budget -= len(data)
                frames = self._scanner.feed(data)
                if self._gathered is not None and frames:
                    self._gathered.take(frames)
                fresh = [leaf_hash(frame.kind, frame.payload) for frame in frames if frame.sequence >= self.next]
                if fresh:
                    self.next = frames[-1].sequence + 1
                    yield self.next - len(fresh), fresh
                if not data:
                    lost = self._pass(path, sealed=at + 1 < len(paths))
                    if lost is None:
                        break
                    yield from self._void(lost.last + 1)
            if budget <= 0:
                return
            if at + 1 < len(paths):
                _sync(path)

    def sync(self) -> None:
        """Make durable what was read; raises OSError."""
        if self._path is not None:
            _sync(self._path)

    def _enter(self, path: Path) -> Iterator[tuple[int, list[bytes]]]:
        first = first_of(path)
        if self._path is not None and first < self.next:
            raise SealError(f"{path}: begins at record {first} again, though there were {self.next - 1} before it")
        self._path, self._scanner, self._position = path, Scanner(first), 0
        if self._gathered is not None:
            self._gathered.begin(path)
        yield from self._void(first)

    def _void(self, until: int) -> Iterator[tuple[int, list[bytes]]]:
        while self.next < until:
            count = min(until - self.next, _MOST_VOID)
            self.next += count
            yield self.next - count, [VOID] * count

    def _pass(self, path: Path, *, sealed: bool) -> Lost | None:
        """Go on behind damage, if whole records follow it; what it took has no leaf, as a number that is not used."""
        if self._searched == (path, self._position) or (self._scanner.end is End.TORN and not sealed):
            return None
        try:
            found = pass_damage(path, self._scanner)
        except FileNotFoundError:
            return None
        if found is None:
            self._searched = path, self._position
            return None
        lost, self._scanner = found
        self._position = self._scanner.offset
        self.damage = self.damage or f"{path}: is damaged at byte {lost.offset}, record {lost.first} ({lost.end.value})"
        return lost

    def _chunk(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                # A torn tail that a start set aside was never taken in; any other byte that is gone was.
                if (size := os.fstat(file.fileno()).st_size) < self._scanner.offset:
                    raise SealError(f"{path}: was cut to {size} bytes, though {self._scanner.offset} were read")
                file.seek(self._position)
                data = file.read(CHUNK)
        except FileNotFoundError:
            return b""  # a segment that could not be begun is removed again
        self._position += len(data)
        return data


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        raise SealError(f"{path}: {describe(error)}") from error
    finally:
        os.close(descriptor)
