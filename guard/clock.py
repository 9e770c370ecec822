"""The clocks of a real process: wall time, and time since boot, which goes on while a machine sleeps."""

from __future__ import annotations

import time
from functools import partial


class SystemClock:
    """Implements the Clock port."""

    # Both are asked before every send, so without a call of Python's own.
    now = staticmethod(time.time)
    """Seconds since the epoch."""
    steady = staticmethod(partial(time.clock_gettime, time.CLOCK_BOOTTIME))
    """Seconds since boot; never set back, and counted through suspension."""
