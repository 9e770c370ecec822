"""Copies on a file share: a folder, mounted by the operator."""

from __future__ import annotations

import contextlib
import errno
import os
from datetime import date
from pathlib import Path
from typing import Final

from guard.audit.disk import DIRECTORY_MODE, FILE_MODE, LocalDisk
from guard.audit.segments import describe
from guard.shipping.store import MAX_OBJECT_BYTES, ConflictError, StoreError, bounded, checked

_NO_LINKS: Final = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))


class FolderStore:
    """An object is a file that appears whole or not at all; it is read back before it counts.

    The folder itself must be there: were it made, an unmounted share would fill this host's own disk.
    """

    def __init__(self, root: Path) -> None:
        """Take the folder, which need not be there yet."""
        self._root = root

    def put(self, name: str, data: bytes, keep: date | None = None) -> None:
        """As `Store.put`; a folder holds nobody to ``keep``."""
        path = self._root / checked(name)
        bounded(name, data)
        try:
            if not self._root.is_dir():
                raise StoreError(f"{self._root}: no such folder; is the share mounted?")
            if not path.exists():
                self._write(path, data)
            found = _read(path)
        except OSError as error:
            raise StoreError(f"{path}: {describe(error)}") from error
        if found != data:
            raise ConflictError(name, found)

    def get(self, name: str) -> bytes | None:
        """As `Store.get`."""
        path = self._root / checked(name)
        try:
            return _read(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{path}: {describe(error)}") from error

    def _write(self, path: Path, data: bytes) -> None:
        missing = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            LocalDisk().sync_directory(each.parent)
        draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
                # Read back from the disk or the server, as far as the system allows, and not from memory.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            _place(draft, path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
        LocalDisk().sync_directory(path.parent)


def _place(draft: Path, path: Path) -> None:
    """Give the file its name unless that is taken; then whoever compares the content decides."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A share without hard links. Names belong to one log, whose lock one process holds: nobody else makes this one.
        if not path.exists():
            draft.rename(path)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_OBJECT_BYTES + 1)
    return bounded(path.name, data)
