"""A writer's directory: made durably, for its owner only, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from guard.audit.disk import DIRECTORY_MODE, FILE_MODE, LocalDisk
from guard.audit.segments import LedgerError


class InUseError(LedgerError):
    """Another process holds the directory."""


def prepare(directory: Path) -> None:
    """Make the directory and what is missing above it; an existing one keeps its mode. Raises OSError."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        LocalDisk().sync_directory(path.parent)


def lock(directory: Path) -> int:
    """Hold the directory until the descriptor is closed or the process ends; LedgerError if another one holds it."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise InUseError(f"{directory}: in use by process {holder}; every writer needs its own directory") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
