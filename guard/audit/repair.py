"""Making a log's tiles anew from its records, where the records are those that were signed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint
from guard.audit.disk import LocalDisk
from guard.audit.leaf_reader import Leaves, SealError
from guard.audit.tiles import TileWriter

FRESH: Final = ".rebuilt"
_ALL: Final = 2**62


def rebuild_tiles(directory: Path, head: Checkpoint) -> None:
    """Replace the tiles by what the first ``head.size`` records give; raises SealError if that is not its root.

    Nobody may write there meanwhile. The old tiles stay until the new ones are whole and proved; raises OSError.
    """
    fresh = directory / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    tree = TileWriter(fresh)
    for sequence, leaf in Leaves(directory).read(_ALL):
        if sequence > head.size:
            break
        tree.append(leaf)
    tree.flush()
    if (tree.size, tree.root() if head.size else head.root) != (head.size, head.root):
        shutil.rmtree(fresh, ignore_errors=True)
        raise SealError(f"{directory}: its records are not those that were signed; `guard audit verify` says which")
    old = directory / "tile"
    shutil.rmtree(old, ignore_errors=True)
    if head.size:
        (fresh / "tile").rename(old)
    LocalDisk().sync_directory(directory)
    shutil.rmtree(fresh, ignore_errors=True)
