"""Which orders of this host people were told of: what was ordered while no supervisor ran is told at the next start.

``STATE/told`` has an id a line. It is no record: who empties it is told of everything again, who removes it of nothing
before the next start. What was handed to a courier counts as told, also if the process dies before it arrives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from guard.state.orders import is_order_id

FILE: Final = "told"
KEPT: Final = 4_096
_LINE: Final = 27
_MAX_BYTES: Final = 3 * KEPT * _LINE


class ToldOrders:
    """The ids, in memory and in the file; a file that cannot be written costs only what a restart would know."""

    def __init__(self, state: Path) -> None:
        """Read what there is."""
        self._path = state / FILE
        self.first = False
        """Whether nobody has kept such a file here before."""
        self._ids: set[str] = set()
        try:
            lines = _read(self._path).decode("ascii", "replace").split("\n")
            self._ids = {line for line in lines if is_order_id(line)}
        except OSError:
            self.first = True  # also where it cannot be read: better that nothing is told twice than all of it
        # Where lines may have been dropped, what is older than all that is kept was told long ago. Before that nothing
        # is: an order is also older than all others where a clock was set back (law 11).
        self._oldest = min(self._ids) if len(self._ids) >= KEPT else ""
        self._forgotten: set[str] | None = None
        self._lines = len(self._ids)

    def __contains__(self, order: str) -> bool:
        """Whether it was told, or is older than what is remembered where some was forgotten."""
        return order in self._ids or (order < self._oldest if self._forgotten is None else order in self._forgotten)

    def begin(self, there: Iterable[str]) -> None:
        """Take these for all that was ordered before now: whatever else comes is news, however old its id makes it."""
        self._forgotten = {order for order in there if order < self._oldest}

    def note(self, orders: Iterable[str]) -> None:
        """These are told."""
        fresh = [order for order in orders if order not in self]
        self._ids.update(fresh)
        with suppress(OSError):
            if self._lines + len(fresh) > 2 * KEPT:
                self._rewrite()
            else:
                self._write(self._path, fresh, os.O_APPEND)
                self._lines += len(fresh)

    def _rewrite(self) -> None:
        kept = sorted(self._ids)[-KEPT:]
        aside = self._path.with_name(f".{FILE}.{os.getpid()}")
        self._write(aside, kept, os.O_TRUNC)
        aside.replace(self._path)
        if self._forgotten is not None:
            self._forgotten |= self._ids - set(kept)
        self._ids, self._oldest, self._lines = set(kept), kept[0], len(kept)

    def _write(self, path: Path, orders: Iterable[str], how: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
        try:
            os.write(fd, "".join(f"{order}\n" for order in orders).encode())
        finally:
            os.close(fd)


def _read(path: Path) -> bytes:
    # Not blocking and not following, as with orders: nothing put there may hold up who reads.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)
