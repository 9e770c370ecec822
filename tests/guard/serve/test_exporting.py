"""Handing over from the page: on record before and after, one at a time, over a real request log."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.admin.incident_pages import Export, NotExportedError
from guard.audit.ledger import Ledger
from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.incidents.bundle import Bundle
from guard.incidents.folder import IncidentFolder, Read
from guard.serve.exporting import Exporting
from safeguards.decision import Failure, Unavailable
from tests.guard.incidents.stories import BEGAN, Story
from tests.safeguards.exchanges import StillClock


@dataclass
class Office:
    """An export over a log and one incident."""

    exporting: Exporting
    ledger: Ledger
    audit: Path
    folder: IncidentFolder
    one: str

    def export(self) -> Export:
        """Hand it over."""
        return asyncio.run(self.exporting.export(self.one, "Ana", "for the office"))

    def acts(self) -> list[tuple[str, str, str, str]]:
        """What is on record."""
        found = [item.record for item in iter_records(self.audit) if isinstance(item, Entry)]
        return [(each.who, each.what, each.subject, each.reason) for each in found if isinstance(each, Control)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    clock, story = StillClock(epoch=BEGAN), Story()
    folder = IncidentFolder(tmp_path / "state")
    folder.add(story.opened())
    ledger = Ledger.open(tmp_path / "audit" / "supervisor", clock)
    try:
        yield Office(Exporting(folder, tmp_path / "audit", ledger, clock), ledger, tmp_path / "audit", folder, story.id)
    finally:
        ledger.close()


def test_a_bundle_is_on_record_before_and_by_its_hash_after(office: Office) -> None:
    made = office.export()
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert made.name == f"incident-{office.one}.zip"
    assert json.loads(files["manifest.json"])["by"] == "Ana"
    digest = hashlib.sha256(files["manifest.json"]).hexdigest()
    subject = f"incident {office.one}"
    assert office.acts() == [
        ("Ana", "export", subject, "for the office [redacted]"),
        ("Ana", "exported", subject, f"for the office [manifest.json sha256 {digest}]"),
    ]
    assert [json.loads(line)["what"] for line in files["records.jsonl"].splitlines()] == ["export"]


def test_what_cannot_be_put_on_record_is_not_handed_over(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(**_: str) -> None:
        raise Unavailable(Failure.OVERLOAD, "no space left")

    monkeypatch.setattr(office.ledger, "control", full)
    with pytest.raises(NotExportedError, match="could not be put on record: no space left"):
        office.export()


def test_what_takes_too_long_is_for_the_command(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.serve.exporting.LONGEST_SECONDS", -1.0)
    with pytest.raises(NotExportedError, match="takes longer than -1 s; use guard incident export on the host"):
        office.export()
    monkeypatch.setattr("guard.serve.exporting.LONGEST_SECONDS", 30.0)
    office.export()  # the next one is made all the same


def test_one_is_made_at_a_time_and_the_loop_goes_on_meanwhile(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    began, let = threading.Event(), threading.Event()
    make = Exporting._bundle

    def slow(self: Exporting, read: Read, who: str, now: float) -> Bundle:
        began.set()
        assert let.wait(30)
        return make(self, read, who, now)

    monkeypatch.setattr(Exporting, "_bundle", slow)

    async def two() -> Export:
        first = asyncio.ensure_future(office.exporting.export(office.one, "Ana", "x"))
        await asyncio.to_thread(began.wait, 30)
        with pytest.raises(NotExportedError, match="another bundle is being made"):
            await office.exporting.export(office.one, "Ben", "y")
        let.set()
        return await first

    assert asyncio.run(two()).content
    assert {who for who, *_ in office.acts()} == {"Ana"}
