"""The few file operations that the ledger's writer does, so that a failing disk can be put in their place."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Protocol

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class UncopiedError(OSError):
    """Bytes that are all in the file, and not all in its copy."""


class Disk(Protocol):
    """Every method raises OSError; ``write`` may write less than it was given."""

    def create(self, path: Path) -> int:
        """A descriptor of a new, empty file open for appending; FileExistsError if there is one."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """How many bytes were appended."""

    def fdatasync(self, descriptor: int) -> None:
        """Return once what was written before the call is on the disk."""

    def sync_directory(self, path: Path) -> None:
        """Return once the directory's entries are on the disk."""

    def standing(self, descriptor: int) -> tuple[int, int]:
        """How many names the file still has, 0 once somebody removed it, and how many bytes."""

    def settle(self, writer: Path) -> None:
        """Do what else a start asks for, after what a crash left in the writer's folder was repaired."""

    def discard(self, path: Path) -> None:
        """Take away a file that nobody relies on, if that can be done; raises nothing."""

    def remove(self, path: Path) -> None:
        """Take a file away, durably; FileNotFoundError if there is none."""

    def remove_folder(self, path: Path) -> None:
        """Take a folder and all in it away, durably; FileNotFoundError if there is none."""

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""


class LocalDisk:
    """The file system; it must be a local one, for flock and fdatasync mean little on a network mount."""

    def create(self, path: Path) -> int:
        """As `Disk.create`; only the owner may read or write the file."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, FILE_MODE)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """As `Disk.write`."""
        return os.write(descriptor, data)

    def fdatasync(self, descriptor: int) -> None:
        """As `Disk.fdatasync`."""
        os.fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """As `Disk.sync_directory`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def standing(self, descriptor: int) -> tuple[int, int]:
        """As `Disk.standing`."""
        found = os.fstat(descriptor)
        return found.st_nlink, found.st_size

    def settle(self, writer: Path) -> None:
        """As `Disk.settle`: nothing."""

    def discard(self, path: Path) -> None:
        """As `Disk.discard`."""
        with contextlib.suppress(OSError):
            path.unlink()

    def remove(self, path: Path) -> None:
        """As `Disk.remove`."""
        path.unlink()
        self.sync_directory(path.parent)

    def remove_folder(self, path: Path) -> None:
        """As `Disk.remove_folder`."""
        shutil.rmtree(path)
        self.sync_directory(path.parent)

    def close(self, descriptor: int) -> None:
        """As `Disk.close`."""
        os.close(descriptor)
