"""The right edge of a log's tree: the partial tiles that the newest shipped head needs, so that a copy alone proves it.

Full tiles lag behind a head by up to 255 records, or by 65,535 hashes of the level above. A partial tile is the
beginning of the full one that will stand there, so it can be cut from any wider one, and it never changes either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.fleet import HEAD_KIND, NEWEST
from guard.audit.frames import scan
from guard.audit.note import NoteError, parse_note
from guard.audit.segments import LedgerError, first_of, listing
from guard.audit.tiles import HEIGHT, WIDTH, TileError, TileReader, tile_path
from guard.audit.tree import HASH_BYTES, root
from guard.shipping.cursor import Position
from guard.shipping.pieces import leaves


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile as a copy has it: its path below the log's folder, and its hashes."""

    path: str
    data: bytes


def edge(directory: Path, signed: int, head: Checkpoint, before: int) -> tuple[Tile, ...]:
    """The partial tiles of a tree with this head that one of ``before`` leaves had not.

    ``signed`` is how many leaves the tiles in the directory are for, at least as many as the head's. What they hold is
    shipped for good, so it is held to the head first; raises LedgerError where it differs or is not there.
    """
    there = set(_partial(before))
    wanted = [each for each in _partial(head.size) if each not in there]
    reader = TileReader(directory, signed)
    try:
        if wanted and root(head.size, reader.node) != head.root:
            raise LedgerError(f"{directory}: its tiles do not give the root that was signed for {head.size} records")
        return tuple(
            Tile(tile_path(level, index, width), reader.hashes(level, index)[: width * HASH_BYTES])
            for level, index, width in wanted
        )
    except TileError as error:
        raise LedgerError(str(error)) from None


def newest_heads(fleet: Path, at: Position, size: int) -> tuple[dict[str, Checkpoint], Position]:
    """The last head of each log among the records of the fleet log that follow, up to ``size``, and where they end.

    Nothing is checked: a copy holds what the log holds. From nothing on, only the last segments are looked through, as
    sealing does. Raises LedgerError and OSError.
    """
    heads: dict[str, Checkpoint] = {}
    if not at.segment:
        at = _recent(fleet)
    while piece := leaves(fleet, at, size):
        for frame in scan(piece.data).frames:
            if frame.kind == HEAD_KIND:
                try:
                    head = parse_checkpoint(parse_note(frame.payload).text)
                except NoteError:
                    continue  # verification names it
                heads[head.origin] = head
        at = piece.after
    return heads, at


def _recent(fleet: Path) -> Position:
    for path in listing(fleet)[-NEWEST:]:
        return Position(path.name, 0, first_of(path))
    return Position()


def _partial(size: int) -> Iterator[tuple[int, int, int]]:
    """Level, index and width of the tiles of such a tree that are not full."""
    level = 0
    while count := size >> HEIGHT * level:
        if count % WIDTH:
            yield level, count // WIDTH, count % WIDTH
        level += 1
