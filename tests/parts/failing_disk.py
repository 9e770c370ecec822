"""A disk that fails below Python: a library loaded before the C library gives real programs real errors.

Nothing in the guard knows of it: its own calls of write, fdatasync, fsync and open come back with the error that an
order names, in every one of its processes at once, for as long as the order stands; or they hang as long.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.c_program import compiled


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync that a process asked for: of which file below the folder, and the error it got, 0 for none."""

    pid: int
    error: int
    path: str


class FailingDisk:
    """Of one folder; ``environment`` is for the program that shall have it."""

    def __init__(self, folder: Path, workdir: Path) -> None:
        """Work until told to fail; ``workdir`` holds the orders and the journal of syncs."""
        self._orders = workdir / "failing-disk.orders"
        self._journal = workdir / "failing-disk.journal"
        library = compiled(Path(__file__).with_suffix(".c"), "-shared", "-fPIC")
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAILING_DISK_FOLDER": f"{folder.resolve()}/",
            "FAILING_DISK_ORDERS": str(self._orders),
            "FAILING_DISK_JOURNAL": str(self._journal),
        }

    def fail(self, *orders: tuple[str, int, str]) -> None:
        """From now on each of these calls fails with this error where the file's path holds this text."""
        fresh = self._orders.with_suffix(".new")
        fresh.write_text("".join(f"{call} {number} {part}\n" for call, number, part in orders))
        fresh.replace(self._orders)

    def mend(self) -> None:
        """Work again."""
        self._orders.unlink(missing_ok=True)

    @contextmanager
    def failing(self, *orders: tuple[str, int, str]) -> Iterator[None]:
        """Fail inside the block."""
        self.fail(*orders)
        try:
            yield
        finally:
            self.mend()

    def syncs(self) -> list[Sync]:
        """Every fdatasync and fsync so far, in order."""
        if not self._journal.exists():
            return []
        lines = [line.split(" ", 3) for line in self._journal.read_text().splitlines()]
        return [Sync(int(pid), int(number), path) for pid, _, number, path in lines]


def orders(kind: str) -> tuple[tuple[str, int, str], ...]:
    """What breaks when the disk of a log does, by a word; KeyError for another."""
    return _KINDS[kind]


HANGS = -1
"""In place of an error: the call comes back when the disk is mended, or told to do something else."""
_KINDS: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "syncs fail": (("fdatasync", errno.EIO, "/seg-"),),
    "syncs of texts fail": (("fdatasync", errno.EIO, "/bodies/"),),
    "writes fail": (("write", errno.EIO, "/seg-"),),
    "full": (("write", errno.ENOSPC, "/seg-"),),
    "full, also for names": (("write", errno.ENOSPC, "/seg-"), ("create", errno.ENOSPC, "/seg-")),
    "read-only": (("fdatasync", errno.EIO, "/seg-"), ("write", errno.EROFS, "/seg-"), ("create", errno.EROFS, "/seg-")),
}
KINDS = tuple(_KINDS)
