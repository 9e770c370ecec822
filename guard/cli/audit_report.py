"""What ``guard audit verify`` says: what is wrong and where, line by line or as one JSON object."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from guard.audit.findings import Finding
from guard.audit.render import moment, printable
from guard.audit.verify import Report

_SHOWN_OPEN: Final = 20


def as_text(report: Report) -> str:
    """The report for people; the first finding of the first log comes first."""
    said: list[str] = []
    out = said.append
    for finding in report.findings[:1]:
        out(f"FIRST: {_where(finding)}\n       {printable(finding.what)}\n")
    for finding in report.findings[1:]:
        out(f"also:  {_where(finding)}\n       {printable(finding.what)}\n")
    for notice in report.notices:
        out(f"note:  {printable(notice)}\n")
    if report.open:
        shown = ", ".join(report.open[:_SHOWN_OPEN]) + (", ..." if len(report.open) > _SHOWN_OPEN else "")
        out(f"note:  {len(report.open)} requests have no end on record (they run, or a crash was not recovered): ")
        out(f"{printable(shown)}\n")
    for log in report.logs:
        unsigned = f", {log.size - log.signed} of them not signed yet" if log.size > log.signed else ""
        out(f"{log.writer}: {log.size} records{unsigned}; {log.heads} signed heads compared\n")
    if stamps := report.stamps:
        said_by = "their signatures checked" if stamps.checked else "their signatures NOT checked (--timestamp-ca)"
        span = f"{moment(stamps.first)} to {moment(stamps.last)}, at most {stamps.widest:.0f} s apart"
        out(f"time stamps: {stamps.count}, from {span}; {said_by}\n")
    verdict = "intact" if report.intact else "NOT INTACT"
    out(f"{report.origin}: {verdict}, {len(report.findings)} findings, {report.epochs} epochs\n")
    return "".join(said)


def _where(finding: Finding) -> str:
    place = finding.place
    parts = [place.writer]
    if place.segment:
        parts.append(f"{place.segment} at byte {place.offset}")
    if place.sequence:
        parts.append(f"record {place.sequence}{f' ({place.kind})' if place.kind else ''}")
    if place.request:
        parts.append(f"of request {place.request}")
    return printable(", ".join(parts))


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    for log in found["logs"]:
        del log["findings"], log["notices"], log["deleted"]
        log["open"] = list(log["open"])
    return {"intact": report.intact, **found}
