"""Recovery: whatever a crash leaves, the whole records before it stay and the rest is set aside."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import frames, records
from guard.audit.frames import End
from guard.audit.ledger import Ledger, Limits
from guard.audit.recovery import Recovery, TornTail, account, recover
from guard.audit.segments import LedgerError, listing, name
from tests.guard.audit.fakes import Clock, contents, exchange, outcome

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
