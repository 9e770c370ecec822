"""Verification names the first bad record in every case of tampering, and finds nothing where nothing is wrong.

It is one file because it is one list of what an intruder may try.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.epochs import FILE, read_chain
from guard.audit.findings import Finding
from guard.audit.frames import Frame, compact, encode
from guard.audit.heads import CHECKPOINT, read_head
from guard.audit.index import Facts, Index, key_of, path_of
from guard.audit.index import encode as encode_index
from guard.audit.indexing import grow, index_sealed
from guard.audit.ledger import Ledger
from guard.audit.note import Note, Signer, parse_note
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, SegmentReader, listing
from guard.audit.signing_keys import FOLDER, load_key, new_key
from guard.audit.tiles import TileReader, TileWriter, tile_path
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import request
from guard.audit.timestamps import keep, stamped
from guard.audit.tree import leaf_hash, root
from guard.audit.verify import Report, verify
from tests.guard.audit.fakes import Clock, exchange
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.guard.audit.stamping import stamp
from tests.parts.timestamp_authority import TimestampAuthority


def judged(guard: Guard, *earlier: Note) -> Report:
    return verify(guard.audit, guard.ring().log.key, earlier)


def first(guard: Guard, *earlier: Note) -> Finding:
    report = judged(guard, *earlier)
    assert not report.intact
    return report.findings[0]


def segments(guard: Guard, writer: str = "worker-0") -> list[Path]:
    return listing(guard.audit / writer)


def frames(path: Path) -> list[Frame]:
    return list(SegmentReader(path).read())


def put(path: Path, found: list[Frame]) -> None:
    path.write_bytes(b"".join(compact(one.kind, one.sequence, one.payload) for one in found))


def changed(frame: Frame) -> Frame:
    """The same record with one byte of its text changed; its checksum is made anew when it is written."""
    payload = frame.payload.replace(b"FORBIDDEN-MARKER", b"FORBIDDEN-MARKEX").replace(b"part", b"pert")
    if payload == frame.payload:
        data = bytearray(payload)
        data[len(data) // 2] ^= 1
        payload = bytes(data)
    return structs.replace(frame, payload=payload)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """Two writers, more than 256 records each, over several segments and two epochs."""
    return grown(tmp_path, rounds=3, requests=32)


def test_what_was_not_touched_is_intact(guard: Guard) -> None:
    read: list[int] = []
    report = verify(guard.audit, guard.ring().log.key, (), read.append)
    assert report.intact, report.findings
    assert report.notices == []
    assert report.open == []
    assert report.epochs == 2
    assert [log.writer for log in report.logs] == ["worker-0", "worker-1", FLEET]
    assert all(log.size == log.signed > 256 for log in report.logs[:2])
    assert all(log.heads >= 4 for log in report.logs[:2])
    assert sum(read) == sum(path.stat().st_size for path in guard.audit.rglob("seg-*.log"))


def test_segments_of_before_leaves_were_compressed_stand_under_the_same_heads(guard: Guard) -> None:
    for path in segments(guard)[:2]:
        size = path.stat().st_size
        path.write_bytes(b"".join(encode(one.kind, one.sequence, one.payload) for one in frames(path)))
        assert path.stat().st_size > 1.5 * size
    assert judged(guard).intact


def test_a_bit_flipped_with_a_repaired_checksum_is_named_exactly(guard: Guard) -> None:
    path = segments(guard)[2]
    found = frames(path)
    at = next(index for index, one in enumerate(found) if one.kind == 2)
    put(path, [*found[:at], changed(found[at]), *found[at + 1 :]])
    bad = first(guard)
    assert bad.what == "the record is not the one that was signed"
    place = bad.place
    assert (place.writer, place.segment, place.offset) == ("worker-0", path.name, found[at].offset)
    assert (place.sequence, place.kind) == (found[at].sequence, "intent")
    assert place.request.startswith("worker-0-")


@pytest.mark.parametrize("which", ["first", "last"])
def test_the_first_and_the_last_record_are_watched_too(guard: Guard, which: str) -> None:
    path = segments(guard)[0 if which == "first" else -1]
    found = frames(path)
    at = 0 if which == "first" else len(found) - 1
    put(path, [*found[:at], changed(found[at]), *found[at + 1 :]])
    assert first(guard).place.sequence == found[at].sequence


def test_a_flipped_bit_without_its_checksum_is_named_exactly(guard: Guard) -> None:
    path = segments(guard)[1]
    third = frames(path)[2]
    data = bytearray(path.read_bytes())
    data[third.offset + 30] ^= 1
    path.write_bytes(data)
    bad = first(guard)
    assert "the record's checksum is wrong" in bad.what
    assert (bad.place.segment, bad.place.offset, bad.place.sequence) == (path.name, third.offset, third.sequence)


def test_a_deleted_segment_is_named(guard: Guard) -> None:
    path = segments(guard)[2]
    gone = frames(path)
    path.unlink()
    bad = first(guard)
    assert bad.what == (
        f"records {gone[0].sequence} to {gone[-1].sequence} are missing: the segment is missing, or ends too early"
    )
    assert (bad.place.segment, bad.place.sequence) == (path.name, gone[0].sequence)
    assert len(judged(guard).findings) == 1


def test_the_first_segment_deleted_is_named(guard: Guard) -> None:
    path = segments(guard)[0]
    path.unlink()
    assert first(guard).place.segment == path.name


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_truncated_segment_is_named_where_it_ends(guard: Guard, cut: int) -> None:
    path = segments(guard)[1]
    found = frames(path)
    path.write_bytes(path.read_bytes()[: found[2].offset + cut])
    bad = first(guard)
    assert "are missing" in bad.what
    assert bad.place.sequence == found[2].sequence
    if cut:
        assert (bad.place.segment, bad.place.offset) == (path.name, found[2].offset)


@pytest.mark.parametrize("cut", [0, 9])
def test_a_truncated_end_is_named(guard: Guard, cut: int) -> None:
    path = segments(guard)[-1]
    found = frames(path)
    path.write_bytes(path.read_bytes()[: found[1].offset + cut])
    bad = first(guard)
    assert (bad.place.segment, bad.place.offset, bad.place.sequence) == (
        path.name,
        found[1].offset,
        found[1].sequence,
    )
    assert f"{found[1].sequence} to {found[-1].sequence} are missing" in bad.what


def test_a_deleted_end_is_named(guard: Guard) -> None:
    for path in segments(guard)[-3:]:
        path.unlink()
    last = frames(segments(guard)[-1])[-1]
    bad = first(guard)
    assert "the log ends here" in bad.what
    assert bad.place.sequence == last.sequence + 1


def test_a_replaced_segment_is_named(guard: Guard) -> None:
    path, other = segments(guard)[2], segments(guard, "worker-1")[2]
    shutil.copy(other, path)
    begin = frames(path)[0]
    bad = first(guard)
    assert (bad.place.segment, bad.place.offset, bad.place.sequence) == (path.name, 0, begin.sequence)
    assert bad.what == "the record is not the one that was signed"


@pytest.mark.parametrize("renumbered", [True, False])
def test_two_records_that_changed_places_are_named(guard: Guard, renumbered: bool) -> None:
    path = segments(guard)[1]
    found = frames(path)
    one, two = found[3], found[4]
    moved = (
        [structs.replace(two, sequence=one.sequence), structs.replace(one, sequence=two.sequence)]
        if renumbered
        else [two, one]
    )
    put(path, [*found[:3], *moved, *found[5:]])
    bad = first(guard)
    assert (bad.place.segment, bad.place.offset, bad.place.sequence) == (path.name, one.offset, one.sequence)
    assert ("out of its sequence" in bad.what) is not renumbered


def rebuilt(guard: Guard, writer: str = "worker-0") -> None:
    """What an intruder does who knows the format: all tiles made anew from the records as they are now."""
    shutil.rmtree(guard.audit / writer / "tile")
    tree = TileWriter(guard.audit / writer)
    for path in segments(guard, writer):
        for frame in frames(path):
            tree.append(leaf_hash(frame.kind, frame.payload))
    tree.flush()


def test_a_record_changed_with_its_tiles_is_enclosed_by_the_heads_around_it(guard: Guard) -> None:
    found = segments(guard)
    heads = sorted(
        head.size for epoch in read_chain(guard.audit).epochs for head in epoch.heads if "worker-0" in head.origin
    )
    target = found[len(found) // 2]
    records = frames(target)
    put(target, [changed(records[0]), *records[1:]])
    rebuilt(guard)
    bad = first(guard)
    assert "is not the one that was signed: " in bad.what
    assert bad.place.sequence <= records[0].sequence <= heads[-1]


def test_a_tile_changed_to_hide_another_is_not_believed(guard: Guard) -> None:
    path = guard.audit / "worker-0" / tile_path(0, 0)
    data = bytearray(path.read_bytes())
    data[32 * 7] ^= 1
    path.write_bytes(data)
    (bad,) = judged(guard).findings
    assert bad.place.sequence == 0
    assert "the records are those that were signed, but" in bad.what
    assert "another hash at 7" in bad.what


@pytest.mark.parametrize("level", [0, 1])
def test_changed_partial_tiles_and_missing_full_ones_are_named(guard: Guard, level: int) -> None:
    size = next(log.signed for log in judged(guard).logs)
    index = (size >> 8 * level) // 256
    path = guard.audit / "worker-0" / tile_path(level, index, (size >> 8 * level) - 256 * index)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    assert tile_path(level, index) in first(guard).what
    path.unlink()
    report = judged(guard)
    assert report.intact  # a power cut may do that
    assert "it follows from the records" in report.notices[0]
    (guard.audit / "worker-0" / tile_path(0, 0)).unlink()
    assert "the tile is missing" in first(guard).what


def test_one_writer_put_back_to_an_earlier_state_is_missed_by_the_fleet_log(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    kept = tmp_path / "kept"
    shutil.copytree(guard.audit / "worker-0", kept)
    write(guard.audit, "worker-0", 100, 5)
    guard.seal()
    size = next(log.signed for log in judged(guard).logs)
    shutil.rmtree(guard.audit / "worker-0")
    shutil.copytree(kept, guard.audit / "worker-0")
    bad = first(guard)
    assert bad.place.writer == "worker-0"
    assert f"to {size} are missing" in bad.what
    shutil.rmtree(guard.audit / "worker-0")
    assert "the whole log is missing" in first(guard).what


def test_everything_put_back_together_shows_only_under_a_head_that_was_kept_elsewhere(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    kept = tmp_path / "kept"
    shutil.copytree(guard.audit, kept)
    write(guard.audit, "worker-0", 100, 5)
    guard.seal()
    anchors = [read_head(guard.audit / FLEET), read_head(guard.audit / "worker-0")]
    shutil.rmtree(guard.audit)
    shutil.copytree(kept, guard.audit)
    assert judged(guard).intact  # this is what an anchor is for
    for anchor, writer in zip(anchors, (FLEET, "worker-0"), strict=True):
        assert anchor is not None
        bad = first(guard, anchor)
        assert bad.place.writer == writer
        assert "were signed" in bad.what


def cut(directory: Path, size: int) -> None:
    """Leave the first records of a log, and no signed head of its own."""
    (directory / CHECKPOINT).unlink()
    for path in listing(directory):
        put(path, [one for one in frames(path) if one.sequence <= size])
        if not path.stat().st_size:
            path.unlink()


def removed(guard: Guard) -> None:
    shutil.rmtree(guard.audit / FLEET)


def removed_with_a_writer(guard: Guard) -> None:
    removed(guard)
    shutil.rmtree(guard.audit / "worker-0")


def removed_and_a_writer_cut(guard: Guard) -> None:
    removed(guard)
    cut(guard.audit / "worker-0", 3)


def cut_with_the_writers(guard: Guard) -> None:
    cut(guard.audit / FLEET, 2)
    for entry in frames(listing(guard.audit / FLEET)[0]):
        head = parse_checkpoint(parse_note(entry.payload).text)
        cut(guard.audit / head.origin.rsplit("/", 1)[1], head.size)


def everything_removed(guard: Guard) -> None:
    for directory in [path for path in guard.audit.iterdir() if path.is_dir()]:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    "remove", [removed, removed_with_a_writer, removed_and_a_writer_cut, cut_with_the_writers, everything_removed]
)
def test_heads_that_were_removed_with_what_they_cover_are_missed_in_the_first_epoch_too(
    tmp_path: Path, remove: Callable[[Guard], None]
) -> None:
    guard = Guard(tmp_path)
    for number in range(2):
        write(guard.audit, "worker-0", number * 4, 4)
        write(guard.audit, "worker-1", number * 4, 4)
        guard.seal()
    assert judged(guard).intact
    assert judged(guard).epochs == 1
    remove(guard)
    assert first(guard).what == "fleet/checkpoint is missing, and a log that was ever signed is never without it"


def test_a_head_that_is_not_in_the_fleet_log_is_named(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1, requests=2)
    kept = tmp_path / "kept"
    shutil.copytree(guard.audit / FLEET, kept)
    write(guard.audit, "worker-0", 100, 1)
    guard.seal()
    shutil.rmtree(guard.audit / FLEET)
    shutil.copytree(kept, guard.audit / FLEET)
    size = next(log.signed for log in judged(guard).logs)
    assert first(guard).what == f"worker-0/checkpoint: its head of {size} records is not in the fleet log"


def test_a_log_of_which_nothing_was_signed_yet_is_intact(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    guard.seal()
    report = judged(guard)
    assert (report.intact, report.epochs, [log.size for log in report.logs]) == (True, 1, [0])


def test_a_head_signed_by_another_key_is_named(guard: Guard) -> None:
    path = guard.audit / "worker-0" / CHECKPOINT
    text = parse_note(path.read_bytes()).text
    other = Signer("asl-guard/test", load_key(new_key(), "here"))
    path.write_bytes(Note(text, (other.sign(text),)).encode())
    assert first(guard).what == "worker-0/checkpoint: not signed by the key of asl-guard/test"
    # The log's key alone does not help who has taken it: the epoch's signed too.
    path.write_bytes(Note(text, (guard.ring().log.sign(text),)).encode())
    assert first(guard).what == "worker-0/checkpoint: not signed by the key of any epoch"
    note = guard.ring().sign(text)
    forged = Note(
        text, (note.signatures[0], type(note.signatures[1])(note.signatures[1].name, note.signatures[1].id, b"x" * 64))
    )
    path.write_bytes(forged.encode())
    assert "is wrong" in first(guard).what
    path.write_bytes(read_other(guard))
    assert "the head of asl-guard/test/worker-1" in first(guard).what
    path.write_bytes(b"no note")
    assert "not a signed note" in first(guard).what


def read_other(guard: Guard) -> bytes:
    return (guard.audit / "worker-1" / CHECKPOINT).read_bytes()


def test_with_todays_keys_yesterday_cannot_be_signed_anew(guard: Guard) -> None:
    """An intruder changes an early record, makes tiles, fleet log and heads anew with every key the host still has."""
    size = next(log.signed for log in judged(guard).logs)
    path = segments(guard)[0]
    found = frames(path)
    put(path, [*found[:1], changed(found[1]), *found[2:]])
    rebuilt(guard)
    shutil.rmtree(guard.audit / FLEET)
    head = Checkpoint("asl-guard/test/worker-0", size, root(size, TileReader(guard.audit / "worker-0", size).node))
    (guard.audit / "worker-0" / CHECKPOINT).write_bytes(guard.ring().sign(head.text()).encode())
    (guard.audit / "worker-1" / CHECKPOINT).write_bytes(read_other(guard))
    report = judged(guard)
    assert any("epoch 1 has another root" in each.what for each in report.findings if each.place.writer == "worker-0")
    # Signing an old size with the key of now does not pass either.
    old = next(each for each in read_chain(guard.audit).epochs[1].heads if each.origin == head.origin)
    early = Checkpoint(head.origin, old.size - 1, head.root)
    (guard.audit / "worker-0" / CHECKPOINT).write_bytes(guard.ring().sign(early.text()).encode())
    assert any("were not signed in epoch 1" in each.what for each in judged(guard).findings)


def test_a_broken_chain_of_keys_is_named(guard: Guard) -> None:
    whole = (guard.audit / FILE).read_bytes()
    (guard.state / FOLDER / "epoch").unlink()
    guard.clock.pass_(3600.0)
    write(guard.audit, "worker-0", 500, 1)
    guard.seal()
    assert first(guard).what == "epoch 2 is not signed by the key of epoch 1: the chain was broken there"
    (guard.audit / FILE).write_bytes(whole.replace(b"time 1700", b"time 1600"))
    assert "is wrong" in first(guard).what
    (guard.audit / FILE).unlink()
    assert "no head of this log was ever signed" in first(guard).what


def test_entries_of_the_fleet_log_are_judged(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=2)
    path = listing(guard.audit / FLEET)[0]
    found = frames(path)
    text = parse_note(found[0].payload).text
    other = Signer("asl-guard/test", load_key(new_key(), "here"))
    cases: dict[str, Frame] = {
        "not signed by the key of asl-guard/test": structs.replace(
            found[0], payload=Note(text, (other.sign(text),)).encode()
        ),
        "not a signed note": structs.replace(found[0], payload=b"no note"),
        "kind 6": structs.replace(found[0], kind=6, payload=b"{}"),
    }
    for words, forged in cases.items():
        put(path, [forged, *found[1:]])
        report = judged(guard)
        assert any(words in each.what for each in report.findings), words
        assert any(each.what == "the record is not the one that was signed" for each in report.findings), words


def test_a_segment_that_begins_again_is_named(guard: Guard) -> None:
    last = segments(guard)[-1]
    begin = frames(last)[0]
    (last.with_name(f"seg-{begin.sequence + 1:020d}.log")).write_bytes(encode(6, begin.sequence + 1, b"{}"))
    assert f"begins at record {begin.sequence + 1} again" in first(guard).what


def test_open_requests_and_torn_ends_are_told_and_are_no_fault(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)

    async def _open() -> None:
        ledger = Ledger.open(guard.audit / "worker-0", Clock())
        written = ledger.intent(exchange("left-open"), durable=True, keep=None)
        assert written is not None
        await written
        ledger.close()

    asyncio.run(_open())
    path = segments(guard)[-1]
    path.write_bytes(path.read_bytes() + b"\xf5ASG half")
    report = judged(guard)
    assert report.intact
    assert report.open == ["left-open"]
    assert "ends in the middle of a record" in report.notices[0]
    write(guard.audit, "worker-0", 700, 2)  # which sets the torn tail aside and records that the request was cut off
    guard.seal()
    report = judged(guard)
    assert report.intact
    assert report.open == []


def control(guard: Guard, what: str, subject: str, writer: str = "operator") -> None:
    async def _control() -> None:
        ledger = Ledger.open(guard.audit / writer, Clock())
        await ledger.control(who="ana", what=what, subject=subject, reason="thirty days are over")
        ledger.close()

    asyncio.run(_control())
    guard.seal()


def test_a_deletion_that_is_on_record_is_no_loss_and_no_more_than_it_says(guard: Guard) -> None:
    one, two = segments(guard)[0], segments(guard)[1]
    last = frames(one)[-1].sequence
    control(guard, "retain", f"worker-0/{one.name}:{last}")
    one.unlink()
    report = judged(guard)
    assert report.intact, report.findings
    assert report.notices == [f"worker-0: records 1 to {last} were deleted, as the log says itself"]
    two.unlink()  # a second one goes with it, unannounced
    assert "are missing" in first(guard).what


def test_a_deletion_that_another_log_announces_is_a_loss(guard: Guard) -> None:
    path = segments(guard)[0]
    control(guard, "retain", f"worker-0/{path.name}:{frames(path)[-1].sequence}", "worker-1")
    path.unlink()
    assert "are missing" in first(guard).what


def test_what_retention_never_deletes_cannot_be_announced(guard: Guard) -> None:
    write(guard.audit, "supervisor", 0, 8)
    own, middle, newest = segments(guard, "supervisor")[0], segments(guard)[1], segments(guard, "worker-1")
    for path in (own, middle, *newest):
        control(guard, "retain", f"{path.parent.name}/{path.name}:{frames(path)[-1].sequence}")
    for path in (own, middle, *newest):
        path.unlink()
    found = judged(guard).findings
    assert [one.place.writer for one in found if one.gone] == ["supervisor", "worker-0", "worker-1"]


@pytest.mark.parametrize(
    "break_", [lambda guard: (guard.audit / FILE).write_bytes(b"a\n\nb\n\n"), lambda guard: shutil.rmtree(guard.audit)]
)
def test_what_cannot_be_read_is_said_so(tmp_path: Path, break_: Callable[[Guard], object]) -> None:
    guard = grown(tmp_path, rounds=1, requests=1)
    key = guard.ring().log.key
    break_(guard)
    with pytest.raises(LedgerError):
        verify(guard.audit, key)


def test_a_kept_head_of_another_log_is_refused(tmp_path: Path) -> None:
    guard, other = grown(tmp_path / "a", rounds=1, requests=1), grown(tmp_path / "b", rounds=1, requests=1)
    note = read_head(other.audit / FLEET)
    assert note is not None
    with pytest.raises(LedgerError, match="that was given is not signed"):
        judged(guard, note)


def forged(segment: Path, *, without: str = "", facts: Facts | None = None, **span: Any) -> None:
    """Write an index with good checksums that leaves something out."""
    index_sealed(segment)
    with Index(segment) as index:
        entries = [one for one in index.entries() if not one.startswith(key_of(without))]
        assert index.last is not None
        path_of(segment).write_bytes(encode_index(replace(index.last, **span), entries, facts or index.facts()))


@pytest.mark.parametrize(
    "forge",
    [
        lambda segment: forged(segment, without="worker-0-1"),
        lambda segment: forged(segment, facts=Facts()),
        lambda segment: forged(segment, earliest=1.9e9, latest=1.9e9),
        lambda segment: forged(segment, latest=0.0),
    ],
    ids=["a request", "its values", "its times", "its end"],
)
def test_an_index_that_hides_records_from_searches_is_named(guard: Guard, forge: Callable[[Path], None]) -> None:
    for path in segments(guard):
        index_sealed(path)
    assert judged(guard).intact
    forge(segments(guard)[0])
    report = judged(guard)
    assert [(one.place.segment, one.place.offset) for one in report.findings] == [(segments(guard)[0].name, 0)]
    assert (
        "seg-00000000000000000001.idx was changed to hide records from searches; remove it" in report.findings[0].what
    )
    path_of(segments(guard)[0]).unlink()
    assert judged(guard).intact


def test_where_records_were_changed_they_are_named_and_not_their_index(guard: Guard) -> None:
    path = segments(guard)[0]
    index_sealed(path)
    put(path, [changed(one) if one.sequence == 3 else one for one in frames(path)])
    (finding, *_) = judged(guard).findings
    assert finding.place.sequence == 3


def test_an_index_that_is_damaged_or_of_less_or_of_another_file_hides_nothing(guard: Guard) -> None:
    one, two, three, *_ = segments(guard)
    index_sealed(two)
    path_of(one).write_bytes(path_of(two).read_bytes())
    data = bytearray(path_of(two).read_bytes())
    data[-6] ^= 1
    path_of(two).write_bytes(data)
    grow(three, stride=1)
    write(guard.audit, "worker-0", 900, 1)
    guard.seal()
    grow(segments(guard)[-1], stride=1)
    assert judged(guard).intact


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture
def stamped_log(tmp_path: Path, tsa: TimestampAuthority) -> Guard:
    guard = grown(tmp_path, rounds=1, requests=2)
    stamp(guard.audit, tsa)
    write(guard.audit, "worker-0", 10, 2)
    guard.seal()
    stamp(guard.audit, tsa)
    return guard


def told(guard: Guard, authority: Authority | None = None) -> list[str]:
    return [each.what for each in verify(guard.audit, guard.ring().log.key, authority=authority).findings]


def test_time_stamps_are_counted_and_checked_where_the_authority_is_given(
    stamped_log: Guard, tsa: TimestampAuthority
) -> None:
    for authority in (None, Authority(tsa.pem.read_bytes())):
        report = verify(stamped_log.audit, stamped_log.ring().log.key, authority=authority)
        assert report.intact, report.findings
        assert report.stamps is not None
        assert (report.stamps.count, report.stamps.checked) == (2, authority is not None)
        assert report.stamps.first <= report.stamps.last == report.stamps.first + report.stamps.widest


def test_time_stamps_of_another_authority_are_found_out_only_under_its_certificates(
    stamped_log: Guard, tmp_path: Path
) -> None:
    other = TimestampAuthority(tmp_path / "other")
    assert told(stamped_log) == []
    found = told(stamped_log, Authority(other.pem.read_bytes()))
    assert [one.partition(": ")[0] for one in found] == [
        "the time stamp over 2 entries",
        "the time stamp over 3 entries",
        "no head of this log has a time stamp of the authority that was given",
    ]


def test_a_log_without_time_stamps_does_not_pass_where_they_are_demanded(
    tmp_path: Path, tsa: TimestampAuthority
) -> None:
    guard = grown(tmp_path, rounds=1, requests=1)
    assert told(guard) == []
    assert verify(guard.audit, guard.ring().log.key).stamps is None
    assert told(guard, Authority(tsa.pem.read_bytes())) == [
        "no head of this log has a time stamp of the authority that was given"
    ]


def test_a_log_that_was_put_back_behind_a_time_stamp_is_told(stamped_log: Guard, tmp_path: Path) -> None:
    shutil.copytree(stamped_log.audit / "fleet" / "timestamps", tmp_path / "timestamps")
    shutil.rmtree(stamped_log.audit)
    shutil.rmtree(stamped_log.state / "audit-keys" / "epoch", ignore_errors=True)
    stamped_log.ring().fleet_head.unlink()
    write(stamped_log.audit, "worker-0", 0, 1)
    stamped_log.seal()
    shutil.copytree(tmp_path / "timestamps", stamped_log.audit / "fleet" / "timestamps")
    assert any("the time stamp over 3 entries" in each for each in told(stamped_log))


def test_a_time_stamp_over_anything_but_a_head_of_this_log_is_a_finding(
    stamped_log: Guard, tsa: TimestampAuthority, tmp_path: Path
) -> None:
    other = grown(tmp_path / "other", rounds=2, requests=1)
    stamp(other.audit, tsa)
    shutil.copytree(
        other.audit / "fleet" / "timestamps", stamped_log.audit / "fleet" / "timestamps", dirs_exist_ok=True
    )
    assert len([one for one in told(stamped_log) if "the time stamp over 4 entries" in one]) == 1


def test_time_stamps_must_go_on_as_the_log_did(
    stamped_log: Guard, tsa: TimestampAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = stamped(stamped_log.audit, 2).note
    again = tsa.answer(request(hashlib.sha256(note.encode()).digest(), bytes(8)))
    keep(stamped_log.audit, note, again)  # the smaller head is stamped after the larger one
    assert told(stamped_log) == []  # by less than an authority's clocks may differ
    monkeypatch.setattr("guard.audit.verify._CLOCKS", 0.0)
    assert told(stamped_log) == ["the time stamp over 3 entries: is older than the one over 2 entries"]
