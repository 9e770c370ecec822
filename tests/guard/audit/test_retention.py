"""Deleting: nothing before its time or while it is held, everything after, and no leaf ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.contents import ContentError, Contents
from guard.audit.holds import Held, Hold
from guard.audit.keys import KeyFolder
from guard.audit.read import Entry, iter_records
from guard.audit.retention import Due, delete, due, ends, shredded, strays
from guard.audit.segments import listing
from tests.guard.audit.fakes import KEEP, KEK, exchange, outcome, quiet_ledger, sealed_files

DAY = date(2023, 11, 14)
NONE = Held((), frozenset())
OWNERS = ("search team", "another team")


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """A flagged exchange of each of two owners, on one day."""
    log = quiet_ledger(tmp_path / "audit")
    for owner in OWNERS:
        asked = exchange(owner)
        asked = replace(asked, caller=replace(asked.caller, owner=owner))
        log.intent(asked, durable=False, keep=KEEP)
        log.outcome(asked, outcome(), durable=False)
    log.close()
    return tmp_path / "audit"


def folder(audit: Path) -> KeyFolder:
    return KeyFolder(audit.parent / "content-keys")


def found(audit: Path, today: date, held: Held = NONE, floor: int = 0) -> list[Due]:
    return list(due(audit, folder(audit), held, today, floor))


def readable(audit: Path) -> dict[str, list[str]]:
    """The owners whose texts can be read, of each kind of record."""
    reader = Contents(audit, folder(audit), KEK)
    readers: dict[str, list[str]] = {"Intent": [], "Outcome": []}
    for item in iter_records(audit):
        assert isinstance(item, Entry)
        name = type(item.record).__name__
        if name in readers:
            try:
                texts = reader.texts("w1", item.record) if name == "Intent" else reader.flagged("w1", item.record)  # type: ignore[arg-type]
            except ContentError:
                continue
            assert texts
            readers[name].append(item.record.id)  # type: ignore[union-attr]
    return readers


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 4000), st.integers(0, 4000))
def test_a_class_ends_after_its_whole_days_and_never_before_the_floor(day: date, days: int, floor: int) -> None:
    end = ends(f"content-{days}", str(day), floor)
    last_text = day + timedelta(days=1)  # the end of the day
    assert end - last_text >= timedelta(days=max(days, floor))
    assert end - last_text == timedelta(days=max(days, floor))


def test_nothing_is_due_before_its_time_and_each_class_at_its_own(audit: Path) -> None:
    assert found(audit, DAY + timedelta(days=30)) == []
    assert [one.subject for one in found(audit, DAY + timedelta(days=31))] == ["content-30/2023-11-14"]
    assert len(found(audit, DAY + timedelta(days=731))) == 2


def test_what_is_due_is_gone_afterwards_and_nothing_else(audit: Path) -> None:
    leaves = [path.read_bytes() for path in listing(audit / "w1")]
    (one,) = found(audit, DAY + timedelta(days=31))
    assert (len(one.keys), len(one.folders)) == (2, 1)
    assert one.bytes == sum(path.stat().st_size for path in sealed_files(audit) if "content-30" in path.parts)
    delete(one, folder(audit))
    assert [path.parts[-3] for path in sealed_files(audit)] == ["flagged-730"]
    assert readable(audit) == {"Intent": [], "Outcome": list(OWNERS)}
    assert [path.read_bytes() for path in listing(audit / "w1")] == leaves
    assert found(audit, DAY + timedelta(days=31)) == []


def test_the_floor_of_a_standard_keeps_what_was_promised_for_less(audit: Path) -> None:
    assert found(audit, DAY + timedelta(days=60), floor=60) == []
    assert len(found(audit, DAY + timedelta(days=61), floor=60)) == 1


def test_what_is_held_stays_and_the_others_keys_go_in_time(audit: Path) -> None:
    held = Held((Hold("hold-1", "", "", 0.0, owner=OWNERS[0]),), frozenset())
    (one,) = found(audit, DAY + timedelta(days=31), held)
    assert ([each.file.owner for each in one.keys], one.folders, len(one.held)) == ([OWNERS[1]], (), 1)
    assert "kept by hold-1" in str(one)
    delete(one, folder(audit))
    assert readable(audit)["Intent"] == [OWNERS[0]]
    (rest,) = found(audit, DAY + timedelta(days=31))
    delete(rest, folder(audit))
    assert readable(audit)["Intent"] == []


def test_dying_between_keys_and_segments_is_mended_by_the_next_run(audit: Path) -> None:
    (one,) = found(audit, DAY + timedelta(days=31))
    for stored in one.keys:
        folder(audit).destroy(stored)
    (again,) = found(audit, DAY + timedelta(days=31))
    assert (again.keys, len(again.folders)) == ((), 1)
    delete(again, folder(audit))
    assert found(audit, DAY + timedelta(days=31)) == []


def test_shredding_takes_an_owners_keys_of_the_days_and_classes_and_leaves_the_rest(audit: Path) -> None:
    leaves = [path.read_bytes() for path in listing(audit / "w1")]
    for one in list(shredded(audit, folder(audit), NONE, OWNERS[0], "content", DAY, DAY)):
        delete(one, folder(audit))
    assert readable(audit) == {"Intent": [OWNERS[1]], "Outcome": list(OWNERS)}
    assert len(sealed_files(audit)) == 2
    assert not list(shredded(audit, folder(audit), NONE, OWNERS[1], None, DAY + timedelta(days=1), date.max))
    for one in list(shredded(audit, folder(audit), NONE, None, None, DAY, DAY)):
        delete(one, folder(audit))
    assert readable(audit) == {"Intent": [], "Outcome": []}
    assert sealed_files(audit) == []
    assert [path.read_bytes() for path in listing(audit / "w1")] == leaves


def test_shredding_says_what_is_held(audit: Path) -> None:
    held = Held((Hold("hold-1", "", "", 0.0),), frozenset())
    for one in shredded(audit, folder(audit), held, OWNERS[0], None, DAY, DAY):
        assert (one.keys, len(one.held)) == ((), 1)


def test_texts_without_a_copy_lose_their_keys_in_time_and_wait_as_files_up_to_a_bound(audit: Path) -> None:
    today = DAY + timedelta(days=31)

    def nowhere(_: Path) -> bool:
        return False

    (one,) = due(audit, folder(audit), NONE, today, 0, copied=nowhere, patience=7)
    assert (len(one.keys), one.folders, len(one.wait), one.bytes) == (2, (), 1, 0)
    assert "1 folders wait for their copies" in str(one)
    delete(one, folder(audit))
    assert readable(audit)["Intent"] == []
    assert one.wait[0].is_dir()
    (still,) = due(audit, folder(audit), NONE, today + timedelta(days=6), 0, copied=nowhere, patience=7)
    assert (still.keys, still.wait) == ((), one.wait)
    (late,) = due(audit, folder(audit), NONE, today + timedelta(days=7), 0, copied=nowhere, patience=7)
    assert late.folders == one.wait
    (copied,) = due(audit, folder(audit), NONE, today, 0, copied=lambda _: True, patience=7)
    assert copied.folders == one.wait


def test_an_owner_without_a_name_is_not_everybody(audit: Path) -> None:
    assert list(shredded(audit, folder(audit), NONE, "", None, DAY, DAY)) == []
    assert list(shredded(audit, folder(audit), NONE, None, "", DAY, DAY)) == []


def test_what_is_no_folder_of_a_class_and_day_is_named_and_stops_nothing(audit: Path) -> None:
    bodies = audit / "w1" / "bodies"
    names = ["content-30/2026-13-45", "content-30/x", "content-old", "x-y"]
    for name in names:
        (bodies / name).mkdir(parents=True)
    (bodies / "content-30" / "2026-11-20").touch()
    assert [str(path.relative_to(bodies)) for path in strays(audit)] == sorted([*names, "content-30/2026-11-20"])
    (one,) = found(audit, DAY + timedelta(days=31))
    assert one.subject == f"content-30/{DAY}"


def test_a_class_that_outlasts_the_calendar_never_ends() -> None:
    assert ends("content-99999", "9999-12-31") == date.max
