"""Segments: their names, reading one as it grows, writing all of every record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.audit.frames import End, encode, scan
from guard.audit.segments import Segment, SegmentReader, first_of, listing, name
from tests.guard.audit.fakes import FaultyDisk


def test_segments_are_listed_in_the_order_of_their_sequence_and_nothing_else_is(tmp_path: Path) -> None:
    for other in ("lock", "seg-1.log", "seg-00000000000000000001.torn-9", "x" + name(3), name(4) + "~"):
        (tmp_path / other).touch()
    for first in (100, 9, 20):
        (tmp_path / name(first)).touch()
    assert [first_of(path) for path in listing(tmp_path)] == [9, 20, 100]
    assert listing(tmp_path / "nowhere") == []
    with pytest.raises(ValueError, match="not the name of a segment"):
        first_of(tmp_path / "seg-1.log")


def test_a_reader_follows_a_segment_that_grows_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / name(5)
    whole = encode(1, 5, b"one") + encode(1, 6, b"two")
    path.write_bytes(whole[:30])
    reader = SegmentReader(path)
    assert [frame.payload for frame in reader.read()] == [b"one"]
    assert (reader.end, reader.offset) == (End.TORN, 25)
    path.write_bytes(whole)
    assert [frame.payload for frame in reader.read()] == [b"two"]
    assert (reader.end, list(reader.read())) == (End.COMPLETE, [])


def test_a_segment_that_was_renamed_is_not_read_as_another(tmp_path: Path) -> None:
    path = tmp_path / name(6)
    path.write_bytes(encode(1, 5, b"one"))
    reader = SegmentReader(path)
    assert (list(reader.read()), reader.end) == ([], End.SEQUENCE)


@pytest.mark.parametrize("short", [1, 7, 1000])
def test_short_writes_are_continued(tmp_path: Path, short: int) -> None:
    disk = FaultyDisk()
    disk.short = short
    segment = Segment(disk, tmp_path / name(1))
    segment.write(encode(1, 1, b"x" * 50))
    segment.write(encode(1, 2, b"y" * 50))
    segment.close()
    found = scan(segment.path.read_bytes(), 1)
    assert (len(found.frames), found.end, segment.size) == (2, End.COMPLETE, found.offset)


def test_a_write_that_takes_nothing_is_an_error_and_not_an_endless_loop(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.short = 0
    segment = Segment(disk, tmp_path / name(1))
    with pytest.raises(OSError, match="took no bytes"):
        segment.write(b"x")
    segment.close()


def test_a_segment_is_its_owners_only_and_never_an_existing_file(tmp_path: Path) -> None:
    segment = Segment(FaultyDisk(), tmp_path / name(1))
    assert segment.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Segment(FaultyDisk(), tmp_path / name(1))
    segment.close()


def test_a_removed_segment_is_an_error_at_the_next_sync(tmp_path: Path) -> None:
    segment = Segment(FaultyDisk(), tmp_path / name(1))
    segment.write(b"x")
    segment.sync()
    segment.path.unlink()
    with pytest.raises(OSError, match="removed"):
        segment.sync()
    segment.close()


@pytest.mark.parametrize("left", [0, 5])
def test_a_segment_that_was_cut_is_an_error_at_the_next_sync(tmp_path: Path, left: int) -> None:
    segment = Segment(FaultyDisk(), tmp_path / name(1))
    segment.write(b"0123456789")
    segment.sync()
    os.truncate(segment.path, left)
    segment.write(b"x")
    with pytest.raises(OSError, match=f"the segment was cut: it has {left + 1} bytes of 11"):
        segment.sync()
    segment.close()
