"""Finding one request by indexes gives what reading everything gives, whatever has become of the indexes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.audit import frames, index, indexing, lookup
from guard.audit.index import path_of
from guard.audit.indexing import grow, index_sealed
from guard.audit.ledger import Ledger, Limits
from guard.audit.lookup import Request
from guard.audit.read import Entry, Item, search
from guard.audit.segments import listing
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import Clock, exchange, outcome

IDS = ("r0", "r1", "r11", "r5", "r9", "nobody", "")


def write(audit: Path) -> Path:
    """Two writers of several segments each, ten requests, one without an end, one of many parts."""
    clock = Clock()
    for writer in ("w1", "w2"):
        log = Ledger.open(audit / writer, clock, limits=Limits(segment=1200, interval=30.0))
        for number in range(10):
            clock.pass_(1.0)
            asked = exchange(f"r{number}", text="r5")
            log.intent(asked, durable=False, keep=None)
            for _ in range(40 if number == 5 else 1):
                channel = Channel(ChannelId(0, ChannelKind.CONTENT))
                channel.append("x")
                log.part(asked, channel)
            if number != 9:
                log.outcome(asked, outcome(), durable=False)
        log.close()
    return audit


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log"))


@pytest.fixture
def audit(tmp_path: Path, log: Path) -> Path:
    """A copy of the log with an index of every segment."""
    audit = tmp_path / "audit"
    shutil.copytree(log, audit)
    for segment in segments(audit):
        index_sealed(segment)
    return audit


def segments(audit: Path) -> list[Path]:
    return [path for writer in ("w1", "w2") for path in listing(audit / writer)]


def read_whole(audit: Path, request: str) -> list[Item]:
    """What there is without any index, and without one being made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "_indexed", lambda *_, **__: None)
        patch.setattr(lookup, "_indexing", lambda *_, **__: None)
        return list(search(audit, request))


def same(audit: Path) -> None:
    """With what is there of indexes the answers are those of reading everything."""
    for request in IDS:
        assert list(search(audit, request)) == read_whole(audit, request)


def scans(audit: Path, request: str) -> int:
    """How many segments are read for this request."""
    count = 0
    scanned = lookup._scanned

    def counting(segment: Path, wanted: Request, begin: int = 0, first: int = 0, *, sealed: bool) -> lookup.Located:
        nonlocal count
        count += 1
        return scanned(segment, wanted, begin, first, sealed=sealed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "_scanned", counting)
        list(search(audit, request))
    return count


def test_with_indexes_nothing_is_read_but_what_they_name(audit: Path) -> None:
    assert len(segments(audit)) > 12
    same(audit)
    assert [scans(audit, request) for request in IDS] == [0] * len(IDS)


def test_missing_indexes_of_sealed_segments_are_made_by_the_first_search(tmp_path: Path, log: Path) -> None:
    audit = tmp_path / "audit"
    shutil.copytree(log, audit)
    same(audit)
    made = {path_of(segment).exists() for segment in segments(audit)[:-1]}
    assert made == {True, False}  # not of the newest of each writer, which a guard may be writing
    assert scans(audit, "r1") == 2


def test_a_folder_of_somebody_else_gets_no_index(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = tmp_path / "audit"
    shutil.copytree(log, audit)
    monkeypatch.setattr("guard.audit.lookup.os.geteuid", lambda: -1)
    same(audit)
    assert not list(audit.glob("*/index"))


def test_where_no_index_can_be_written_everything_is_read(tmp_path: Path, log: Path) -> None:
    audit = tmp_path / "audit"
    shutil.copytree(log, audit)
    for writer in ("w1", "w2"):
        (audit / writer / "index").write_text("a file where the folder should be")
    same(audit)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("not an index"),
    "another version": lambda path: path.write_bytes(path.read_bytes()[:4] + b"\x02" + path.read_bytes()[5:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_is_lost_or_damaged_is_made_anew_and_changes_no_answer(damage: str, audit: Path) -> None:
    sealed = [path for path in segments(audit) if path != listing(path.parent)[-1]]
    before = {segment: path_of(segment).read_bytes() for segment in sealed}
    for segment in segments(audit):
        DAMAGES[damage](path_of(segment))
    same(audit)
    assert {segment: path_of(segment).read_bytes() for segment in sealed} == before


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 10**6), at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_of_an_index_changes_an_answer(which: int, at: int, bit: int, audit: Path) -> None:
    chosen = segments(audit)
    path = path_of(chosen[which % len(chosen)])
    whole = path.read_bytes()
    data = bytearray(whole)
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    same(audit)
    path.write_bytes(whole)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 10**6), at=st.integers(0, 10**6))
def test_where_a_segment_is_damaged_no_less_is_found_than_by_reading_it_and_nothing_false(
    which: int, at: int, audit: Path
) -> None:
    path = segments(audit)[which % len(segments(audit))]
    whole = path.read_bytes()
    before = {request: entries(read_whole(audit, request)) for request in IDS}
    data = bytearray(whole)
    data[at % len(data)] ^= 4
    path.write_bytes(data)
    for request in IDS:
        found = entries(search(audit, request))
        assert all(one in found for one in entries(read_whole(audit, request)))
        assert all(one in before[request] for one in found)
    path.write_bytes(whole)


def entries(items: Iterable[Item]) -> list[Entry]:
    return [item for item in items if isinstance(item, Entry)]


def test_what_came_after_the_index_is_found(audit: Path) -> None:
    log = Ledger.open(audit / "w1", Clock(), limits=Limits(interval=30.0))
    newest = listing(audit / "w1")[-1]
    log.intent(exchange("r1"), durable=False, keep=None)
    assert grow(newest, stride=1) > 0
    log.outcome(exchange("r1"), outcome(), durable=False)
    log.close()
    same(audit)
    assert scans(audit, "r1") == 1


def test_an_index_of_another_segment_is_not_believed(audit: Path) -> None:
    first, second, *_ = segments(audit)
    shutil.copyfile(path_of(second), path_of(first))
    same(audit)


def test_a_record_that_became_another_since_is_not_shown_as_what_it_was(audit: Path) -> None:
    for segment in segments(audit):
        written = frames.scan(segment.read_bytes()).frames
        segment.write_bytes(
            b"".join(frames.encode(one.kind, one.sequence, one.payload.replace(b'"r1"', b'"rX"')) for one in written)
        )
    assert entries(search(audit, "r1")) == []
    assert list(search(audit, "r1")) == read_whole(audit, "r1")


def test_a_segment_that_was_cut_after_its_index_was_made_is_read(audit: Path) -> None:
    newest = listing(audit / "w1")[-1]
    newest.write_bytes(newest.read_bytes()[:-40])
    same(audit)


def test_records_of_other_requests_with_the_same_key_are_left_out(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = tmp_path / "audit"
    shutil.copytree(log, audit)
    for module in (index, indexing, lookup):
        monkeypatch.setattr(module, "key_of", lambda _: b"the same")
    same(audit)
    assert scans(audit, "r1") == 2


def test_a_missing_segment_is_told_by_indexes_too(audit: Path) -> None:
    segments(audit)[1].unlink()
    same(audit)
    assert "are missing before it" in str(list(search(audit, "nobody")))


def test_a_record_of_a_newer_version_is_no_part_of_an_index_and_is_told(audit: Path) -> None:
    segment = segments(audit)[1]
    (first, *_) = frames.scan(segment.read_bytes()).frames
    segment.write_bytes(frames.encode(77, first.sequence, b'{"id":"r1"}'))
    same(audit)
    assert "unknown record kind 77" in str(list(search(audit, "r1")))


def test_the_bytes_that_are_done_with_are_told(audit: Path) -> None:
    done: list[int] = []
    list(search(audit, "nobody", done.append))
    assert sum(done) == sum(segment.stat().st_size for segment in segments(audit))
