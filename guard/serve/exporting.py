"""Handing an incident over from the control page: on record before and after, made beside the loop, one at a time.

The log is read in a thread, so that no stop waits for it, and for so long only: what takes longer is for
`guard incident export` on the host.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from guard import __version__
from guard.admin.incident_pages import Export, NotExportedError
from guard.audit.ledger import Ledger
from guard.audit.segments import LedgerError
from guard.incidents.bundle import MANIFEST, Bundle, BundleError, belonging, bundle
from guard.incidents.folder import IncidentFolder, Read
from safeguards.decision import Unavailable
from safeguards.ports import Clock

LONGEST_SECONDS: Final = 30.0


class Exporting:
    """Implements `guard.admin.incident_pages.Exports`."""

    def __init__(self, folder: IncidentFolder, audit: Path, ledger: Ledger, clock: Clock) -> None:
        """Take the incidents, the log of every process, the one to write to, and the time."""
        self._folder = folder
        self._audit = audit
        self._ledger = ledger
        self._clock = clock
        self._busy = False

    async def export(self, one: str, who: str, reason: str) -> Export:
        """Make the bundle of an incident that there is; raises NotExportedError or OSError."""
        if self._busy:
            raise NotExportedError("another bundle is being made; try again in a moment")
        self._busy = True
        try:
            return await self._made(one, who, reason)
        except LedgerError as error:
            raise NotExportedError(f"the request log cannot be read: {error}") from None
        except BundleError as much:
            raise NotExportedError(str(much)) from None
        except Unavailable as failure:
            raise NotExportedError(f"it could not be put on record: {failure.reason}") from None
        finally:
            self._busy = False

    async def _made(self, one: str, who: str, reason: str) -> Export:
        await self._ledger.control(who=who, what="export", subject=f"incident {one}", reason=f"{reason} [redacted]")
        now = self._clock.now()
        made = await asyncio.to_thread(self._bundle, self._folder.read(one), who, now)
        content = await asyncio.to_thread(made.zipped, f"incident-{one}", now)
        words = f"{reason} [{MANIFEST} sha256 {made.digest}]"
        await self._ledger.control(who=who, what="exported", subject=f"incident {one}", reason=words)
        return Export(f"incident-{one}.zip", content)

    def _bundle(self, read: Read, who: str, now: float) -> Bundle:
        return bundle(read, belonging(self._audit, read, _until(LONGEST_SECONDS)), who, now, __version__)


def _until(seconds: float) -> Callable[[int], None]:
    limit = time.monotonic() + seconds

    def passed(_: int) -> None:
        if time.monotonic() > limit:
            raise BundleError(f"it takes longer than {seconds:g} s; use guard incident export on the host")

    return passed
