"""Reports of harm go on record at once; the time of that record is where the clock of their remediation starts (B7)."""

from __future__ import annotations

import asyncio
from typing import Final

from guard.audit.ledger import Ledger
from guard.local import Report
from guard.telemetry.logs import Event, Level
from guard.witness import Witness
from safeguards.category import Category
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Caller
from safeguards.ports import Keep

RECORD_SECONDS: Final = 5.0


class RecordedReports:
    """Implements `guard.local.Desk` over this process's ledger; metrics and the log say that there is one to see."""

    def __init__(self, ledger: Ledger, witness: Witness, keep: Keep | None) -> None:
        """Take where reports are recorded, who is told, and for how long comments are kept (None: not at all).

        Every category counts from zero, so that one is a rise.
        """
        self._ledger = ledger
        self._keep = keep
        self._witness = witness
        for category in Category:
            witness.meter.bind("guard_reports_total", category)

    async def file(self, report: Report, caller: Caller) -> None:
        """Return once it is on the disk; raises Unavailable when it cannot be recorded, or not in time."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._ledger.report(
                    who=f"{caller.key} ({caller.owner})",
                    owner=caller.owner,
                    subject=report.request,
                    category=report.category,
                    comment=report.comment,
                    keep=self._keep,
                )
        except TimeoutError:  # it may yet get to the disk; two records of one report are better than none
            raise Unavailable(Failure.TIMEOUT, f"audit log: not on the disk within {RECORD_SECONDS} s") from None
        meter = self._witness.meter
        meter.inc(meter.bind("guard_reports_total", report.category))
        self._witness.log.emit(
            Level.WARNING, Event.REPORT, id=report.request, category=report.category, key=caller.key, tier=caller.tier
        )
