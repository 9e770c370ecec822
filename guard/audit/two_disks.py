"""The log on two devices: what is done to one folder is done to another, and what fails on one has failed.

Both get the same bytes under the same names, so that the second is a log that verification reads as it reads the first.
The first is written first and is what counts: what a crash left out of the second is put there at the next start, and
what the second has instead is kept beside it. Heads and tiles, which are made of the records, and the keys of texts lie
where they lie, once.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guard.audit.body_places import FOLDER
from guard.audit.directory import prepare
from guard.audit.disk import FILE_MODE, Disk, LocalDisk, UncopiedError
from guard.audit.records import Kind
from guard.audit.segments import LedgerError, SegmentReader, describe, listing

NEWEST: Final = 2  # segments of a folder that a crash can have left different; older ones are as long or were lost
_FRESH: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_HERE: Final = LocalDisk()


def twin(first: Path, second: Path, path: Path) -> Path:
    """Where what lies at ``path`` below ``first`` lies below ``second``."""
    return second / path.relative_to(first)


class TwoDisks:
    """A `Disk` for the writers below ``first``; a descriptor is that of the first device's file."""

    def __init__(self, first: Path, second: Path, disk: Disk = _HERE, other: Disk = _HERE) -> None:
        """Take both folders, which are made if missing; raises LedgerError unless they are on two devices."""
        for folder in (first, second):
            try:
                prepare(folder)
                if folder == second:
                    _apart(first, second)
            except OSError as error:
                raise LedgerError(f"{folder}: {describe(error)}") from error
        self._first = first
        self._second = second
        self._disk = disk
        self._other = other
        self._twins: dict[int, int] = {}

    def create(self, path: Path) -> int:
        """As `Disk.create`, in both folders or in none."""
        copy = twin(self._first, self._second, path)
        descriptor = self._disk.create(path)
        try:
            prepare(copy.parent)
            _apart(path.parent, copy.parent)
            self._twins[descriptor] = self._other.create(copy)
        except BaseException:
            self._disk.close(descriptor)
            self._disk.discard(path)
            raise
        return descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """As `Disk.write`, but all of it, to one after the other."""
        _write(self._disk, descriptor, data)
        try:
            _write(self._other, self._twins[descriptor], data)
        except Exception as error:
            raise UncopiedError(0, describe(error)) from error
        return len(data)

    def fdatasync(self, descriptor: int) -> None:
        """As `Disk.fdatasync`, of one after the other."""
        self._disk.fdatasync(descriptor)
        self._other.fdatasync(self._twins[descriptor])

    def sync_directory(self, path: Path) -> None:
        """As `Disk.sync_directory`."""
        self._disk.sync_directory(path)
        self._other.sync_directory(twin(self._first, self._second, path))

    def standing(self, descriptor: int) -> tuple[int, int]:
        """As `Disk.standing`: of each figure the lower one."""
        links, size = self._disk.standing(descriptor)
        others, copied = self._other.standing(self._twins[descriptor])
        return min(links, others), min(size, copied)

    def settle(self, writer: Path) -> None:
        """As `Disk.settle`: give the second what it lacks of the first.

        What it has and the first lacks is set aside if it was only begun; else that is a LedgerError.
        """
        copy = twin(self._first, self._second, writer)
        begun: list[Path] = []
        for folder in _folders(copy) if copy.is_dir() else ():
            known = {path.name for path in listing(twin(self._second, self._first, folder))}
            paths = listing(folder)
            more = [path for path in paths if path.name not in known]
            if more and not (more == paths[-1:] and _only_begun(more[0], leaves=folder == copy)):
                raise LedgerError(f"{more[0]}: is not in {self._first}; put the second folder's log there first")
            begun += more
        for path in begun:
            self._aside(path)
        for folder in _folders(writer):
            paths = listing(folder)
            for path in paths:
                there = twin(self._first, self._second, path)
                if not _same(path, there, whole=path in paths[-NEWEST:]):
                    self._copy(path, there)

    def _copy(self, path: Path, there: Path) -> None:
        prepare(there.parent)
        fresh = there.with_name(f".{there.name}.new")
        with path.open("rb") as source, os.fdopen(os.open(fresh, _FRESH, FILE_MODE), "wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        if there.exists():
            self._aside(there)
        fresh.replace(there)
        self._other.sync_directory(there.parent)

    def _aside(self, there: Path) -> None:
        there.replace(there.with_suffix(f".other-{there.stat().st_size}"))
        self._other.sync_directory(there.parent)

    def discard(self, path: Path) -> None:
        """As `Disk.discard`; the second's goes first, and while that cannot go the first's stays."""
        with contextlib.suppress(OSError):
            self.remove(path)

    def remove(self, path: Path) -> None:
        """As `Disk.remove`; the second's copy goes first, so that whoever tries again finds the first's."""
        with contextlib.suppress(FileNotFoundError):
            self._other.remove(twin(self._first, self._second, path))
        self._disk.remove(path)

    def remove_folder(self, path: Path) -> None:
        """As `Disk.remove_folder`."""
        with contextlib.suppress(FileNotFoundError):
            self._other.remove_folder(twin(self._first, self._second, path))
        self._disk.remove_folder(path)

    def close(self, descriptor: int) -> None:
        """As `Disk.close`."""
        try:
            self._other.close(self._twins.pop(descriptor))
        finally:
            self._disk.close(descriptor)


def _write(disk: Disk, descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        wrote = disk.write(descriptor, rest)
        if wrote <= 0:
            raise OSError(0, "the file took no bytes")
        rest = rest[wrote:]


def _only_begun(path: Path, *, leaves: bool) -> bool:
    """Whether a segment holds nothing but what every start writes again: its opening, and what was found on the way."""
    frames = SegmentReader(path).read()
    next(frames, None)
    return all(leaves and frame.kind == Kind.RECOVERED for frame in frames)


def _same(path: Path, there: Path, *, whole: bool) -> bool:
    if not there.exists() or there.stat().st_size != path.stat().st_size:
        return False
    return not whole or filecmp.cmp(path, there, shallow=False)


def _folders(writer: Path) -> Iterator[Path]:
    """Every folder of segments of a writer."""
    yield writer
    yield from sorted(path for path in (writer / FOLDER).glob("*-*/????-??-??") if path.is_dir())


def _apart(one: Path, other: Path) -> None:
    """Raise OSError for folders on one device, as they are after the other was unmounted, and for what is none."""
    if not other.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder")
    if one.stat().st_dev == other.stat().st_dev:
        raise OSError(0, "is on the same device as the log itself")
