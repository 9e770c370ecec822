"""One log's tree as it grows: from its segments to its tiles, and on from the last head that was signed."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.copies import newest
from guard.audit.leaf_reader import Leaves, SealError
from guard.audit.note import MAX_NOTE_BYTES, Key, Note, NoteError, parse_note, signed_by
from guard.audit.repair import mend_tiles
from guard.audit.segments import describe
from guard.audit.tiles import WIDTH, TileError, TileReader, TileWriter, split, tile_width, write_atomically
from guard.audit.tree import VOID

CHECKPOINT: Final = "checkpoint"
BUDGET_BYTES: Final = 32 * 1024 * 1024
MAX_UNSIGNED: Final = 1_000_000


def read_head(directory: Path) -> Note | None:
    """The last signed head of a log, or of a copy of one, nothing of it checked; None without any. Raises SealError."""
    path = newest(directory / CHECKPOINT)
    try:
        with path.open("rb") as file:
            return parse_note(file.read(MAX_NOTE_BYTES + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SealError(f"{path}: {describe(error)}") from error
    except NoteError as error:
        raise SealError(f"{path}: {error}") from None


def trusted_head(note: Note, origin: str, key: Key, place: object) -> Checkpoint:
    """The head in a note that this key signed for this log; raises SealError that names the place."""
    try:
        if not signed_by(note, key):
            raise SealError(f"{place}: not signed by the key of {key.name}")
        head = parse_checkpoint(note.text)
    except NoteError as error:
        raise SealError(f"{place}: {error}") from None
    if head.origin != origin:
        raise SealError(f"{place}: the head of {head.origin}, not of {origin}")
    return head


class GrowingLog:
    """The tree of one writer's directory; ``head`` is what may be signed next and ``signed`` what was."""

    def __init__(self, directory: Path, origin: str, key: Key, floor: Checkpoint | None = None) -> None:
        """Go on from what is on disk; ``floor`` is a head known to have been signed. Raises SealError and OSError."""
        self.directory = directory
        self.origin = origin
        self._floor = floor
        note = read_head(directory)
        place = directory / CHECKPOINT
        self.signed = Checkpoint(origin, 0, b"") if note is None else trusted_head(note, origin, key, place)
        size = self.signed.size
        self._tree = self._restore(size)
        # From here on what was signed is only compared: a log that was changed or rolled back is not signed on.
        self._known = TileReader(directory, size)
        self._leaves = Leaves(directory, size - size % WIDTH + 1)
        self._waiting: deque[tuple[int, bytes]] = deque()
        self.flushed = True

    @property
    def head(self) -> Checkpoint:
        """The head of what was taken in."""
        return Checkpoint(self.origin, self._tree.size, self._tree.root())

    @property
    def newest(self) -> Checkpoint:
        """The newest head that was signed, also where its own file was lost in a crash just after."""
        return self._floor if self._floor is not None and self._floor.size > self.signed.size else self.signed

    @property
    def damage(self) -> str:
        """Where the log was found damaged, though records behind it can be read and are taken in; empty if nowhere."""
        return self._leaves.damage

    @property
    def size(self) -> int:
        """How many records were taken in."""
        return self._tree.size

    def advance(self, durable: int | None) -> int:
        """Take in what is on the disk up to the record ``durable``, or all there is when nobody writes here (None).

        Reads about 32 MiB at most; returns how many records are known to be durable and not taken in yet. Raises
        SealError when records differ from what was signed, and OSError.
        """
        if durable is not None and durable < self.signed.size:
            raise SealError(f"{self.directory}: ends at record {durable}, but {self.signed.size} were signed")
        if len(self._waiting) < MAX_UNSIGNED:
            try:
                self._take(self._leaves.read(BUDGET_BYTES))
            except TileError as error:
                raise SealError(str(error)) from None
        if durable is None and self._waiting:
            self._leaves.sync()
            durable = self._waiting[-1][0]
        upto = self.size if durable is None else durable
        while self._waiting and self._waiting[0][0] <= upto:
            self._tree.append(self._waiting[0][1])
            self._waiting.popleft()
            self.flushed = False
            if self._floor is not None and self.size == self._floor.size:
                if self._tree.root() != self._floor.root:
                    raise SealError(f"{self.directory}: the first {self.size} records are not those that were signed")
                self._floor = None
        return max(0, upto - self.size)

    def flush(self, now: float) -> None:
        """Write the partial tiles, so that proofs can be made for this head (steady seconds); raises OSError."""
        if not self.flushed:
            self._tree.flush(now)
            self.flushed = True
        self._tree.settle(now)

    def close(self) -> None:
        """Put on the disk what is not there yet; raises OSError."""
        self._tree.settle()

    def signed_as(self, note: Note, head: Checkpoint) -> None:
        """Put the signed head in its place; raises OSError."""
        self.signed = head
        write_atomically(self.directory / CHECKPOINT, note.encode(), durable=False)

    def _take(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        for sequence, leaf in leaves:
            if sequence > self.size:
                self._waiting.append((sequence, leaf))
            elif sequence <= self._known.size and leaf not in {VOID, self._known.leaf(sequence - 1)}:
                raise SealError(f"{self.directory}: record {sequence} is not the one that was signed")

    def _restore(self, size: int) -> TileWriter:
        """The tree of the signed size: from its tiles, or from the records where a power cut took the youngest."""
        problem = f"{self.directory}: neither tiles nor records give the root that was signed for {size} records"
        for tail in (self._tail_of_tiles, self._tail_of_records, self._tail_of_mended):
            with contextlib.suppress(TileError, ValueError):
                tree = TileWriter(self.directory, size, tail(size))
                if size == 0 or tree.root() == self.signed.root:
                    tree.flush()
                    return tree
        raise SealError(problem)

    def _tail_of_tiles(self, size: int) -> list[bytes]:
        index = size // WIDTH
        if tile_width(0, index, size) < 1:
            return []
        return split(TileReader(self.directory, size).hashes(0, index))

    def _tail_of_mended(self, size: int) -> list[bytes]:
        mend_tiles(self.directory, size)
        return self._tail_of_records(size)

    def _tail_of_records(self, size: int) -> list[bytes]:
        leaves = Leaves(self.directory, size - size % WIDTH + 1)
        return [leaf for sequence, leaf in leaves.read(2**62) if sequence <= size]
