"""Rate limits shared by all workers of a host: one time per key in a mapped file, by the generic cell rate algorithm.

A bucket is one whole number of nanoseconds, when it would be full again (the theoretical arrival time): burst B lets B
requests pass at once, after that one each 1/rate seconds. The file is a table of fixed size in which a key, once it has
a place, keeps it: keys that come and go while the guard runs leave the others' counts alone, and the file survives
restarts. Keys that were removed keep their places too; a table with no room left is begun anew by hand (remove the
file while no guard runs), which gives every key a fresh burst. Do not shorten it under a running guard: reading a
mapped file that has become shorter kills the worker. Counts are per host: n hosts allow n times as much.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import struct
import time
from collections.abc import Collection
from pathlib import Path

from safeguards.decision import Failure, Unavailable

MAX_KEYS = 100_000
PLACES = 262_144  # more than twice the keys, so that a search is short
SEARCH = 512  # places looked at for one key: with so many taken in a row the table is nearly full
_ENTRY_BYTES = 16  # whose it is: the first 8 bytes of the key's SHA-256; then its time
_TIME = 8
_SLOT_BYTES = 8
# A lock is held for two microseconds; whoever holds it longer was frozen or preempted inside. The caller is an event
# loop, so it gives up after about a millisecond rather than wait with every stream.
_ATTEMPTS = 20
_PAUSE_SECONDS = 50e-6
_PATIENCE_SECONDS = 2.0
_SECOND = 1_000_000_000  # nanoseconds: whole numbers, so that a burst is exact at any uptime
# Within these bounds every sum fits a slot.
_LEAST_RATE, _MOST_RATE = 1e-6, 1e6
_LONGEST = 1e8
_SKEW = _SECOND
_LATEST = 1e9


class SharedBuckets:
    """Implements the port `Meters`; one per process, for one thread of it (the locks are the process's)."""

    def __init__(self, folder: Path, keys: Collection[str]) -> None:
        """Open the table in ``folder``, creating what is missing, and find these key ids their places.

        Raises ValueError for too many keys, OSError when it cannot be opened, has another size, or has no room left.
        """
        self._places: dict[str, int] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "buckets"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._map = _mapped(self._fd, PLACES * _ENTRY_BYTES)
            try:
                self._cells = memoryview(self._map).cast("@q")
                self.know(keys)
            except BaseException:
                self._cells.release()
                self._map.close()
                raise
        except BaseException:
            os.close(self._fd)
            raise

    def know(self, keys: Collection[str]) -> None:
        """Know exactly these keys from now on; a key that stays keeps its bucket. May be called in another thread.

        Raises ValueError for too many keys, OSError for a table without room or held by another; then nothing changes.
        """
        ids = set(keys)
        if len(ids) > MAX_KEYS:
            raise ValueError(f"keys: at most {MAX_KEYS}")
        places = {key: self._places[key] for key in ids if key in self._places}
        fresh = sorted(ids - places.keys())
        if fresh:
            self._lock_table()
            try:
                places.update((key, self._place(key)) for key in fresh)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._places = places

    def take(self, key: str, rate: float, burst: int, now: float) -> float:
        """Take one from the bucket of this key: 0.0 if taken, else the seconds after which one can be taken.

        ``rate`` is per second, ``now`` seconds of CLOCK_BOOTTIME (one clock for all processes, running on in a
        suspended machine). Raises Unavailable for an unknown key and when another process holds the bucket,
        ValueError for a rate, burst or time out of bounds.
        """
        place = self._places.get(key)
        if place is None:
            raise Unavailable(Failure.BAD_ANSWER, "no bucket was opened for this key")
        if not (_LEAST_RATE <= rate <= _MOST_RATE and 1 <= burst <= rate * _LONGEST and 0.0 <= now <= _LATEST):
            raise ValueError("rate: 1e-6 to 1e6 per second; burst: 1 to 1e8 seconds of it; now: 0 to 1e9 seconds")
        interval = math.ceil(_SECOND / rate)
        time_now = int(now * _SECOND)
        latest = time_now + burst * interval
        start = place * _ENTRY_BYTES + _TIME
        slot = 2 * place + 1
        self._lock(start)
        try:
            full = self._cells[slot]
            # Later than any taking could have made it: the clock began anew, or the file was damaged. The bucket then
            # counts as just emptied, from now on and not at each asking. A little later is another process whose
            # time was read after ours, and lowering its value would give away what it has taken.
            if full > latest + _SKEW:
                self._cells[slot] = full = latest
            full = max(full, time_now) + interval
            if full <= latest:
                self._cells[slot] = full
                return 0.0
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, _SLOT_BYTES, start)
        # Rounded up by what the two clocks' steps can lose, so that waiting just so long is never too short.
        return (full - latest) / _SECOND + 2.0 / _SECOND + 2.0 * math.ulp(now + 1.0 / rate)

    def close(self) -> None:
        """Let the file go."""
        self._cells.release()
        self._map.close()
        os.close(self._fd)

    def _place(self, key: str) -> int:
        """Find this key's place, or give it one; called with the table locked."""
        (name,) = struct.unpack("@q", hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8])
        name = name or 1  # 0 is a free place
        place = name % PLACES
        for _ in range(SEARCH):
            found = self._cells[2 * place]
            if found == 0:
                self._cells[2 * place] = found = name
            if found == name:
                return place
            place = (place + 1) % PLACES
        raise OSError(0, f"{self.path} has no room for another key; remove it while no guard runs")

    def _lock_table(self) -> None:
        """Lock it as an open file, which is nothing to the locks of single buckets: those are the process's."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise OSError(0, f"{self.path} is held by another process") from None
                time.sleep(0.001)
            else:
                return

    def _lock(self, start: int) -> None:
        for _ in range(_ATTEMPTS):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, _SLOT_BYTES, start)
            except (BlockingIOError, PermissionError):
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        raise Unavailable(Failure.OVERLOAD, "another process holds this key's bucket")


def _mapped(fd: int, size: int) -> mmap.mmap:
    # Two processes may do this at once: neither changes a byte that the other has written.
    found = os.fstat(fd).st_size
    if found == 0:
        os.posix_fallocate(fd, 0, size)  # a full disk shows here and not as SIGBUS at the first taking
    elif found != size:
        raise OSError(f"the file has {found} bytes where the table needs {size}; remove it")
    return mmap.mmap(fd, size)
