"""What of the log's folder is to be shipped next, cut into pieces that become objects.

A piece of leaves is whole frames up to the last signed record, named as a segment of its own: a log may be cut into
segments anywhere, so `guard audit verify` reads a copy as it reads the log. A piece of bodies is bytes of a segment,
named by the segment and the offset, because leaves refer to bodies by their place; joined in order they are the
segment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from guard.audit.body_places import folders
from guard.audit.copies import step
from guard.audit.frames import Scanner
from guard.audit.records import RecordError, decode
from guard.audit.retention import ends
from guard.audit.segments import CHUNK, LedgerError, SegmentReader, first_of, listing, name, pass_damage
from guard.audit.tiles import HEIGHT, TileError, TileReader, tile_path
from guard.audit.tree import VOID
from guard.shipping.cursor import Position

PIECE_BYTES: Final = 8 * 1024 * 1024
_PEEK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Piece:
    """An object to be: its name, where its bytes stand, and how far its source is once it is stored.

    ``lost`` says which records before it cannot be read any more; ``keep`` is the first day on which it may go.
    """

    name: str
    path: Path
    offset: int
    data: bytes
    after: Position
    lost: str = ""
    keep: date | None = None


def leaves(directory: Path, at: Position, signed: int) -> Piece | None:
    """The leaves that follow, up to the record ``signed``; raises LedgerError and OSError."""
    for path, begin, number in _following(directory, at):
        if number > signed:
            return None
        offset, first = begin, number
        data, end, following = _frames(path, offset, first, signed)
        if not data:
            # All that was signed was whole, so what is no record here is damage, and what stands behind it goes.
            offset, first = _behind(path, offset, first)
            data, end, following = _frames(path, offset, first, signed)
        if data:
            after = Position(path.name, end, following)
            return Piece(
                f"{directory.name}/{name(first)}",
                path,
                offset,
                data,
                after,
                # Without a cursor nothing is known of what was there before.
                _lost(directory, at.next, first, signed) if at.segment else "",
            )
    return None


def oldest(directory: Path, at: Position) -> float | None:
    """When the first record that follows was written (seconds since the epoch), signed or not; None if none does."""
    for path, offset, first in _following(directory, at):
        scanner = Scanner(first)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                while data := file.read(_PEEK):
                    for frame in scanner.feed(data):
                        try:
                            return decode(frame.kind, frame.payload).time
                        except RecordError:
                            return path.stat().st_mtime
        except FileNotFoundError:
            continue
    return None


def last_record(directory: Path) -> int:
    """The number of the last whole record that is there, 0 without any; raises OSError."""
    for path in reversed(listing(directory)):
        number = 0
        for frame in SegmentReader(path, passing=True).read():
            number = frame.sequence
        if number:
            return number
    return 0


def resumed(piece: Piece, existing: bytes, signed: int | None) -> Position | None:
    """How far the source is if the store has ``existing`` under the piece's name: cut elsewhere, but the same bytes.

    So it is when the cursor was lost, or never written after a piece was. None if it is something else. Raises OSError.
    """
    with piece.path.open("rb") as file:
        file.seek(piece.offset)
        if not existing or file.read(len(existing)) != existing:
            return None
    end = piece.offset + len(existing)
    if signed is None:
        return Position(piece.after.segment, end)
    scanner = Scanner(first_of(Path(piece.name)))
    frames = scanner.feed(existing)
    if scanner.offset != len(existing) or frames[-1].sequence > signed:
        return None
    return Position(piece.after.segment, end, frames[-1].sequence + 1)


def body_segments(directory: Path) -> Iterator[Path]:
    """The segments of bodies of one writer, by class and day."""
    for folder, known in folders(directory):
        yield from listing(folder) if known else ()


def bodies(audit: Path, path: Path, at: Position) -> Piece | None:
    """The bytes of a segment of bodies that follow, synced first: only what is on the disk goes. Raises OSError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= at.offset:
                return None
            os.fdatasync(file.fileno())
            file.seek(at.offset)
            data = file.read(PIECE_BYTES)
    except FileNotFoundError:
        return None
    return Piece(
        step(str(path.relative_to(audit)), at.offset),
        path,
        at.offset,
        data,
        Position("", at.offset + len(data)),
        keep=ends(path.parent.parent.name, path.parent.name),
    )


def tiles(before: int, size: int) -> Iterator[str]:
    """The paths of the full tiles that a tree of ``size`` leaves has and one of ``before`` had not.

    The partial ones are those of `edges`.
    """
    level = 0
    while whole := size >> HEIGHT * (level + 1):
        for index in range(before >> HEIGHT * (level + 1), whole):
            yield tile_path(level, index)
        level += 1


def _following(directory: Path, at: Position) -> Iterator[tuple[Path, int, int]]:
    """Where what follows may stand: segments from the position on, with the offset and record to go on at."""
    # Listed before reading: whatever is not the newest now gets no more bytes, so that its end may be passed.
    for path in listing(directory):
        if path.name == at.segment:
            yield path, at.offset, at.next
        elif path.name > at.segment:
            first = first_of(path)
            if first < at.next:
                raise LedgerError(f"{path}: begins at record {first} again, though there were {at.next - 1} before it")
            yield path, 0, first


def _frames(path: Path, offset: int, first: int, signed: int) -> tuple[bytes, int, int]:
    """Whole frames of about a piece: their bytes, where they end in the file, and the record that follows."""
    scanner, raw, size, following = Scanner(first), bytearray(), 0, first
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while size < PIECE_BYTES and following <= signed and (data := file.read(CHUNK)):
                raw += data
                for frame in scanner.feed(data):
                    if frame.sequence > signed:
                        break
                    size, following = frame.offset + frame.size, frame.sequence + 1
    except FileNotFoundError:
        pass  # a segment that could not be begun is removed again
    return bytes(raw[:size]), offset + size, following


def _behind(path: Path, offset: int, first: int) -> tuple[int, int]:
    """Where the next whole record stands behind what is none, and which it is; the same place if none does."""
    scanner = Scanner(first, offset)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while data := file.read(CHUNK):
                if scanner.feed(data):
                    return offset, first
        found = pass_damage(path, scanner)
    except FileNotFoundError:
        return offset, first
    return (offset, first) if found is None else (found[1].offset, found[1].expected)


def _lost(directory: Path, expected: int, first: int, signed: int) -> str:
    """Which records before ``first`` were signed and are not there; a number that was never used is no loss."""
    if expected >= first:
        return ""
    tree = TileReader(directory, signed)
    for sequence in range(expected, first):
        try:
            if tree.leaf(sequence - 1) == VOID:
                continue
        except TileError as error:
            return f"{directory}: records {expected} to {first - 1} are not there ({error})"
        return f"{directory}: records {sequence} to {first - 1} are gone and were never shipped"
    return ""
