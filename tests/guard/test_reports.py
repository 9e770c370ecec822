"""A report is on the disk before it is acknowledged, counted and told of; without the disk it is refused."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from guard import reports
from guard.audit.contents import Text
from guard.audit.ledger import Ledger
from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.clock import SystemClock
from guard.local import Report
from guard.reports import RecordedReports
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from guard.witness import Witness
from safeguards.category import Category
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Caller
from tests.guard.audit.fakes import KEEP, contents, data_keys, kept

CLOCK = SystemClock()
CALLER = Caller("app", "an application", "general")
SECRET = "words of the caller"
REPORT = Report("0123abcd", "cyber", SECRET)


class Failing:
    """A ledger whose control reports come to this."""

    def __init__(self, *, at_once: Exception | None = None, later: Exception | None = None) -> None:
        """Raise at once or when awaited; without either, never end."""
        self._at_once = at_once
        self._later = later

    def report(self, **_: object) -> Awaitable[None]:
        """As `Ledger.report`."""
        if self._at_once is not None:
            raise self._at_once
        return self._wait()

    async def _wait(self) -> None:
        if self._later is not None:
            raise self._later
        await asyncio.Event().wait()


def witness(tmp_path: Path) -> tuple[Witness, Path]:
    told = tmp_path / "log"
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return Witness(Meter(Origin.WORKER), JsonLog(CLOCK, fd=descriptor), None), told


def counted(witness: Witness) -> dict[str, float]:
    counters = witness.meter.state().counters
    return {key[1]: value for key, value in counters.items() if key[0] == "guard_reports_total"}


def file(desk: RecordedReports) -> None:
    asyncio.run(desk.file(REPORT, CALLER))


def test_a_report_is_on_the_disk_when_filing_returns(tmp_path: Path) -> None:
    told, log = witness(tmp_path)

    async def main() -> list[Any]:
        ledger = Ledger.open(tmp_path / "audit" / "worker-0", CLOCK, keys=data_keys(tmp_path / "audit"))
        try:
            await RecordedReports(ledger, told, KEEP).file(REPORT, CALLER)
            return [item.record for item in iter_records(tmp_path / "audit") if isinstance(item, Entry)]
        finally:
            ledger.close()

    (record,) = [each for each in asyncio.run(main()) if isinstance(each, Control)]
    assert (record.who, record.what, record.subject) == ("app (an application)", "report", "0123abcd")
    assert (record.reason, record.chars) == ("cyber", len(SECRET))
    assert kept(tmp_path / "audit") == [(Text("comment", SECRET),)]
    (line,) = [json.loads(each) for each in log.read_text().splitlines()]
    assert (line["event"], line["id"], line["category"], line["key"]) == ("report", "0123abcd", "cyber", "app")
    assert SECRET not in log.read_text()


def test_without_a_key_the_comment_is_not_kept_and_its_length_is(tmp_path: Path) -> None:
    told, _ = witness(tmp_path)

    async def main() -> None:
        ledger = Ledger.open(tmp_path / "audit" / "worker-0", CLOCK)
        try:
            await RecordedReports(ledger, told, None).file(REPORT, CALLER)
        finally:
            ledger.close()

    asyncio.run(main())
    (record,) = [each for each in contents(tmp_path / "audit") if isinstance(each, Control)]
    assert (record.reason, record.chars, record.body) == ("cyber", len(SECRET), "")


def test_every_category_counts_from_zero(tmp_path: Path) -> None:
    told, _ = witness(tmp_path)
    ledger: Any = Failing()
    RecordedReports(ledger, told, KEEP)
    assert counted(told) == {category.value: 0.0 for category in Category}


def test_a_report_is_counted_by_its_category(tmp_path: Path) -> None:
    told, _ = witness(tmp_path)

    async def main() -> None:
        ledger = Ledger.open(tmp_path / "audit" / "worker-0", CLOCK, keys=data_keys(tmp_path / "audit"))
        try:
            desk = RecordedReports(ledger, told, KEEP)
            await desk.file(REPORT, CALLER)
            await desk.file(REPORT, CALLER)
        finally:
            ledger.close()

    asyncio.run(main())
    assert {category: count for category, count in counted(told).items() if count} == {"cyber": 2.0}


@pytest.mark.parametrize(
    "ledger",
    [
        Failing(at_once=Unavailable(Failure.UNREACHABLE, "the disk is full")),
        Failing(later=Unavailable(Failure.UNREACHABLE, "the disk is full")),
    ],
)
def test_a_log_that_cannot_take_it_is_a_refusal_and_nothing_is_counted(ledger: Any, tmp_path: Path) -> None:
    told, log = witness(tmp_path)
    with pytest.raises(Unavailable, match="the disk is full"):
        file(RecordedReports(ledger, told, KEEP))
    assert not any(counted(told).values())
    assert log.read_text() == ""


def test_a_disk_that_hangs_is_waited_for_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "RECORD_SECONDS", 0.01)
    told, _ = witness(tmp_path)
    ledger: Any = Failing()
    with pytest.raises(Unavailable, match=r"not on the disk within 0\.01 s") as caught:
        file(RecordedReports(ledger, told, KEEP))
    assert caught.value.failure is Failure.TIMEOUT
    assert not any(counted(told).values())


def test_a_ledger_that_is_closed_is_a_failure(tmp_path: Path) -> None:
    told, _ = witness(tmp_path)

    async def main() -> None:
        ledger = Ledger.open(tmp_path / "audit" / "worker-0", CLOCK, keys=data_keys(tmp_path / "audit"))
        ledger.close()
        await RecordedReports(ledger, told, KEEP).file(REPORT, CALLER)

    with pytest.raises(Unavailable, match="closed"):
        asyncio.run(main())
