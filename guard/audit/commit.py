"""Group commit: one thread that syncs what the event loop wrote and wakes everyone it has made durable.

One sync runs at a time; who comes while it runs is served by the next. A record counts as durable only when a sync
that began after its write has ended well, and what a failed sync covered is never synced again.
While many wait at once a sync is put off for up to a millisecond after the one before, so that it serves more of them:
each costs two thread switches beside the disk. A longer pause saves little more and is added to what everyone waits;
it also keeps itself going, since who comes in the pause makes the next one longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from guard.audit.segments import Segment, describe
from safeguards.decision import Failure, Unavailable
from safeguards.ports import Clock

MAX_WAITS = 8192
# Seconds between two syncs for each who waited for the last one: one caller alone never waits for it.
GATHER_EACH = 0.0002
GATHER_MOST = 0.001


class _Batch:
    """Who waits for one segment since the last round: their futures and since when, in the same order."""

    __slots__ = ("futures", "segment", "since")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.futures: list[asyncio.Future[None]] = []
        self.since: list[float] = []


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the disk has followed; ``waits`` are seconds from append to durable since it was last asked."""

    durable: int
    written: int
    unsynced_bytes: int
    last_durable: float | None
    oldest_pending: float
    syncs: int
    confirmed: int
    failed: int
    waits: tuple[float, ...]


class Committer:
    """Owns the thread; ``interval`` is the most seconds that a record nobody waits for stays unsynced."""

    def __init__(
        self,
        segment: Segment,
        sequence: int,
        clock: Clock,
        interval: float,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Begin with a segment of which everything up to ``sequence`` is already durable.

        ``before`` puts on the disk what the records refer to; when it raises, no record of that round is durable.
        """
        self._before = before
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closing = False
        self._batch = _Batch(segment)
        self._retired: list[_Batch] = []
        self._written = self._durable = sequence
        self._written_bytes = self._durable_bytes = 0
        self._pending_since: float | None = None
        self._syncing_since: float | None = None
        self._last_durable: float | None = clock.now()
        self._syncs = self._confirmed = self._failed = 0
        self._waits: deque[float] = deque(maxlen=MAX_WAITS)
        self._ended = float("-inf")  # the last sync that somebody waited for, and how many did
        self._served = 0
        self._thread = threading.Thread(target=self._run, name="audit-commit", daemon=True)
        self._thread.start()

    def wrote(self, sequence: int, size: int, now: float, future: asyncio.Future[None] | None) -> None:
        """A record was appended; the future, if there is one, ends when it is durable, or with Unavailable."""
        with self._lock:
            self._written = sequence
            self._written_bytes += size
            if self._pending_since is None:
                self._pending_since = now
            if future is None:
                return
            batch = self._batch
            batch.futures.append(future)
            batch.since.append(now)
        if len(batch.futures) == 1:
            self._wake.put(None)

    def replace(self, segment: Segment) -> None:
        """Go on in this segment; the one before is synced, unless it is dead, and closed."""
        with self._lock:
            self._retired.append(self._batch)
            self._batch = _Batch(segment)

    def wake(self) -> None:
        """Look at once: the current segment has died and its waiters must hear it."""
        self._wake.put(None)

    def unsynced_bytes(self) -> int:
        """How much was written and not yet confirmed."""
        return self._written_bytes - self._durable_bytes

    def doubtful(self) -> tuple[int, int]:
        """First and last sequence that no sync has confirmed; the first is beyond the last when there is none."""
        with self._lock:
            return self._durable + 1, self._written

    def progress(self) -> Progress:
        """Figures for the metrics."""
        now = self._clock.steady()
        with self._lock:
            since = self._syncing_since if self._syncing_since is not None else self._pending_since
            waits = tuple(self._waits)
            self._waits.clear()
            return Progress(
                self._durable,
                self._written,
                self.unsynced_bytes(),
                self._last_durable,
                max(0.0, now - since) if since is not None else 0.0,
                self._syncs,
                self._confirmed,
                self._failed,
                waits,
            )

    def close(self, timeout: float) -> bool:
        """Sync what there is and end the thread; False if the disk did not let it end within ``timeout`` seconds."""
        self._closing = True
        self._wake.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=self._interval)
            closing = self._closing
            if not closing and self._batch.futures:
                self._gather()
            self._round()
            if closing:
                self._batch.segment.close()
                return

    def _gather(self) -> None:
        """Let more come who can be served by the same sync, if there were several the last time."""
        between = min(GATHER_EACH * self._served, GATHER_MOST)
        rest = self._ended + between - time.monotonic()
        if rest > 0.0:
            time.sleep(rest)

    def _round(self) -> None:
        # Everything taken here was written before, so the syncs below cover it; what comes later waits for the next.
        with self._lock:
            retired, batch = self._retired, self._batch
            upto, upto_bytes = self._written, self._written_bytes
            if not (retired or batch.futures or upto > self._durable):
                return
            self._retired, self._batch = [], _Batch(batch.segment)
            self._syncing_since, self._pending_since = self._pending_since, None
        current = batch.segment
        failure = ""
        kept: list[_Batch] = []
        lost: list[_Batch] = []
        referred = "" if self._before is None else _attempt(self._before)
        for each in (*retired, batch):
            segment = each.segment
            if not segment.dead:  # else it failed earlier and is not synced again
                self._syncs += 1
                problem = referred or _attempt(segment.sync)
                if problem:
                    segment.dead = failure = problem
                else:
                    kept.append(each)
                    continue
            lost.append(each)
        for each in retired:
            each.segment.close()
        now = self._clock.steady()
        served = sum(len(each.futures) for each in (*kept, *lost))
        with self._lock:
            for each in kept:
                self._confirmed += len(each.futures)
                self._waits.extend([now - since for since in each.since])
            self._failed += sum(len(each.futures) for each in lost)
            if failure:
                # Also when another segment has taken over meanwhile: the writer must record what is in doubt.
                self._batch.segment.dead = self._batch.segment.dead or failure
            if batch in kept and not failure:
                self._durable, self._durable_bytes = upto, upto_bytes
                self._last_durable = self._clock.now()
            elif self._syncing_since is not None:
                self._pending_since = self._syncing_since
            self._syncing_since = None
        if served:
            self._ended, self._served = time.monotonic(), served
        for each in kept:
            _settle(each.futures, "")
        for each in lost:
            _settle(each.futures, failure or current.dead or "the segment failed")


def _attempt(sync: Callable[[], None]) -> str:
    try:
        sync()
    except Exception as error:  # noqa: BLE001 - a disk layer's bug must fail the waiters, not end the thread
        return describe(error)
    return ""


def _settle(futures: list[asyncio.Future[None]], reason: str) -> None:
    if futures:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
            futures[0].get_loop().call_soon_threadsafe(_wake_all, futures, reason)


def _wake_all(futures: list[asyncio.Future[None]], reason: str) -> None:
    for future in futures:
        if future.done():
            continue  # its caller left; the others must not notice
        if reason:
            future.set_exception(Unavailable(Failure.UNREACHABLE, f"audit log: {reason}"))
        else:
            future.set_result(None)
