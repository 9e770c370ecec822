"""What waits while the log cannot be written: records of models whose policy serves on for a while, in their order.

Bounded in bytes and in time, and never dropped: what is taken here is written once the disk takes it, and what is not
taken is refused, which its request hears. A process that dies meanwhile loses what waits; so the time is short, the
alarm is raised with the first record, and a policy whose intents must be on disk has no such time at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from safeguards.decision import Unavailable

BATCH: Final = 500  # records written in one go, so that catching up does not stall the streams
RECORD_BYTES: Final = 1024  # what a record costs beside its texts


class Waiting:
    """Records that wait for the disk; ``room`` is bytes."""

    def __init__(self, room: int) -> None:
        """Begin with none."""
        self._room = room
        self._queue: deque[tuple[int, Callable[[], object]]] = deque()
        self._bytes = 0
        self._since = 0.0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def takes(self, size: int, seconds: float, now: float) -> bool:
        """Tell whether one more may wait: of so many bytes of text, ``seconds`` after the first at the latest."""
        began = self._since if self._queue else now
        return now - began < seconds and self._bytes + size + RECORD_BYTES <= self._room

    def put(self, size: int, write: Callable[[], object], now: float) -> None:
        """Let it wait."""
        if not self._queue:
            self._since = now
        self._queue.append((size + RECORD_BYTES, write))
        self._bytes += size + RECORD_BYTES

    def drain(self) -> None:
        """Write what can be written, the oldest first; what cannot goes on waiting."""
        for _ in range(min(BATCH, len(self._queue))):
            size, write = self._queue[0]
            try:
                write()
            except Unavailable:
                return
            self._queue.popleft()
            self._bytes -= size
