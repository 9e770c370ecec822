"""One log's tree as it grows: from its segments to its tiles, and on from the last head that was signed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.copies import newest
from guard.audit.gathering import Gathered
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

    def __init__(
        self,
        directory: Path,
        origin: str,
        key: Key,
        floor: Checkpoint | None = None,
        gathered: Gathered | None = None,
    ) -> None:
        """Go on from what is on disk; ``floor`` is a head known to have been signed. Raises SealError and OSError.

        ``gathered`` gets what the index wants of the segments that are read here.
        """
        self.directory = directory
        self.origin = origin
        note = read_head(directory)
        place = directory / CHECKPOINT
        self.signed = Checkpoint(origin, 0, b"") if note is None else trusted_head(note, origin, key, place)
        size = self.signed.size
        self._floor = floor if floor is not None and floor.size > size else None
        self._tree = self._restore(size)
        # From here on what was signed is only compared: a log that was changed or rolled back is not signed on.
        self._known = TileReader(directory, size)
        self._leaves = Leaves(directory, size - size % WIDTH + 1, gathered)
        self._waiting: list[bytes] = []  # the leaves that follow the tree's
        self.flushed = True

    @property
    def head(self) -> Checkpoint:
        """The head of what was taken in."""
        return Checkpoint(self.origin, self._tree.size, self._tree.root())

    @property
    def newest(self) -> Checkpoint:
        """The newest head that was signed, also where its own file was lost in a crash just after."""
        return self.signed if self._floor is None else self._floor

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
        SealError when records differ from what was signed, or there are fewer, and OSError. Until the log has reached
        `newest` its head is not one to be signed.
        """
        before = self._leaves.next
        if durable is not None and durable < self.newest.size:
            raise SealError(f"{self.directory}: ends at record {durable}, but {self.newest.size} were signed")
        if len(self._waiting) < MAX_UNSIGNED:
            try:
                self._take(self._leaves.runs(BUDGET_BYTES))
            except TileError as error:
                raise SealError(str(error)) from None
        if durable is None and self._waiting:
            self._leaves.sync()
            durable = self.size + len(self._waiting)
        upto = self.size if durable is None else durable
        if self._floor is not None and self.size < self._floor.size <= upto:
            self._append(self._floor.size)
            if self.size == self._floor.size:
                if self._tree.root() != self._floor.root:
                    raise SealError(f"{self.directory}: the first {self.size} records are not those that were signed")
                self._floor = None
        self._append(upto)
        if self._floor is None:
            return max(0, upto - self.size)
        if durable is None and self._leaves.next == before:
            raise SealError(f"{self.directory}: ends at record {self.size}, but {self._floor.size} were signed")
        return max(upto, self._floor.size) - self.size

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

    def _append(self, upto: int) -> None:
        """Take what waits into the tree up to this record; raises OSError."""
        before = self.size
        some = self._waiting[: max(0, upto - before)]
        if some:
            self.flushed = False
            try:
                self._tree.extend(some)
            finally:
                del self._waiting[: self.size - before]

    def _take(self, runs: Iterable[tuple[int, list[bytes]]]) -> None:
        for first, leaves in runs:
            known = self.size + 1 - first  # of the first run only: `Leaves` begins with the tree's last tile
            for sequence, leaf in enumerate(leaves[: max(0, known)], first):
                if sequence <= self._known.size and leaf not in {VOID, self._known.leaf(sequence - 1)}:
                    raise SealError(f"{self.directory}: record {sequence} is not the one that was signed")
            self._waiting += leaves[known:] if known > 0 else leaves

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
