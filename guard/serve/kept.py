"""Whether the policy in force still lies in the state folder as it was put there; where not, it is said and put back.

What is served does not hang on it: each process has the policy in its memory. But a worker that is started later, the
commands on this host and the next start read it there, and refuse or hold back what they cannot trust. The guard puts
back the very bytes that were accepted, so nobody gains by writing there while it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from guard.policy.bundle import Stamps, read_snapshot, stamps
from guard.state.snapshots import Current, Snapshots
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

WHOLE_SECONDS: Final = 30.0
"""How often all of it is read where nothing seems to have changed: a disk that rots changes no date."""


class Kept:
    """Looks after one policy at a time."""

    def __init__(
        self,
        snapshots: Snapshots,
        meter: Meter,
        log: JsonLog,
        record: Callable[[str, str, str, str], Awaitable[object]],
        clock: Clock,
    ) -> None:
        """Take where it lies, and where it is told."""
        self._snapshots = snapshots
        self._meter = meter
        self._log = log
        self._record = record
        self._clock = clock
        self._seen: tuple[Stamps, float] | None = None
        self.damage = ""

    async def look(self, current: Current, files: Mapping[str, bytes]) -> None:
        """Compare what lies there with what is in force, and mend it; what cannot be mended is tried again."""
        found = await asyncio.to_thread(self._stamps, current)
        now = self._clock.steady()
        if self._seen is not None and self._seen[0] == found and now - self._seen[1] < WHOLE_SECONDS:
            return
        words = await asyncio.to_thread(self._damage, current)
        if words:
            await self._mend(words, current, files)
        else:
            self.damage = ""
        self._seen = None if words else (found, now)
        self._meter.set(self._meter.bind("guard_policy_snapshot_damaged"), 1.0 if self.damage else 0.0)

    async def _mend(self, words: str, current: Current, files: Mapping[str, bytes]) -> None:
        def mend() -> str:
            try:
                self._snapshots.put(current.digest, files, anew=True)
                self._snapshots.choose(current)
            except OSError as problem:
                return f"it cannot be put back: {problem.strerror or type(problem).__name__}"
            return self._damage(current) and "it could not be put back"

        left = await asyncio.to_thread(mend)
        told, self.damage = self.damage, f"{words}; {left}" if left else ""
        if told and told == self.damage:
            return  # said already
        reason = self.damage or f"{words}; it was put back"
        self._log.emit(Level.ERROR, Event.POLICY_DAMAGED, policy=current.digest, reason=reason)
        self._meter.inc(self._meter.bind("guard_policy_snapshot_damages_total"))
        await self._record("guard", "policy damaged", current.digest, reason)

    def _damage(self, current: Current) -> str:
        """Say what is not as it was put; empty where all is."""
        place = self._snapshots.place(current.digest)
        try:
            if self._snapshots.current() != current:
                return f"{self._snapshots.folder / 'current'} names another policy than the one in force"
            if read_snapshot(place).digest != current.digest:
                return f"{place} is not the policy that was put there"
        except OSError as problem:
            return problem.strerror or f"{place} cannot be read"
        return ""

    def _stamps(self, current: Current) -> Stamps:
        folder = self._snapshots.folder
        found = stamps(self._snapshots.place(current.digest))
        try:
            note = (folder / "current").stat()
        except OSError:
            return found
        return {**found, "current": (note.st_ino, note.st_size, note.st_mtime_ns, note.st_ctime_ns)}
