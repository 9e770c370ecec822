"""Recovery: whatever a crash leaves, the whole records before it stay and the rest is set aside."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import frames, records
from guard.audit.checkpoint import Checkpoint
from guard.audit.frames import End
from guard.audit.heads import CHECKPOINT
from guard.audit.ledger import Ledger, Limits
from guard.audit.note import Note, Signature
from guard.audit.read import Damage, Entry, iter_records
from guard.audit.recovery import Recovery, TornTail, account, recover
from guard.audit.segments import LedgerError, listing, name
from guard.audit.verify import verify
from tests.guard.audit.fakes import Clock, contents, exchange, outcome
from tests.guard.audit.sealed_log import Guard, write

QUIET = Limits(interval=30.0)


def written(directory: Path, requests: int = 6) -> bytes:
    """A segment of one opened record and, for each request, an intent and (for every other) an outcome."""
    ledger = Ledger.open(directory, Clock(), limits=QUIET)
    for number in range(requests):
        asked = exchange(f"r{number}")
        ledger.intent(asked, durable=False, keep=None)
        if number % 2:
            ledger.outcome(asked, outcome(), durable=False)
    ledger.close()
    return listing(directory)[-1].read_bytes()


def test_an_empty_directory_begins_at_one(tmp_path: Path) -> None:
    assert recover(tmp_path) == Recovery(1, "", None, ())


def test_a_clean_end_leaves_only_the_open_requests(tmp_path: Path) -> None:
    written(tmp_path)
    assert recover(tmp_path) == Recovery(11, name(1), None, ("r0", "r2", "r4"))


def test_a_torn_tail_is_copied_and_cut_and_the_same_again_after_dying_between(tmp_path: Path) -> None:
    whole = written(tmp_path)
    path = tmp_path / name(1)
    tail = frames.encode(2, 11, b"{}")[:-1]
    path.write_bytes(whole + tail)
    aside = tmp_path / f"seg-{1:020d}.torn-{len(whole)}"
    aside.write_bytes(b"half a copy of a recovery that died")
    found = recover(tmp_path)
    assert found.torn == TornTail(name(1), len(whole), len(tail), aside.name, End.TORN)
    assert (aside.read_bytes(), path.read_bytes()) == (tail, whole)
    assert recover(tmp_path) == Recovery(11, name(1), None, ("r0", "r2", "r4"))


@pytest.fixture(scope="module")
def crashed() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return written(Path(directory))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_after_a_power_cut_everything_before_it_is_read_and_nothing_wrong(crashed: bytes, data: st.DataObject) -> None:
    durable = data.draw(st.integers(0, len(crashed)), label="durable bytes")
    tail = data.draw(
        st.one_of(
            st.just(b""),
            st.integers(0, 5000).map(bytes),
            st.binary(max_size=200),
            st.integers(1, 64).map(lambda hole: bytes(hole) + crashed[durable + hole :]),
        ),
        label="what the disk has after them",
    )
    left = crashed[:durable] + tail
    # What follows the cut may by chance be what was there.
    pairs = enumerate(zip(crashed, left, strict=False))
    same = next((at for at, (was, now) in pairs if was != now), min(len(crashed), len(left)))
    whole = frames.scan(crashed, 1).frames
    kept = [frame for frame in whole if frame.offset + frame.size <= same]
    with tempfile.TemporaryDirectory() as name_:
        directory = Path(name_) / "w1"
        directory.mkdir()
        (directory / name(1)).write_bytes(left)
        ledger = Ledger.open(directory, Clock(), limits=QUIET)
        ledger.close()
        read = contents(directory.parent)
        before = [records.decode(frame.kind, frame.payload) for frame in kept]
        assert read[: len(before)] == before
        # What follows is the new segment's account of it, and every request is closed.
        opened, *rest = read[len(before) :]
        assert isinstance(opened, records.Opened)
        assert all(isinstance(one, records.Recovered) for one in rest)
        asked = {one.id for one in read if isinstance(one, records.Intent)}
        ended = {one.id for one in read if isinstance(one, records.Outcome | records.Recovered)}
        assert asked == ended - {""}
        end = kept[-1].offset + kept[-1].size if kept else 0
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir() if path.name != name(1)} == {0o600}
        asides = [path.read_bytes() for path in directory.glob("*.torn-*")]
        assert asides == ([left[end:]] if len(left) > end else [])


def test_requests_opened_in_an_earlier_segment_are_found_although_the_last_lost_its_beginning(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / name(11)).write_bytes(bytes(4096))
    found = recover(tmp_path)
    assert (found.open, found.sequence) == (("r0", "r2", "r4"), 12)
    assert found.torn == TornTail(name(11), 0, 4096, f"seg-{11:020d}.torn-0", End.NOT_A_FRAME)


def test_the_first_record_of_a_segment_stands_for_all_before_it(tmp_path: Path) -> None:
    written(tmp_path)
    opened = records.Opened(1.0, 1.0, "w1", 1, name(1), ("r4", "r9"))
    closed = records.Recovered(1.0, 1.0, "open_intent", id="r9", ending="unknown (crash)")
    (tmp_path / name(11)).write_bytes(
        frames.encode(records.Kind.OPENED, 11, records.encode(opened))
        + frames.encode(records.Kind.RECOVERED, 12, records.encode(closed))
        + frames.encode(99, 13, b"of a newer version")
    )
    assert recover(tmp_path) == Recovery(14, name(11), None, ("r4",))


def test_a_newer_versions_segment_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "VERSION", 99)
    newer = frames.encode(1, 1, b"{}")
    monkeypatch.undo()
    (tmp_path / name(1)).write_bytes(newer)
    with pytest.raises(LedgerError, match=f"{tmp_path / name(1)}: written by a newer version"):
        recover(tmp_path)
    with pytest.raises(LedgerError, match="newer version"):
        Ledger.open(tmp_path, Clock())
    assert (tmp_path / name(1)).read_bytes() == newer


def test_the_account_names_the_tail_and_every_open_request() -> None:
    found = Recovery(5, name(1), TornTail(name(1), 40, 9, "aside", End.CHECKSUM), ("a", "b"))
    tail, *intents = account(found, 7.0, 8.0)
    assert (tail.what, tail.segment, tail.offset, tail.set_aside) == ("torn_tail", name(1), 40, 9)
    assert (tail.file, tail.reason) == ("aside", "checksum")
    assert [(one.what, one.id, one.ending) for one in intents] == [
        ("open_intent", "a", "unknown (crash)"),
        ("open_intent", "b", "unknown (crash)"),
    ]


def test_recovering_again_and_again_adds_no_second_account(tmp_path: Path) -> None:
    directory = tmp_path / "w1"
    written(directory)
    shutil.copytree(directory, tmp_path / "copy" / "w1")
    for _ in range(3):
        Ledger.open(directory, Clock(), limits=QUIET).close()
    closed = [one.id for one in contents(tmp_path / "copy") if isinstance(one, records.Recovered)]
    assert closed == []
    shutil.rmtree(tmp_path / "copy")
    closed = [one.id for one in contents(tmp_path) if isinstance(one, records.Recovered)]
    assert closed == ["r0", "r2", "r4"]


def flipped(path: Path, number: int) -> int:
    """Flip one bit in the payload of the segment's frame of this place; returns its sequence."""
    data = bytearray(path.read_bytes())
    frame = frames.scan(bytes(data)).frames[number]
    data[frame.offset + frames.HEADER] ^= 1
    path.write_bytes(data)
    return frame.sequence


def test_a_flipped_bit_in_what_was_signed_takes_one_record_and_no_other(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 12, limits=Limits())
    guard.seal()
    directory = guard.audit / "worker-0"
    (path,) = listing(directory)
    count = len(frames.scan(path.read_bytes()).frames)
    bad = flipped(path, 5)
    before = path.read_bytes()
    last = write(guard.audit, "worker-0", 12, 1)
    assert (path.read_bytes(), list(directory.glob("*.torn-*"))) == (before, [])
    assert last > count
    items = list(iter_records(guard.audit))
    (damage,) = [item for item in items if isinstance(item, Damage)]
    assert (damage.segment, damage.reason) == (path.name, "checksum")
    entries = [item for item in items if isinstance(item, Entry)]
    assert [one.sequence for one in entries] == [one for one in range(1, last + 1) if one != bad]
    (told,) = [one.record for one in entries if isinstance(one.record, records.Recovered) and one.record.segment]
    assert (told.what, told.first, told.last, told.offset) == ("damaged", bad, bad, damage.offset)
    # It is sealed on, the alarm stands, and verification names that one record.
    (state,) = guard.seal().writers
    assert (state.size, f"record {bad} (checksum)" in state.problem) == (last, True)
    (log,) = [log for log in verify(guard.audit, guard.ring().log.key).logs if log.writer == "worker-0"]
    assert [(one.place.sequence, one.place.offset, one.gone) for one in log.findings] == [(bad, damage.offset, bad)]
    assert log.findings[0].what == f"record {bad} is missing: the record's checksum is wrong"


def test_a_flipped_bit_in_the_last_signed_record_is_left_and_no_number_is_used_twice(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    last = write(guard.audit, "worker-0", 0, 3, limits=Limits())
    guard.seal()
    directory = guard.audit / "worker-0"
    (path,) = listing(directory)
    assert flipped(path, -1) == last
    (directory / CHECKPOINT).unlink()  # the log of all heads still has it
    found = recover(directory)
    assert (found.sequence, found.torn, len(found.damaged)) == (last + 1, None, 1)
    assert (found.damaged[0].lost.first, found.damaged[0].lost.last) == (last, last)


def test_damage_behind_what_was_signed_is_set_aside_as_a_power_cut_leaves_it(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    signed = write(guard.audit, "worker-0", 0, 3, limits=Limits())
    guard.seal({"worker-0": signed - 4})
    directory = guard.audit / "worker-0"
    (path,) = listing(directory)
    assert flipped(path, -3) == signed - 2
    found = recover(directory)
    assert (found.sequence, found.damaged) == (signed - 2, ())
    assert found.torn is not None
    assert found.torn.end is End.CHECKSUM


def test_a_head_of_nonsense_uses_up_no_numbers(tmp_path: Path) -> None:
    written(tmp_path / "w1")
    (path,) = listing(tmp_path / "w1")
    path.write_bytes(path.read_bytes()[:-1])
    head = Checkpoint("x/w1", 2**60, bytes(32))
    (tmp_path / "w1" / CHECKPOINT).write_bytes(Note(head.text(), (Signature("x", bytes(4), bytes(64)),)).encode())
    assert recover(tmp_path / "w1").sequence < 30
