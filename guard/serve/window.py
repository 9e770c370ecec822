"""How much a count grew within the last so many seconds: a bounded ring of what it was before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

SLOTS: Final = 240
"""A window is cut into so many parts: its far end is exact to one of them, that is to less than half a percent."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of how many there were in all (``whole``), how many were what is counted (``part``); both only grow."""

    part: float
    whole: float


class Window:
    """What was added to growing totals within the last ``seconds``, by a monotonic clock.

    It covers a whole window and at most one slot more; less since `restart`. More only where nobody added for longer.
    """

    def __init__(self, seconds: float, now: float, totals: Totals) -> None:
        """Begin with nothing: ``totals`` are what was there before."""
        self._seconds = seconds
        self._slot = seconds / SLOTS
        self._past: deque[tuple[float, Totals]] = deque()
        self._latest = totals
        self.restart(now, totals)

    def restart(self, now: float, totals: Totals) -> None:
        """Forget all that was added until now."""
        self._past.clear()
        self._past.append((now, totals))
        self._latest = totals

    def add(self, now: float, totals: Totals) -> None:
        """Take the totals as they are now; totals that went back are others, so it begins anew."""
        if totals.part < self._latest.part or totals.whole < self._latest.whole:
            self.restart(now, totals)
            return
        self._latest = totals
        if now - self._past[-1][0] >= self._slot:
            self._past.append((now, totals))
        while len(self._past) > 1 and self._past[1][0] <= now - self._seconds:
            self._past.popleft()

    @property
    def grown(self) -> Totals:
        """What was added within the window."""
        before = self._past[0][1]
        return Totals(self._latest.part - before.part, self._latest.whole - before.whole)
