"""Making a log's tiles anew from its records, where the records are those that were signed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint
from guard.audit.disk import LocalDisk
from guard.audit.leaf_reader import Leaves, SealError
from guard.audit.segments import first_of, listing
from guard.audit.tiles import HEIGHT, WIDTH, TileReader, TileWriter, split, tile_path, write_atomically
from guard.audit.tree import HASH_BYTES, VOID, complete_root

FRESH: Final = ".rebuilt"
_ALL: Final = 2**62


def mend_tiles(directory: Path, size: int) -> None:
    """Make the full tiles that are missing or cut short again, from the records or the tiles below; raises OSError.

    A tile that the one above it contradicts is left out, and one whose records are gone: whoever reads it finds out.
    """
    missing = [index for index in range(size // WIDTH) if not _whole(directory, 0, index)]
    paths = listing(directory)
    if missing and paths and first_of(paths[0]) <= missing[0] * WIDTH + 1:
        row: list[bytes] = []
        for sequence, leaf in Leaves(directory, missing[0] * WIDTH + 1).read(_ALL):
            row.append(leaf)
            index = (sequence - 1) // WIDTH
            if len(row) == WIDTH:
                if sequence <= size and not _whole(directory, 0, index) and _known(directory, index, row):
                    write_atomically(directory / tile_path(0, index), b"".join(row), durable=True)
                row.clear()
    level = 1
    while count := size >> HEIGHT * level:
        reader = TileReader(directory, size)
        for index in range(count // WIDTH):
            if not _whole(directory, level, index):
                below = range(index * WIDTH, (index + 1) * WIDTH)
                data = b"".join(complete_root(split(reader.hashes(level - 1, each))) for each in below)
                write_atomically(directory / tile_path(level, index), data, durable=True)
        level += 1


def _whole(directory: Path, level: int, index: int) -> bool:
    try:
        return (directory / tile_path(level, index)).stat().st_size == WIDTH * HASH_BYTES
    except FileNotFoundError:
        return False


def _known(directory: Path, index: int, row: list[bytes]) -> bool:
    """Whether every record of the row is there, and the tile above, where there is a whole one, holds its hash."""
    if VOID in row:
        return False
    above = index // WIDTH
    if not _whole(directory, 1, above):
        return True
    return TileReader(directory, (above + 1) << 2 * HEIGHT).node(HEIGHT, index) == complete_root(row)


def rebuild_tiles(directory: Path, head: Checkpoint, passed: Callable[[int], None] = lambda _: None) -> None:
    """Replace the tiles by what the first ``head.size`` records give; raises SealError if that is not its root.

    Nobody may write there meanwhile; ``passed`` is told how many records were hashed. The old tiles stay until the new
    ones are whole and proved; raises OSError.
    """
    fresh = directory / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    tree = TileWriter(fresh)
    for sequence, leaf in Leaves(directory).read(_ALL):
        if sequence > head.size:
            break
        tree.append(leaf)
        passed(sequence)
    tree.flush()
    tree.settle()
    if (tree.size, tree.root() if head.size else head.root) != (head.size, head.root):
        shutil.rmtree(fresh, ignore_errors=True)
        raise SealError(f"{directory}: its records are not those that were signed; `guard audit verify` says which")
    old = directory / "tile"
    shutil.rmtree(old, ignore_errors=True)
    if head.size:
        (fresh / "tile").rename(old)
    LocalDisk().sync_directory(directory)
    shutil.rmtree(fresh, ignore_errors=True)
