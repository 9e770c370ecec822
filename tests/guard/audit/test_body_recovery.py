"""Recovery of bodies: whole ones stay readable, what is torn is set aside and recorded, and only once."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import frames, records
from guard.audit.body_places import Kind
from guard.audit.body_recovery import recover_bodies
from guard.audit.contents import ContentError, Contents
from guard.audit.frames import End
from guard.audit.keys import KeyFolder
from guard.audit.read import Entry, iter_records
from guard.audit.segments import listing
from tests.guard.audit.fakes import KEEP, KEK, contents, exchange, quiet_ledger, sealed_files

TORN = frames.encode(Kind.BODY, 4, b"x" * 50)[:-7]


def written(audit: Path, requests: int = 2) -> Path:
    """So many requests on record; returns the one segment of their bodies."""
    log = quiet_ledger(audit)
    for number in range(requests):
        log.intent(exchange(f"r{number}", text=f"text {number} " * 20), durable=False, keep=KEEP)
    log.close()
    return sealed_files(audit)[-1]


def test_a_clean_end_leaves_nothing_to_do(tmp_path: Path) -> None:
    written(tmp_path)
    assert recover_bodies(tmp_path / "w1") == []
    assert recover_bodies(tmp_path / "none") == []


def test_a_torn_tail_is_set_aside_and_recorded_once(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + TORN)
    for _ in range(2):
        quiet_ledger(tmp_path).close()
    assert path.read_bytes() == whole
    (told,) = [one for one in contents(tmp_path) if isinstance(one, records.Recovered) and one.what == "torn_body"]
    assert (told.offset, told.set_aside, told.reason) == (len(whole), len(TORN), End.TORN)
    assert told.segment == str(path.relative_to(tmp_path / "w1"))
    assert (tmp_path / "w1" / told.file).read_bytes() == TORN


def test_damage_that_whole_texts_follow_is_left_and_they_stay_readable(tmp_path: Path) -> None:
    path = written(tmp_path, requests=3)
    data = bytearray(path.read_bytes())
    second = [frame for frame in frames.scan(bytes(data)).frames if frame.kind != Kind.SALT][1]
    data[second.offset + frames.HEADER] ^= 1
    path.write_bytes(bytes(data) + TORN)
    (torn,) = recover_bodies(tmp_path / "w1")
    assert (torn.offset, torn.size) == (len(data), len(TORN))
    assert path.read_bytes() == data


def test_a_segment_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)
    newer = bytearray(frames.encode(Kind.BODY, 99, b"x"))
    newer[4] = 99
    head = bytes(newer[: frames.HEADER - 4])
    newer[frames.HEADER - 4 : frames.HEADER] = struct.pack(">I", zlib.crc32(b"x", zlib.crc32(head)))
    raw = path.read_bytes() + newer
    path.write_bytes(raw)
    assert recover_bodies(tmp_path / "w1") == []
    assert path.read_bytes() == raw


def test_only_the_newest_days_are_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path)
    for day in ("2023-11-15", "2023-11-16"):
        (path.parent.parent / day).mkdir()
    path.write_bytes(path.read_bytes() + TORN)
    assert recover_bodies(tmp_path / "w1") == []


@pytest.fixture(scope="module")
def crashed() -> Iterator[tuple[Path, int, int]]:
    """A log of which eight requests were synced and four were not; with the sizes of both files at the sync."""
    with tempfile.TemporaryDirectory() as directory:
        audit = Path(directory) / "audit"
        log = quiet_ledger(audit)
        for number in range(12):
            if number == 8:
                size, durable = sealed_files(audit)[0].stat().st_size, listing(audit / "w1")[0].stat().st_size
            log.intent(exchange(f"r{number}", text=f"text {number} " * 20), durable=False, keep=KEEP)
        log.close()
        yield Path(directory), size, durable


@settings(max_examples=200, deadline=None)
@given(
    body_cut=st.integers(0, 900),
    leaf_cut=st.integers(0, 2500),
    how=st.sampled_from(["torn", "zeroed", "random", "hole"]),
    seed=st.integers(0, 255),
)
def test_after_a_power_cut_everything_that_was_durable_can_be_read_and_the_log_goes_on(
    crashed: tuple[Path, int, int], body_cut: int, leaf_cut: int, how: str, seed: int
) -> None:
    origin, size, durable = crashed
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(origin, place, dirs_exist_ok=True)
        audit = Path(place) / "audit"
        for path, safe, cut in (
            (sealed_files(audit)[0], size, body_cut),
            (listing(audit / "w1")[0], durable, leaf_cut),
        ):
            raw = bytearray(path.read_bytes())
            at = min(safe + cut, len(raw))
            if how == "torn":
                raw = raw[:at]
            elif how == "hole":
                raw[at : at + 40] = bytes(len(raw[at : at + 40]))
            else:
                rest = len(raw) - at
                raw[at:] = bytes(rest) if how == "zeroed" else bytes((seed + 11 * n) % 256 for n in range(rest))
            path.write_bytes(raw)
        log = quiet_ledger(audit)
        log.intent(exchange("after", "later"), durable=False, keep=KEEP)
        log.close()
        reader = Contents(audit, KeyFolder(audit.parent / "content-keys"), KEK)
        read: dict[str, str] = {}
        for item in iter_records(audit):
            if isinstance(item, Entry) and isinstance(item.record, records.Intent):
                try:
                    (text,) = reader.texts("w1", item.record)
                except ContentError:
                    continue
                read[item.record.id] = text.text
        assert all(text == ("later" if one == "after" else f"text {one[1:]} " * 20) for one, text in read.items())
        assert {*(f"r{number}" for number in range(8)), "after"} <= set(read)
