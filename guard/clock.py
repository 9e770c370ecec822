"""The clocks of a real process: wall time, and time since boot, which goes on while a machine sleeps."""

from __future__ import annotations

import time


class SystemClock:
    """Implements the Clock port."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def steady(self) -> float:
        """Seconds since boot; never set back, and counted through suspension."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
