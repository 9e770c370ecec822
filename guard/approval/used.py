"""Which orders have been used: one file per nonce, whose existence alone counts.

Made with O_EXCL, so that of any number of processes exactly one uses an order, and on disk before anybody acts on it:
a crash in between leaves an order that is used up and did nothing, never one that can be used again. Nothing is ever
forgotten, since a clock that is set back would revive what had expired; a directory that is full refuses.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from guard.approval.order import Order, instant_text

MAX_USED: Final = 100_000


class UsedError(Exception):
    """Why an order cannot be used, in words."""


class UsedOrders:
    """The used orders of one host, in a directory of the state folder; it is made when the first is used."""

    def __init__(self, directory: Path) -> None:
        """Take the directory; nothing is read or written yet."""
        self._directory = directory

    def has(self, order: Order) -> bool:
        """Whether an order was used; raises OSError when that cannot be seen."""
        try:
            os.lstat(self._directory / order.nonce)
        except FileNotFoundError:
            return False
        return True

    def use(self, order: Order, at: float) -> None:
        """Use an order, on disk when this returns; raises UsedError if it was used, OSError if it cannot be recorded.

        ``at`` is seconds since the epoch, for who reads the file. After an OSError it may count as used or not.
        """
        self._make()
        with os.scandir(self._directory) as entries:
            if sum(1 for _ in entries) >= MAX_USED:
                raise UsedError(f"{MAX_USED} orders were used, more are not kept; begin another state folder")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._directory / order.nonce, flags, 0o600)
        except FileExistsError:
            raise UsedError("the order was used before") from None
        try:
            os.write(fd, f"{order.act} {order.subject} used {instant_text(int(at))}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        _sync(self._directory)

    def _make(self) -> None:
        with suppress(FileExistsError):
            self._directory.mkdir(mode=0o700, parents=True)
            _sync(self._directory.parent)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
