"""When a worker that says nothing is deaf: for how long it may be silent, not counting what it had to wait for a CPU.

A deaf worker hears no stop, so from ASL-3 on a second is the most. A machine that is merely busy must not cost it its
streams: the time that its main thread stood ready and was not let run (Linux, ``/proc/PID/schedstat``) is no silence.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from guard.policy.config import Config

STRICT_ASL: Final = 3
STRICT_SECONDS: Final = 1.0
MOST_EXCUSED: Final = 4.0  # seconds of waiting for a CPU: a host that starves a worker for longer is no place for it
_NANO: Final = 1e-9


def patience(config: Config) -> float:
    """Return for how many seconds a worker under this policy may be silent."""
    seconds = config.guard.supervision.deaf_seconds
    levels = (max(policy.asl.deployment, policy.asl.security) for policy in config.models.values())
    return min(seconds, STRICT_SECONDS) if max(levels, default=0) >= STRICT_ASL else seconds


def waited(pid: int, proc: Path = Path("/proc")) -> float:
    """Return the seconds that a process's main thread has waited for a CPU in all; 0 where nothing tells it."""
    with suppress(OSError, ValueError, IndexError):
        return int((proc / str(pid) / "schedstat").read_text("ascii").split()[1]) * _NANO
    return 0.0


class Silence:
    """How long one process has been silent of its own accord."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        """Take the process."""
        self._pid = pid
        self._proc = proc
        self._heard = -1.0
        self._waited = 0.0

    def seconds(self, heard: float, now: float) -> float:
        """Return its silence at ``now``, when it was last heard at ``heard``, both on one monotonic clock.

        The wait for a CPU is read when it was heard anew and when its silence grows long, so to be asked often.
        """
        if heard != self._heard:
            self._heard, self._waited = heard, waited(self._pid, self._proc)
            return now - heard
        silent = now - heard
        if silent < STRICT_SECONDS / 2:
            return silent
        return silent - min(MOST_EXCUSED, max(0.0, waited(self._pid, self._proc) - self._waited))
