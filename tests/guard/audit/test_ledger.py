"""The writer: what it acknowledged is in the log, whatever happens to the process or the disk.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from guard.audit import bodies, frames, ledger, records
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Damage, find, iter_records
from guard.audit.segments import LedgerError, listing, name
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind
from safeguards.ports import Keep, Log
from safeguards.request_log import LogSettings, RequestLog
from safeguards.verdict import PASS
from tests.guard.audit.fakes import (
    KEEP,
    PATIENCE,
    Clock,
    FaultyDisk,
    contents,
    data_keys,
    exchange,
    kept,
    outcome,
    runners,
    until,
)

Run = Callable[[Coroutine[None, None, None]], None]
QUIET = Limits(interval=30.0)


def opened(audit: Path, disk: FaultyDisk | None = None, limits: Limits = QUIET, clock: Clock | None = None) -> Ledger:
    return Ledger.open(audit / "w1", clock or Clock(), disk=disk, limits=limits, keys=data_keys(audit))


def ids(audit: Path, kind: type[records.Intent | records.Outcome | records.Part] = records.Intent) -> list[str]:
    return [one.id for one in contents(audit) if isinstance(one, kind)]


def fresh(text: str) -> Channel:
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append(text)
    return channel


async def done(written: Awaitable[None] | None) -> None:
    assert written is not None
    await written


@pytest.mark.parametrize("run", runners())
@pytest.mark.parametrize(
    "settings", [LogSettings(True, True, KEEP), LogSettings(False, False, None), LogSettings(False, False, KEEP)]
)
def test_it_is_the_store_that_the_request_log_needs(tmp_path: Path, run: Run, settings: LogSettings) -> None:
    async def journey() -> None:
        log: Log = opened(tmp_path)
        safeguard = RequestLog(log, settings)
        asked = exchange(text="SECRET")
        admitted = safeguard.admit(asked)
        assert (await admitted if inspect.isawaitable(admitted) else admitted) == PASS
        safeguard.watch(asked, fresh("SECRET"))
        assert safeguard.close(asked, outcome("SECRET")) is None

    run(journey())
    found = find(tmp_path, "r1")
    assert found.intent is not None
    assert found.outcome is not None
    assert len(found.parts) == settings.parts
    assert b"SECRET" not in listing(tmp_path / "w1")[0].read_bytes()
    texts = [[one.text for one in texts] for texts in kept(tmp_path)]
    assert texts == ([["SECRET"]] * 2 if settings.keep else [])


def test_a_record_nobody_waits_for_is_in_the_file_before_the_call_returns(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.intent(exchange(), durable=False, keep=None) is None
    assert ids(tmp_path) == ["r1"]
    log.close()


def test_a_durable_record_waits_for_a_sync_that_began_after_it(tmp_path: Path) -> None:
    async def journey() -> None:
        disk = FaultyDisk()
        log = opened(tmp_path, disk)
        before = len(disk.synced)
        disk.gate.clear()
        waiting = log.intent(exchange(), durable=True, keep=None)
        assert isinstance(waiting, asyncio.Future)
        assert ids(tmp_path) == ["r1"]
        assert not waiting.done()
        disk.gate.set()
        await waiting
        assert len(disk.synced) == before + 1
        log.close()

    asyncio.run(journey())


def test_a_part_that_must_be_durable_waits_for_the_disk(tmp_path: Path) -> None:
    async def journey() -> None:
        disk = FaultyDisk()
        log = opened(tmp_path, disk)
        log.intent(exchange(), durable=False, keep=None)
        disk.gate.clear()
        waiting = log.part(exchange(), fresh("x"), durable=True)
        assert isinstance(waiting, asyncio.Future)
        assert not waiting.done()
        disk.gate.set()
        await waiting
        log.close()

    asyncio.run(journey())


def test_control_records_are_always_durable(tmp_path: Path) -> None:
    async def journey() -> None:
        log = opened(tmp_path)
        await log.control(who="ann", what="stop", subject="model:demo", reason="drill")
        assert log.stats().durable == 1
        log.close()

    asyncio.run(journey())
    control = next(one for one in contents(tmp_path) if isinstance(one, records.Control))
    assert (control.who, control.what, control.subject, control.reason) == ("ann", "stop", "model:demo", "drill")


def test_a_part_of_a_request_without_an_intent_keeps_no_text(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.part(exchange(), fresh("SECRET"))
    log.close()
    part = next(one for one in contents(tmp_path) if isinstance(one, records.Part))
    assert (part.body, part.commitment, part.chars) == ("", "", 6)


@pytest.mark.parametrize("one", ["r1", "0193ab" * 4])
@pytest.mark.parametrize("keep", [KEEP, None])
@pytest.mark.parametrize("text", ["SECRET", "SECRET " * 100])
def test_a_part_says_the_same_in_every_layout(tmp_path: Path, one: str, keep: Keep | None, text: str) -> None:
    log, asked = opened(tmp_path), exchange(one)
    log.intent(asked, durable=False, keep=keep)
    log.part(asked, fresh(text))
    log.close()
    (part,) = [each for each in contents(tmp_path) if isinstance(each, records.Part)]
    assert (part.id, part.channel, part.start, part.chars) == (one, "content[0]", 0, len(text))
    assert (part.time, part.monotonic) == (Clock().now(), Clock().steady())
    assert [[each.text for each in texts] for texts in kept(tmp_path)][1:] == ([[text]] if keep else [])


def test_segments_are_rotated_and_a_request_open_across_them_is_closed_after_a_crash(tmp_path: Path) -> None:
    log = opened(tmp_path, limits=Limits(segment=1500, interval=30.0))
    log.intent(exchange("open"), durable=False, keep=None)
    for number in range(40):
        log.intent(exchange(f"r{number}"), durable=False, keep=None)
        log.outcome(exchange(f"r{number}"), outcome(), durable=False)
    log.close()
    paths = listing(tmp_path / "w1")
    assert len(paths) > 5
    assert all(path.stat().st_size < 1500 + 1000 for path in paths)
    opened(tmp_path).close()
    found = find(tmp_path, "open")
    assert [one.ending for one in found.recovered] == ["unknown (crash)"]
    assert len(ids(tmp_path)) == 41


def test_a_second_writer_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(LedgerError, match=f"w1: in use by process {os.getpid()}"):
        opened(tmp_path)
    log.close()
    opened(tmp_path).close()


def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "w1").touch()
    with pytest.raises(LedgerError, match="w1: "):
        opened(tmp_path)
    disk = FaultyDisk()
    for fault in ("create_error", "write_error", "sync_error", "directory_error"):
        setattr(disk, fault, OSError(28, "No space left on device"))
        with pytest.raises(LedgerError, match=r"w2: No space left on device"):
            Ledger.open(tmp_path / "w2", Clock(), disk=disk)
        setattr(disk, fault, None)
    Ledger.open(tmp_path / "w2", Clock(), disk=disk).close()


def test_after_closing_nothing_is_accepted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.close()
    log.close()
    with pytest.raises(Unavailable, match="closed"):
        log.intent(exchange(), durable=False, keep=None)


@pytest.mark.parametrize("run", runners())
@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_refuses_at_once_and_goes_on_in_a_new_segment(tmp_path: Path, run: Run, room: int) -> None:
    async def journey() -> None:
        disk, clock = FaultyDisk(), Clock()
        log = opened(tmp_path, disk, clock=clock)
        await done(log.intent(exchange("before"), durable=True, keep=None))
        disk.room = room
        with pytest.raises(Unavailable) as refused:
            log.intent(exchange("full"), durable=True, keep=None)
        assert refused.value.failure is Failure.UNREACHABLE
        assert refused.value.reason == "audit log: No space left on device"
        with pytest.raises(Unavailable):  # the one try of this second, and it fails
            log.part(exchange("before"), fresh("x"))
        disk.room = None
        with pytest.raises(Unavailable, match="No space left"):  # between tries nothing is tried
            log.intent(exchange("too early"), durable=False, keep=None)
        clock.pass_(1.0)
        await done(log.intent(exchange("after"), durable=True, keep=None))
        assert log.stats().failed == 3
        log.close()

    run(journey())
    items = list(iter_records(tmp_path))
    read = [item.record for item in items if not isinstance(item, Damage)]
    assert [one.id for one in read if isinstance(one, records.Intent)] == ["before", "after"]
    (failed,) = [one for one in read if isinstance(one, records.Recovered)]
    assert (failed.what, failed.segment, failed.reason) == ("failed_segment", name(1), "No space left on device")
    assert (failed.first, failed.last) == (0, 0)
    # What was half written is reported, and nothing of it is a record.
    assert [item.reason for item in items if isinstance(item, Damage)] == (["torn"] if room else [])
    assert len(listing(tmp_path / "w1")) == 2


@pytest.mark.parametrize("run", runners())
def test_a_failed_sync_fails_all_who_wait_and_names_what_is_in_doubt(tmp_path: Path, run: Run) -> None:
    async def journey() -> None:
        disk = FaultyDisk()
        log = opened(tmp_path, disk)
        await done(log.intent(exchange("safe"), durable=True, keep=None))
        disk.gate.clear()
        disk.sync_error = OSError(5, "Input/output error")
        waiting = [log.intent(exchange(f"doubt{n}"), durable=True, keep=None) for n in range(3)]
        disk.gate.set()
        for result in await asyncio.gather(*map(done, waiting), return_exceptions=True):
            assert isinstance(result, Unavailable)
        disk.sync_error = None
        await done(log.intent(exchange("later"), durable=True, keep=None))
        log.close()

    run(journey())
    read = contents(tmp_path)
    (failed,) = [one for one in read if isinstance(one, records.Recovered)]
    assert (failed.reason, failed.first, failed.last) == ("Input/output error", 3, 5)
    assert ids(tmp_path) == ["safe", "doubt0", "doubt1", "doubt2", "later"]
    assert [path.name for path in listing(tmp_path / "w1")] == [name(1), name(6)]


def test_a_failed_write_fails_those_who_wait_for_an_earlier_one(tmp_path: Path) -> None:
    async def journey() -> None:
        disk = FaultyDisk()
        log = opened(tmp_path, disk)
        disk.gate.clear()
        first = log.intent(exchange("in the sync that runs"), durable=True, keep=None)
        assert await asyncio.to_thread(disk.entered.acquire, timeout=PATIENCE)
        assert await asyncio.to_thread(disk.entered.acquire, timeout=PATIENCE)  # one was that of opening
        second = log.intent(exchange("waits"), durable=True, keep=None)
        disk.write_error = OSError(28, "No space left on device")
        with pytest.raises(Unavailable):
            log.intent(exchange("refused"), durable=True, keep=None)
        disk.gate.set()
        await done(first)
        with pytest.raises(Unavailable, match="No space left"):
            await done(second)
        log.close()

    asyncio.run(journey())


def test_a_bug_of_the_disk_layer_ends_the_segment_too(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = opened(tmp_path, disk)
    disk.write_error = ZeroDivisionError()  # type: ignore[assignment]  # what no disk should raise
    with pytest.raises(Unavailable, match="ZeroDivisionError"):
        log.intent(exchange("odd"), durable=False, keep=None)
    disk.write_error = None
    log.intent(exchange("even"), durable=False, keep=None)
    log.close()
    assert ids(tmp_path) == ["even"]
    assert len(listing(tmp_path / "w1")) == 2


def test_a_segment_that_somebody_removes_is_noticed(tmp_path: Path) -> None:
    async def journey() -> None:
        log = opened(tmp_path)
        listing(tmp_path / "w1")[0].unlink()
        with pytest.raises(Unavailable, match="the segment was removed"):
            await done(log.intent(exchange("lost"), durable=True, keep=None))
        await done(log.intent(exchange("kept"), durable=True, keep=None))
        log.close()

    asyncio.run(journey())
    assert ids(tmp_path) == ["kept"]


def test_a_segment_that_somebody_cuts_is_noticed_and_on_record_in_the_next(tmp_path: Path) -> None:
    async def journey() -> None:
        log = opened(tmp_path)
        os.truncate(listing(tmp_path / "w1")[0], 0)
        with pytest.raises(Unavailable, match="the segment was cut"):
            await done(log.intent(exchange("in doubt"), durable=True, keep=None))
        await done(log.intent(exchange("kept"), durable=True, keep=None))
        log.close()

    asyncio.run(journey())
    assert [item.reason for item in iter_records(tmp_path) if isinstance(item, Damage)] == ["sequence"]
    read = [item.record for item in iter_records(tmp_path) if not isinstance(item, Damage)]
    assert [one.id for one in read if isinstance(one, records.Intent)] == ["in doubt", "kept"]
    (failed,) = [one for one in read if isinstance(one, records.Recovered)]
    assert (failed.what, failed.segment, failed.first, failed.last) == ("failed_segment", name(1), 2, 2)
    assert failed.reason.startswith("the segment was cut")


def test_an_outcome_that_cannot_be_written_is_accounted_for_when_the_disk_is_back(tmp_path: Path) -> None:
    disk, clock = FaultyDisk(), Clock()
    log = opened(tmp_path, disk, clock=clock)
    log.intent(exchange("asked"), durable=False, keep=None)
    log.intent(exchange("runs"), durable=False, keep=None)
    disk.write_error = OSError(5, "Input/output error")
    with pytest.raises(Unavailable):
        log.intent(exchange("refused"), durable=False, keep=None)
    for one in ("asked", "refused"):
        with pytest.raises(Unavailable):
            log.outcome(exchange(one), outcome(), durable=False)
    disk.write_error = None
    clock.pass_(1.0)
    log.outcome(exchange("runs"), outcome(), durable=False)
    log.close()
    assert [one.ending for one in find(tmp_path, "asked").recovered] == ["unknown (log unavailable)"]
    assert find(tmp_path, "refused").recovered == ()
    assert find(tmp_path, "runs").outcome is not None
    opened(tmp_path).close()
    assert len(find(tmp_path, "asked").recovered) == 1


def test_a_long_outage_leaves_neither_files_nor_open_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MAX_OPEN", 10)
    disk, clock = FaultyDisk(), Clock()
    log = opened(tmp_path, disk, clock=clock)
    disk.write_error = OSError(28, "No space left on device")
    for number in range(50):
        clock.pass_(1.0)
        with pytest.raises(Unavailable, match="No space left"):
            log.intent(exchange(f"r{number}"), durable=False, keep=None)
        with pytest.raises(Unavailable, match="No space left"):
            log.outcome(exchange(f"r{number}"), outcome(), durable=False)
    assert len(listing(tmp_path / "w1")) == 1
    disk.write_error = None
    clock.pass_(1.0)
    assert log.intent(exchange("back"), durable=False, keep=None) is None
    log.close()
    assert ids(tmp_path) == ["back"]


def test_more_open_requests_than_the_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MAX_OPEN", 2)
    log = opened(tmp_path)
    for number in range(2):
        log.intent(exchange(f"r{number}"), durable=False, keep=None)
    with pytest.raises(Unavailable) as refused:
        log.intent(exchange("r2"), durable=False, keep=None)
    assert refused.value.failure is Failure.OVERLOAD
    log.outcome(exchange("r0"), outcome(), durable=False)
    log.intent(exchange("r3"), durable=False, keep=None)
    log.close()


def test_a_record_beyond_the_bound_is_refused_and_the_segment_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    monkeypatch.setattr(frames, "MAX_PAYLOAD", 4000)
    monkeypatch.setattr(bodies, "MAX_TEXTS", 2000)
    for big in (exchange("big", text="x" * 2001), exchange("many", passages=100)):
        with pytest.raises(Unavailable) as refused:
            log.intent(big, durable=False, keep=KEEP)
        assert refused.value.failure is Failure.OVERLOAD
        assert "xx" not in refused.value.reason
    log.intent(exchange("small"), durable=False, keep=KEEP)
    log.close()
    assert ids(tmp_path) == ["small"]
    assert len(listing(tmp_path / "w1")) == 1


def test_a_disk_that_falls_behind_refuses_requests_before_outcomes(tmp_path: Path) -> None:
    async def journey() -> None:
        disk = FaultyDisk()
        log = opened(tmp_path, disk, Limits(unsynced=900, interval=0.01))
        disk.gate.clear()
        log.intent(exchange("r0", passages=8), durable=False, keep=None)
        with pytest.raises(Unavailable, match="the disk does not keep up") as refused:
            log.intent(exchange("r1", passages=8), durable=False, keep=None)
        assert refused.value.failure is Failure.OVERLOAD
        log.outcome(exchange("r0"), outcome(), durable=False)
        disk.gate.set()
        await asyncio.to_thread(until, lambda: log.stats().backlog == 0)
        log.intent(exchange("again"), durable=False, keep=None)
        log.close()

    asyncio.run(journey())


def test_the_figures_count_records_by_result(tmp_path: Path) -> None:
    async def journey() -> None:
        disk, clock = FaultyDisk(), Clock()
        log = opened(tmp_path, disk, clock=clock)
        log.intent(exchange("a"), durable=False, keep=None)
        clock.pass_(4.0)
        stats = log.stats()
        assert (stats.buffered, stats.durable, stats.failed, stats.backlog) == (1, 0, 0, 1)
        assert (stats.oldest_pending, stats.sequence, stats.segment) == (4.0, 2, name(1))
        await done(log.intent(exchange("b"), durable=True, keep=None))
        stats = log.stats()
        assert (stats.buffered, stats.durable, stats.backlog, stats.oldest_pending) == (1, 1, 0, 0.0)
        assert (stats.last_durable, stats.waits, stats.syncs) == (clock.wall, (0.0,), 1)
        disk.sync_error = OSError(5, "Input/output error")
        with pytest.raises(Unavailable):
            await done(log.intent(exchange("c"), durable=True, keep=None))
        assert log.stats().failed == 1
        log.close()

    asyncio.run(journey())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_killing_the_writer_at_any_moment_loses_nothing_it_acknowledged(tmp_path: Path, loop: str) -> None:
    seeded = random.Random(loop)
    said: dict[str, set[str]] = {"durable": set(), "buffered": set(), "ended": set()}
    for run in range(3):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.guard.audit.writing", str(tmp_path / "w1"), str(run), loop],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(seeded.randrange(1, 400)):
                word, request = writer.stdout.readline().split()
                said[word].add(request)
            writer.kill()
            for line in writer.stdout:
                if line.endswith("\n"):
                    word, request = line.split()
                    said[word].add(request)
    opened(tmp_path).close()
    read = contents(tmp_path)
    asked = {one.id for one in read if isinstance(one, records.Intent)}
    ended = {one.id for one in read if isinstance(one, records.Outcome)}
    unknown = {one.id for one in read if isinstance(one, records.Recovered)} - {""}
    assert said["durable"] | said["buffered"] <= asked
    assert said["ended"] <= ended
    assert said["durable"]
    assert asked - ended == unknown
    # Every leaf that is there has its text: nothing of a body is left to a later write.
    parts = [one for one in read if isinstance(one, records.Part)]
    assert len(kept(tmp_path)) >= len(asked) + len(parts)
