"""Giving a stop on a disk that may hang: the caller has an answer within half a second, whatever the disk does.

The order is written in a thread. Where it is not shown within a tenth of a second, an empty STOP file of its scope is
put there, and goes again when the order has come; where the order cannot be written at all, the file stays. A disk that
by then has not synced what is shown costs no more waiting either: the stop is in force, and its giver is told that a
crash of the host could lose it.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from guard.state.directory import OrderDirectory
from guard.state.orders import StopOrder
from safeguards.mode import Mode

SHOWN_SECONDS: Final = 0.1
STAND_IN_SECONDS: Final = 0.3
MAX_SYNCING: Final = 16
"""Stops of this process whose sync is under way; those beyond them are in force without one."""
_SYNCING: Final = threading.BoundedSemaphore(MAX_SYNCING)
# What was given up waiting for, and hangs still: the next stop waits for the same no more.
_UNSHOWN: Final[set[_Writing]] = set()
_UNSYNCED: Final[set[_Writing]] = set()


@dataclass(frozen=True, slots=True)
class Given:
    """What is in force: the order, or ``file:`` and the name of a STOP file; ``on_disk`` if a crash cannot lose it."""

    order: str
    on_disk: bool


def give(
    directory: OrderDirectory,
    order: StopOrder,
    finish: Callable[[StopOrder], StopOrder] = lambda order: order,
    *,
    leaving: bool = False,
) -> Given:
    """Write a stop; returns when it is in force, or raises OSError when it is not known to be.

    ``finish`` signs the order and may fail: a stop never depends on that. With ``leaving`` the process ends soon, so a
    STOP file in the order's place is to be removed by hand.
    """
    began, hangs = time.monotonic(), bool(_UNSHOWN)
    writing = _Writing(directory, order, finish)
    _beside(writing.run)
    writing.turned.wait(0.0 if hangs else SHOWN_SECONDS)
    if writing.shown.is_set():
        rest = 0.0 if _UNSYNCED else began + SHOWN_SECONDS - time.monotonic()
        return Given(order.id, writing.synced(rest))
    file = writing.stand_in(lasting=order.mode is not Mode.STOP, patient=not hangs)
    if writing.shown.is_set():
        return Given(order.id, on_disk=False)
    if leaving and file is not None:
        file = writing.stand_in(lasting=True, patient=False)
    if file is None:
        raise writing.failure or OSError(errno.ETIMEDOUT, "the disk does not answer; it comes into force if it does")
    return Given(f"file:{directory.stop_file(order.scope).name}", file)


class _Writing:
    """One order on its way to the disk, and the STOP file that may stand in for it meanwhile."""

    def __init__(self, directory: OrderDirectory, order: StopOrder, finish: Callable[[StopOrder], StopOrder]) -> None:
        self._directory = directory
        self._order = order
        self._finish = finish
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stands = False
        self._holds_sync = False
        self.turned = threading.Event()
        """Set when the order is shown, or will not be."""
        self.shown = threading.Event()
        self.failure: OSError | None = None

    def run(self) -> None:
        """Write the order; what fails is kept in ``failure``."""
        order = self._order
        try:
            with suppress(Exception):  # whatever is wrong with the key
                order = self._finish(order)
            self._directory.put(order, self._show)
        except OSError as problem:
            self.failure = problem
        finally:
            if self._holds_sync:
                _SYNCING.release()
            with self._lock:
                self.turned.set()
                self._ended.set()
                _UNSHOWN.discard(self)
                _UNSYNCED.discard(self)
                stands = self._stands
            if stands:
                self._settle()

    def synced(self, seconds: float) -> bool:
        """Whether the order, which is shown, is on the disk within so many seconds."""
        if not self._ended.wait(max(0.0, seconds)):
            with self._lock:
                if not self._ended.is_set():
                    _UNSYNCED.add(self)
        return self._ended.is_set() and self.failure is None

    def stand_in(self, *, lasting: bool, patient: bool) -> bool | None:
        """Put the STOP file there; if ``patient``, wait for the order a little longer.

        Returns None when there is no such file, else whether it is on the disk. One that is ``lasting``, and every one
        of an order that failed, stays until somebody removes it.
        """
        until = time.monotonic() + STAND_IN_SECONDS
        made, synced = threading.Event(), threading.Event()
        failed: list[OSError] = []

        def put() -> None:
            act = self._directory.trip if lasting or self.failure else self._directory.stand_in
            try:
                act(self._order.scope, made.set)
                synced.set()
            except OSError as problem:
                if not made.is_set():
                    failed.append(problem)
            finally:
                made.set()
            with self._lock:
                self._stands = not failed
                over = self._ended.is_set() and self._stands
            if over:
                self._settle()

        with self._lock:
            if not self.turned.is_set():
                _UNSHOWN.add(self)
        _beside(put)
        made.wait(STAND_IN_SECONDS)
        rest = max(0.0, until - time.monotonic())
        if not self.turned.is_set():
            self.turned.wait(rest if patient else 0.0)
        elif not failed:
            synced.wait(rest)
        return synced.is_set() if made.is_set() and not failed else None

    def _show(self) -> None:
        with self._lock:
            self.shown.set()
            self.turned.set()
            _UNSHOWN.discard(self)
        if not _SYNCING.acquire(blocking=False):
            raise OSError(errno.EBUSY, "the disk syncs nothing any more")
        self._holds_sync = True

    def _settle(self) -> None:
        """Take the STOP file away when the order is there; make it somebody's when the order never comes."""
        with suppress(OSError):
            if self.shown.is_set():
                self._directory.stood_in(self._order.scope)
            else:
                self._directory.trip(self._order.scope)


def _beside(act: Callable[[], None]) -> None:
    """Act in a thread that ends with the process; where there can be none more, here."""
    try:
        threading.Thread(target=act, daemon=True).start()
    except RuntimeError:
        act()
