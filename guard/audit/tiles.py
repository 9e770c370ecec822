"""The tree on disk, laid out as C2SP tlog-tiles: ``tile/<level>/<index>`` holds 256 hashes, or ``.p/<width>`` fewer.

A full tile never changes. Tiles follow from the records, which are on the disk before them; so a tile is synced only a
minute later, when the system has written it by itself and the sync delays nobody's record, and what a power cut takes
of the youngest is made again from the records. Partial tiles stay until their full one is there, so every signed size
keeps its tiles.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from guard.audit.disk import DIRECTORY_MODE, FILE_MODE, LocalDisk
from guard.audit.segments import describe
from guard.audit.tree import HASH_BYTES, Frontier, complete_root

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
CACHED: Final = 256
SETTLE_SECONDS: Final = 60.0
SETTLED_AT_ONCE: Final = 256


class TileError(Exception):
    """A tile is missing, cannot be read or has another length; the message names its file."""


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """The tile's path below the log's directory."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(parts)}{partial}"


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes the tile has in a tree of ``size`` leaves; 0 or less when there is none."""
    return min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)


def split(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def write_atomically(path: Path, data: bytes, *, durable: bool) -> None:
    """Put a whole file in its place; ``durable`` waits until it and its name are on the disk. Raises OSError."""
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        LocalDisk().sync_directory(path.parent)


class TileReader:
    """The tiles of one log as a tree of ``size`` leaves needs them; keeps the last few hundred in memory."""

    def __init__(self, directory: Path, size: int) -> None:
        """Take the log's directory."""
        self._directory = directory
        self.size = size
        self._tile = lru_cache(CACHED)(self._read)

    def node(self, level: int, index: int) -> bytes:
        """As `tree.Node`; raises TileError."""
        below = level % HEIGHT
        first = index << below
        tile = self._tile(level // HEIGHT, first // WIDTH)
        at = first % WIDTH
        return complete_root(
            [tile[each * HASH_BYTES : (each + 1) * HASH_BYTES] for each in range(at, at + (1 << below))]
        )

    def hashes(self, level: int, index: int) -> bytes:
        """All hashes of one tile, `tile_width` of them; raises TileError."""
        return self._tile(level, index)

    def leaf(self, index: int) -> bytes:
        """The hash of one leaf; raises TileError."""
        return self.node(0, index)

    def _read(self, level: int, index: int) -> bytes:
        width = tile_width(level, index, self.size)
        if width < 1:
            raise TileError(f"a tree of {self.size} leaves has no tile {tile_path(level, index)}")
        full = self._directory / tile_path(level, index)
        # A partial tile goes when its full one comes, which begins with the same hashes.
        for path in (full,) if width == WIDTH else (self._directory / tile_path(level, index, width), full):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise TileError(f"{path}: {describe(error)}") from error
            if len(data) != HASH_BYTES * (WIDTH if path is full else width):
                raise TileError(f"{path}: {len(data)} bytes are not the tile's length")
            return data[: width * HASH_BYTES]
        raise TileError(f"{full}: the tile is missing")


class TileWriter:
    """The right edge of a log's tiles: takes leaves and writes the tiles that they fill."""

    def __init__(self, directory: Path, size: int = 0, tail: Iterable[bytes] = ()) -> None:
        """Go on from ``size`` leaves; ``tail`` are the last ``size % 256``, the full tiles are read. TileError."""
        self._directory = directory
        self._rows: list[list[bytes]] = [list(tail)]
        if len(self._rows[0]) != size % WIDTH:
            raise ValueError(f"{len(self._rows[0])} leaves are not the tail of {size}")
        reader = TileReader(directory, size)
        level = 1
        while count := size >> HEIGHT * level:
            first = count - count % WIDTH
            # From the full tiles below: the partial ones of this level may not have reached the disk.
            self._rows.append([complete_root(split(reader.hashes(level - 1, each))) for each in range(first, count)])
            level += 1
        self._written = [0] * len(self._rows)  # a power cut may have taken the partial tiles
        self.size = size  # leaves
        # Full tiles that were not synced yet: those of this flush, and older ones with the time of theirs.
        self._fresh: list[Path] = []
        self._young: deque[tuple[float, Path]] = deque()

    def root(self) -> bytes:
        """The root over all of them; it is asked for once for many leaves, so it is made then, a thousand hashes."""
        found = []
        for row in reversed(self._rows):
            begin = 0
            for step in (1 << bit for bit in range(HEIGHT - 1, -1, -1)):
                if len(row) & step:
                    found.append(complete_root(row[begin : begin + step]))
                    begin += step
        return Frontier(self.size, found).root()

    def append(self, leaf: bytes) -> None:
        """Add a leaf; writes the tiles that it fills. Raises OSError, and the leaf is then not added."""
        if len(self._rows[0]) == WIDTH - 1:
            self._fill(leaf)
        else:
            self._rows[0].append(leaf)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many; on OSError those are added that ``size`` counts."""
        begin = 0
        while begin < len(leaves):
            row = self._rows[0]
            some = leaves[begin : begin + WIDTH - 1 - len(row)]
            row += some
            self.size += len(some)
            begin += len(some)
            if begin < len(leaves):
                self.append(leaves[begin])
                begin += 1

    def _fill(self, leaf: bytes) -> None:
        filled, level, hashes = [], 0, leaf
        while level < len(self._rows) and len(self._rows[level]) == WIDTH - 1:
            whole = [*self._rows[level], hashes]
            self._full(level, (self.size >> HEIGHT * level) // WIDTH, b"".join(whole))
            filled.append(level)
            hashes = complete_root(whole)
            level += 1
        for each in filled:
            self._rows[each].clear()
            self._written[each] = 0
        if level == len(self._rows):
            self._rows.append([])
            self._written.append(0)
        self._rows[level].append(hashes)

    def flush(self, now: float = 0.0) -> None:
        """Write the partial tiles of the tree as it stands, at ``now`` (steady seconds); raises OSError."""
        for level, row in enumerate(self._rows):
            if len(row) > self._written[level]:
                index = (self.size >> HEIGHT * level) // WIDTH
                path = self._directory / tile_path(level, index, len(row))
                write_atomically(path, b"".join(row), durable=False)
                self._written[level] = len(row)
        self._young.extend((now, path) for path in self._fresh)
        self._fresh.clear()

    def settle(self, now: float = math.inf) -> None:
        """Sync full tiles that were written a minute before ``now``, some hundred at a time; all of them without it."""
        folders = set()
        most = SETTLED_AT_ONCE if now < math.inf else len(self._young)
        for _ in range(most):
            if not self._young or now - self._young[0][0] < SETTLE_SECONDS:
                break
            path = self._young[0][1]
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folders.add(path.parent)
            self._young.popleft()
        for folder in folders:
            LocalDisk().sync_directory(folder)

    def _full(self, level: int, index: int, data: bytes) -> None:
        path = self._directory / tile_path(level, index)
        write_atomically(path, data, durable=False)
        self._fresh.append(path)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path.with_name(f"{path.name}.p"))
