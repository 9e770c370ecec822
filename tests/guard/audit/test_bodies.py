"""Bodies: what was written is in the file, what was synced stays, and no nonce or place is used twice."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import bodies, encryption, frames
from guard.audit.bodies import Bodies, TooLongError
from guard.audit.body_places import Kind, Where, day_of, where
from guard.audit.contents import ContentError, Contents
from guard.audit.disk import Disk, LocalDisk
from guard.audit.keys import KeyFolder
from guard.audit.records import Part
from guard.audit.wrapping import DataKey
from tests.guard.audit.fakes import KEK, FaultyDisk, data_keys, sealed_files

DAY = "2026-11-23"
CLASS = "content-30"
LONG = b"a long text of many words, " * 10


class Desk:
    """Bodies of one writer, a key, and what was written."""

    def __init__(self, audit: Path, disk: Disk | None = None, size: int = 1_000_000) -> None:
        """Begin."""
        self.audit = audit
        self.keys = data_keys(audit)
        self.bodies = Bodies(audit / "w1", self.keys, disk or LocalDisk(), size=size)
        self.hint = 1
        self.now = 100.0

    def key(self, owner: str = "a team", retention: str = CLASS, day: str = DAY) -> DataKey:
        """A data key."""
        return self.bodies.key(owner, retention, day)

    def write(self, *texts: bytes, one: str = "r1", key: DataKey | None = None) -> Part:
        """Write a body; returns a leaf of its first text."""
        key = key or self.key()
        salt = self.bodies.salt()
        matches = [key.match(text) for text in texts]
        writing, at, size = self.bodies.write(key, one, salt, texts, now=self.now, hint=self.hint, matches=matches)
        assert size > 0
        self.hint += 1
        return Part(0.0, 0.0, one, "content[0]", 0, 0, encryption.commitment(salt, 0, texts[0]), f"{writing.place}{at}")

    def read(self, leaf: Part) -> bytes:
        """The text that a leaf names."""
        contents = Contents(self.audit, KeyFolder(self.audit.parent / "content-keys"), KEK)
        (text,) = contents.texts("w1", leaf)
        return encryption.encoded(text.text)


def test_what_was_written_is_in_the_file_sealed_and_for_its_owner_only(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "audit")
    leaf = desk.write(b"SECRET")
    (path,) = sealed_files(tmp_path / "audit")
    assert b"SECRET" not in path.read_bytes()
    assert b"r1" not in path.read_bytes()
    assert desk.read(leaf) == b"SECRET"
    assert str(path.relative_to(tmp_path / "audit" / "w1" / "bodies")) == where(leaf.body).file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_text_that_comes_again_is_kept_once_for_its_owner(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "audit")
    (first, *again) = [desk.write(LONG, one=f"r{number}") for number in range(20)]
    (path,) = sealed_files(tmp_path / "audit")
    kinds = [frame.kind for frame in frames.scan(path.read_bytes()).frames]
    assert kinds == [Kind.SALT, Kind.BLOB, *[Kind.BODY] * 20]
    assert all(desk.read(leaf) == LONG for leaf in (first, *again))
    desk.write(LONG, key=desk.key("another team"))
    assert [frame.kind for frame in frames.scan(path.read_bytes()).frames][-2:] == [Kind.BLOB, Kind.BODY]


def test_a_conversation_that_sends_its_history_again_grows_by_what_is_new(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "audit")
    turns = [bytes([65 + number % 26]) * 7 + bytes(str(number**7), "ascii") * 60 for number in range(40)]
    for number in range(1, 41):
        desk.write(*turns[:number], one=f"r{number}")
    (path,) = sealed_files(tmp_path / "audit")
    naive = sum(len(turn) for number in range(1, 41) for turn in turns[:number])
    assert path.stat().st_size < naive / 5


def test_the_blobs_that_are_remembered_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_KNOWN", 2)
    desk = Desk(tmp_path / "audit")
    for text in (b"a" * 100, b"b" * 100, b"c" * 100, b"a" * 100):
        desk.write(text)
    (path,) = sealed_files(tmp_path / "audit")
    assert [frame.kind for frame in frames.scan(path.read_bytes()).frames].count(Kind.BLOB) == 4


def test_every_class_and_day_has_its_own_segments_and_they_are_rotated(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "audit", size=2000)
    leaves = [desk.write(bytes([number]) * 500) for number in range(10)]
    leaves += [
        desk.write(b"x", key=desk.key(retention="flagged-730")),
        desk.write(b"y", key=desk.key(day="2026-11-24")),
    ]
    places = {(found.retention, found.day) for found in (where(leaf.body) for leaf in leaves)}
    assert places == {(CLASS, DAY), ("flagged-730", DAY), (CLASS, "2026-11-24")}
    desk.bodies.sync()
    for number, leaf in enumerate(leaves[:10]):
        assert desk.read(leaf) == bytes([number]) * 500


def test_no_nonce_comes_twice_under_a_key_whatever_process_writes(tmp_path: Path) -> None:
    seen = set()
    for _ in range(5):
        desk = Desk(tmp_path / "audit", size=600)  # the same day, the same data key, again from number one
        for number in range(6):
            desk.write(bytes([number]) * 200)
    for path in sealed_files(tmp_path / "audit"):
        salt, *rest = frames.scan(path.read_bytes()).frames
        for frame in rest:
            seen.add((salt.payload, frame.payload[:8], frame.sequence))
    assert len(seen) == sum(len(frames.scan(path.read_bytes()).frames) - 1 for path in sealed_files(tmp_path / "audit"))
    assert len({frames.scan(path.read_bytes()).frames[0].payload for path in sealed_files(tmp_path / "audit")}) == len(
        sealed_files(tmp_path / "audit")
    )


def test_sync_covers_what_was_written_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    disk = FaultyDisk()
    desk = Desk(tmp_path / "audit", disk)
    desk.write(b"one")
    desk.write(b"two", key=desk.key(retention="flagged-730"))
    desk.bodies.sync()
    assert len(disk.synced) == 2
    desk.bodies.sync()
    assert len(disk.synced) == 2
    desk.write(b"three")
    desk.bodies.sync()
    assert len(disk.synced) == 3


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(28, "No space left on device")])
def test_a_failed_sync_is_told_once_and_its_segment_is_never_synced_or_written_again(
    tmp_path: Path, error: OSError
) -> None:
    disk = FaultyDisk()
    desk = Desk(tmp_path / "audit", disk)
    desk.write(LONG)
    disk.sync_error = error
    with pytest.raises(OSError, match=str(error.strerror)):
        desk.bodies.sync()
    synced = len(disk.synced)
    desk.bodies.sync()
    assert len(disk.synced) == synced
    with pytest.raises(OSError, match=str(error.strerror)):
        desk.write(b"too early")
    disk.sync_error = None
    desk.now += 1.0
    leaf = desk.write(LONG)
    desk.bodies.sync()
    # Nothing refers to what may be lost: the long text is written anew.
    first, second = sealed_files(tmp_path / "audit")
    first.unlink()
    assert desk.read(leaf) == LONG
    assert second.name in where(leaf.body).file


def test_a_failed_write_is_told_to_those_who_wait_for_what_was_written_before(tmp_path: Path) -> None:
    disk = FaultyDisk()
    desk = Desk(tmp_path / "audit", disk)
    desk.write(b"before")
    disk.room = 10
    with pytest.raises(OSError, match="No space left"):
        desk.write(b"half of it fits")
    with pytest.raises(OSError, match="No space left"):
        desk.bodies.sync()
    disk.room = None
    desk.bodies.sync()
    desk.now += 1.0
    leaf = desk.write(b"after")
    desk.bodies.sync()
    assert desk.read(leaf) == b"after"


def test_a_segment_that_cannot_be_begun_is_tried_again_only_after_a_while(tmp_path: Path) -> None:
    disk = FaultyDisk()
    desk = Desk(tmp_path / "audit", disk)
    disk.create_error = OSError(28, "No space left on device")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            desk.write(b"full")
        disk.create_error = None
    assert sealed_files(tmp_path / "audit") == []
    desk.now += 1.0
    assert desk.read(desk.write(b"back")) == b"back"


def test_texts_beyond_the_bound_are_refused_and_the_segment_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "audit")
    desk.write(b"before")
    monkeypatch.setattr(bodies, "MAX_TEXTS", 100)
    with pytest.raises(TooLongError):
        desk.write(b"x" * 60, b"y" * 41)
    assert desk.read(desk.write(b"after")) == b"after"
    assert len(sealed_files(tmp_path / "audit")) == 1


def test_segments_of_days_gone_are_closed_and_a_late_text_still_finds_its_day(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "audit")
    key = desk.key()
    desk.write(b"x", key=key)
    desk.bodies.sync()
    desk.bodies.tend("2026-11-24")
    late = desk.write(b"late", key=key)
    assert len(sealed_files(tmp_path / "audit")) == 1
    desk.bodies.sync()
    desk.bodies.tend("2026-11-25")
    later = desk.write(b"later", key=key)
    assert len(sealed_files(tmp_path / "audit")) == 2
    assert [desk.read(late), desk.read(later)] == [b"late", b"later"]
    desk.bodies.sync()
    desk.bodies.close()


@pytest.mark.parametrize(
    "text",
    ["", "x", "content-30/2026-11-23/1", "../30/2026-11-23/1:2", "content-30/2026-11-23/-1:2", "a-1/2026-11-23/1:2\n"],
)
def test_what_is_no_place_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the place"):
        where(text)


def test_a_place_comes_back_as_it_was() -> None:
    place = Where(CLASS, DAY, 12, 345)
    assert where(str(place)) == place
    assert day_of(1_700_000_000.0) == "2023-11-14"


@pytest.fixture(scope="module")
def written() -> object:
    """An audit folder with a dozen synced bodies and a few that are not, in bytes, with their leaves."""
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory) / "audit")
        durable = [desk.write(bytes([65 + number]) * (50 * number + 1), one=f"r{number}") for number in range(12)]
        desk.bodies.sync()
        size = sealed_files(desk.audit)[0].stat().st_size
        later = [desk.write(bytes([97 + number]) * 300, one=f"s{number}") for number in range(4)]
        yield Path(directory), durable, later, size


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(0, 2000),
    how=st.sampled_from(["torn", "zeroed", "random", "hole"]),
    seed=st.integers(0, 255),
    start=st.integers(0, 1500),
)
def test_a_power_cut_takes_nothing_that_was_synced_and_gives_nothing_that_is_wrong(
    written: tuple[Path, list[Part], list[Part], int], cut: int, how: str, seed: int, start: int
) -> None:
    origin, durable, later, size = written
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(origin, place, dirs_exist_ok=True)
        audit = Path(place) / "audit"
        (path,) = sealed_files(audit)
        raw = bytearray(path.read_bytes())
        end = size + min(cut, len(raw) - size)
        if how == "torn":
            raw = raw[:end]
        elif how == "hole":
            hole = slice(min(size + start, len(raw)), min(size + start + 1 + cut, len(raw)))
            raw[hole] = bytes(hole.stop - hole.start)
        else:
            tail = len(raw) - end
            raw[end:] = bytes(tail) if how == "zeroed" else bytes((seed + index * 7) % 256 for index in range(tail))
        path.write_bytes(raw)
        contents = Contents(audit, KeyFolder(audit.parent / "content-keys"), KEK)
        for number, leaf in enumerate(durable):
            assert contents.texts("w1", leaf)[0].text == chr(65 + number) * (50 * number + 1)
        for number, leaf in enumerate(later):
            with contextlib.suppress(ContentError):
                assert contents.texts("w1", leaf)[0].text == chr(97 + number) * 300
