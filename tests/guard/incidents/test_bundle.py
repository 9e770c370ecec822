"""A bundle holds the events, the records that belong to the incident and no others, and hashes that show a change."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from msgspec import structs

from guard.audit.ledger import Ledger
from guard.incidents import bundle as bundling
from guard.incidents.bundle import MANIFEST, BundleError, belonging, bundle
from guard.incidents.events import decode, made
from guard.incidents.folder import Read
from tests.guard.incidents.stories import BEGAN, HOUR, Story
from tests.safeguards.exchanges import StillClock

STOP = "0" * 25 + "1"
"""Made long before; so is what is on record of it."""


def written(audit: Path, acts: list[tuple[float, str, str]]) -> None:
    """Write acts of control at these times: what, and of what."""
    clock = StillClock(epoch=0.0)
    ledger = Ledger.open(audit / "supervisor", clock)

    async def write() -> None:
        for at, what, subject in acts:
            clock.epoch = at
            await ledger.control(who="ana", what=what, subject=subject, reason="")

    try:
        asyncio.run(write())
    finally:
        ledger.close()


def acts(audit: Path, read: Read) -> list[str]:
    """What was done by the records that belong to it."""
    made_ = bundle(read, belonging(audit, read), "ana", BEGAN, "1")
    return [json.loads(line)["what"] for line in made_.files["records.jsonl"].splitlines()]


def test_what_names_it_or_its_stop_belongs_to_it_and_nothing_else(tmp_path: Path) -> None:
    opened = Story().opened(stop=STOP)
    read = Read(opened.id, (opened,), ())
    written(
        tmp_path,
        [
            (BEGAN - 90 * 24 * HOUR, "stop", f"{STOP} model:demo"),
            (BEGAN - HOUR, "stop", "another"),
            (BEGAN, "incident open", f"{opened.id} {opened.id}"),
            (BEGAN + HOUR, "sign in", "ana"),
        ],
    )
    assert acts(tmp_path, read) == ["stop", "incident open"]


def test_the_orders_that_the_guard_gave_for_it_belong_to_it(tmp_path: Path) -> None:
    story = Story()
    opened, step = story.opened(), story.stepped()
    read = Read(opened.id, (opened, step), ())
    written(tmp_path, [(BEGAN, "stop", f"{step.order} model:demo")])
    assert acts(tmp_path, read) == ["stop"]


def test_without_a_log_there_are_events_alone(tmp_path: Path) -> None:
    story = Story()
    opened = story.opened()
    assert acts(tmp_path / "none", Read(opened.id, (opened,), ())) == []


def test_the_manifest_names_every_file_by_its_hash() -> None:
    story = Story()
    events = (story.opened(), story.closed())
    found = bundle(Read(story.id, events, ("x.json",)), (), "ana", BEGAN, "1.2")
    assert list(found.files)[-1] == MANIFEST
    manifest = json.loads(found.files[MANIFEST])
    assert hashlib.sha256(found.files[MANIFEST]).hexdigest() == found.digest
    assert (manifest["by"], manifest["guard"], manifest["redacted"], manifest["damaged"]) == (
        "ana",
        "1.2",
        True,
        ["x.json"],
    )
    for each in manifest["files"]:
        content = found.files[each["name"]]
        assert (each["bytes"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert tuple(decode(line + b"\n") for line in found.files["events.jsonl"].splitlines()) == events


def test_the_archive_holds_the_very_files_and_is_the_same_each_time() -> None:
    story = Story()
    opened = story.opened()
    found = bundle(Read(story.id, (opened,), ()), (), "ana", BEGAN, "1")
    whole = found.zipped("incident-x", BEGAN)
    assert found.zipped("incident-x", BEGAN) == whole
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"incident-x/{name}": content for name, content in found.files.items()
        }


def test_more_than_is_ever_handed_over_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    opened = story.opened()
    read = Read(opened.id, (opened,), ())
    written(tmp_path, [(BEGAN, "incident open", opened.id)] * 3)
    monkeypatch.setattr(bundling, "MAX_RECORDS", 2)
    with pytest.raises(BundleError, match="more than 2 records"):
        acts(tmp_path, read)
    monkeypatch.setattr(bundling, "MAX_RECORDS", 3)
    monkeypatch.setattr(bundling, "MAX_BYTES", 100)
    with pytest.raises(BundleError, match="more than 100 bytes"):
        acts(tmp_path, read)


def test_whoever_has_waited_long_enough_ends_it(tmp_path: Path) -> None:
    story = Story()
    opened = story.opened(requests=("r1",))
    written(tmp_path, [(BEGAN, "x", "y")])
    seen: list[int] = []

    def passed(count: int) -> None:
        seen.append(count)
        if count > 1:
            raise BundleError("enough")

    with pytest.raises(BundleError, match="enough"):
        list(belonging(tmp_path, Read(opened.id, (opened,), ()), passed))
    assert seen == [1, 2]


def test_an_id_tells_when_it_was_made() -> None:
    assert made(Story().opened().id) == BEGAN
    assert made("no id") == 0.0


def test_what_was_done_long_before_the_time_in_its_id_belongs_to_it(tmp_path: Path) -> None:
    opened = structs.replace(Story(began=BEGAN + 100 * 24 * HOUR).opened(), at=BEGAN)
    written(tmp_path, [(BEGAN, "incident open", f"{opened.id} {opened.id}")])
    assert acts(tmp_path, Read(opened.id, (opened,), ())) == ["incident open"]
