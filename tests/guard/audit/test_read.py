"""Reading: all writers in order of time, damage in its place, one request out of many."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit import frames, records
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Damage, Entry, find, follow, iter_records
from guard.audit.segments import LedgerError, listing, name
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import Clock, exchange, outcome

QUIET = Limits(segment=900, interval=30.0)


def requests(audit: Path, since: float = 0.0) -> list[str]:
    return [
        item.record.id
        for item in iter_records(audit, since)
        if isinstance(item, Entry) and isinstance(item.record, records.Intent)
    ]


def damage(audit: Path) -> list[Damage]:
    return [item for item in iter_records(audit) if isinstance(item, Damage)]


def many(audit: Path, count: int = 12, writer: str = "w1") -> list[Path]:
    """Several segments of intents; returns their paths."""
    log = Ledger.open(audit / writer, Clock(), limits=QUIET)
    for number in range(count):
        log.intent(exchange(f"{writer}-{number}"), durable=False, keep=None)
        log.outcome(exchange(f"{writer}-{number}"), outcome(), durable=False)
    log.close()
    paths = listing(audit / writer)
    assert len(paths) > 3
    return paths


def test_the_records_of_all_writers_come_in_order_of_time(tmp_path: Path) -> None:
    clock = Clock()
    logs = [Ledger.open(tmp_path / f"w{number}", clock, limits=QUIET) for number in range(3)]
    for number in range(30):
        clock.pass_(1.0)
        logs[number * 7 % 3].intent(exchange(f"r{number}"), durable=False, keep=None)
    for log in logs:
        log.close()
    assert requests(tmp_path) == [f"r{number}" for number in range(30)]
    assert requests(tmp_path, since=1_700_000_000.0 + 21) == [f"r{number}" for number in range(20, 30)]


def test_a_clock_that_jumps_back_does_not_hide_or_reorder_a_writers_records(tmp_path: Path) -> None:
    clock = Clock()
    log = Ledger.open(tmp_path / "w1", clock, limits=QUIET)
    for number, step in enumerate((10.0, -500.0, 1.0, 600.0)):
        clock.pass_(step)
        log.intent(exchange(f"r{number}"), durable=False, keep=None)
    log.close()
    assert requests(tmp_path) == ["r0", "r1", "r2", "r3"]
    assert requests(tmp_path, since=1_700_000_005.0) == ["r0", "r3"]


def test_the_newest_segment_may_end_in_the_middle_of_a_record(tmp_path: Path) -> None:
    paths = many(tmp_path)
    paths[-1].write_bytes(paths[-1].read_bytes() + frames.MAGIC + b"\x01")
    assert damage(tmp_path) == []
    assert len(requests(tmp_path)) == 12


@pytest.mark.parametrize(("cut", "reason"), [(3, "torn"), (0, "checksum")])
def test_damage_is_reported_in_its_place_and_the_other_segments_are_read(tmp_path: Path, cut: int, reason: str) -> None:
    paths = many(tmp_path)
    whole = paths[1].read_bytes()
    last = frames.scan(whole).frames[-1]
    broken = whole[:-3] if cut else whole[:-1] + bytes([whole[-1] ^ 1])
    paths[1].write_bytes(broken)
    missing = f"records {last.sequence} to {last.sequence} are missing before it"
    assert damage(tmp_path) == [
        Damage("w1", paths[1].name, last.offset, reason),
        Damage("w1", paths[2].name, 0, missing),
    ]
    assert 11 <= len(requests(tmp_path)) <= 12


def test_a_segment_that_was_taken_away_is_reported_missing(tmp_path: Path) -> None:
    paths = many(tmp_path)
    paths[1].unlink()
    (found,) = damage(tmp_path)
    first, after = int(paths[1].name[4:24]), int(paths[2].name[4:24])
    assert found == Damage("w1", paths[2].name, 0, f"records {first} to {after - 1} are missing before it")


def test_old_segments_that_retention_took_from_the_beginning_are_not_damage(tmp_path: Path) -> None:
    many(tmp_path)[0].unlink()
    assert damage(tmp_path) == []


def test_a_record_of_a_newer_version_is_reported_and_skipped(tmp_path: Path) -> None:
    directory = tmp_path / "w1"
    directory.mkdir()
    control = records.encode(records.Control(1.0, 1.0, "ann", "drain", "worker", ""))
    (directory / name(1)).write_bytes(frames.encode(77, 1, b"?") + frames.encode(records.Kind.CONTROL, 2, control))
    odd, known = iter_records(tmp_path)
    assert odd == Damage("w1", name(1), 0, "unknown record kind 77")
    assert isinstance(known, Entry)
    assert (known.sequence, known.record) == (2, records.Control(1.0, 1.0, "ann", "drain", "worker", ""))


def test_following_gives_what_comes_once_across_rotation_and_new_writers(tmp_path: Path) -> None:
    clock = Clock()
    logs = [Ledger.open(tmp_path / "w1", clock, limits=QUIET)]
    rounds = iter(range(5))

    def wait() -> bool:
        number = next(rounds)
        if number == 2:
            logs.append(Ledger.open(tmp_path / "w2", clock, limits=QUIET))
        for log in logs:
            for _ in range(8):
                clock.pass_(1.0)
                log.intent(exchange(f"r{clock.now():.0f}"), durable=False, keep=None)
        return number < 4

    items = list(follow(tmp_path, wait))
    for log in logs:
        log.close()
    assert not [item for item in items if isinstance(item, Damage)]
    seen = [item.record.id for item in items if isinstance(item, Entry) and isinstance(item.record, records.Intent)]
    # What came after the last wait was not looked for.
    assert seen == [f"r{1_700_000_001 + number}" for number in range(8 * 6)]
    assert len(listing(tmp_path / "w1")) > 3


def test_following_waits_for_the_rest_of_half_a_record(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=QUIET)
    log.close()
    path = listing(tmp_path / "w1")[0]
    whole = path.read_bytes()
    control = records.Control(2e9, 1.0, "ann", "drain", "worker", "")
    frame = frames.encode(records.Kind.CONTROL, 2, records.encode(control))
    pieces = iter([whole + frame[:3], whole + frame[:30], whole + frame])

    def wait() -> bool:
        piece = next(pieces, None)
        if piece is not None:
            path.write_bytes(piece)
        return piece is not None

    opened, *rest = follow(tmp_path, wait)
    assert isinstance(opened, Entry)
    assert rest == [Entry("w1", path.name, 2, control)]


def test_one_request_is_found_with_all_its_records_and_no_others(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=QUIET)
    for one in ("r1", "r11", "r2"):
        log.intent(exchange(one, text="r1"), durable=False, keep=None)
        channel = Channel(ChannelId(0, ChannelKind.CONTENT))
        for piece in ("hel", "lo"):
            channel.append(piece)
            log.part(exchange(one), channel)
            channel.settle()
        log.outcome(exchange(one), outcome(), durable=False)
    log.close()
    found = find(tmp_path, "r1")
    assert found.intent is not None
    assert found.intent.id == "r1"
    assert [(part.start, part.chars) for part in found.parts] == [(0, 3), (3, 2)]
    assert found.outcome is not None
    assert found.outcome.id == "r1"
    assert (found.recovered, found.damage) == ((), ())
    assert find(tmp_path, "\ud800").intent is None


def test_a_search_says_what_may_hide_more(tmp_path: Path) -> None:
    paths = many(tmp_path)
    paths[1].write_bytes(bytes(100))
    assert find(tmp_path, "nobody").damage == tuple(damage(tmp_path))
    assert len(damage(tmp_path)) == 2


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    for act in (lambda: iter_records(tmp_path / "no"), lambda: find(tmp_path / "no", "r1")):
        with pytest.raises(LedgerError, match=r"/no: No such file or directory"):
            act()


@pytest.mark.parametrize("last", [1, 7, 20, 10_000])
def test_the_last_records_are_read_without_the_segments_before_them(last: int, tmp_path: Path) -> None:
    for writer in ("w1", "w2"):
        many(tmp_path, 30, writer)
    whole, end = list(iter_records(tmp_path)), list(iter_records(tmp_path, last=last))
    assert end[-last:] == whole[-last:]
    assert len(end) < 2 * last + 40
    newest = listing(tmp_path / "w1")[-1]
    newest.write_bytes(b"")  # just begun: what is wanted stands before it
    assert list(iter_records(tmp_path, last=last))[-last:] == list(iter_records(tmp_path))[-last:]
