"""Group commit: one sync at a time, nobody woken by a sync that began before their write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from guard.audit.commit import Committer
from guard.audit.segments import Segment, name
from safeguards.decision import Failure, Unavailable
from tests.guard.audit.fakes import PATIENCE, Clock, FaultyDisk, runners, until

Run = Callable[[Coroutine[None, None, None]], None]


class Desk:
    """A committer on a faulty disk, with a hand to write records."""

    def __init__(self, directory: Path, interval: float = 30.0) -> None:
        """Begin with one empty segment."""
        self.disk = FaultyDisk()
        self.clock = Clock()
        self.segment = Segment(self.disk, directory / name(1))
        self.commits = Committer(self.segment, 0, self.clock, interval)
        self.sequence = 0

    def append(self, *, wait: bool = True) -> asyncio.Future[None]:
        """Write one byte and, if asked, wait for it."""
        self.sequence += 1
        future = asyncio.get_running_loop().create_future()
        self.segment.write(b"x")
        self.commits.wrote(self.sequence, 1, self.clock.steady(), future if wait else None)
        return future

    async def entered(self) -> None:
        """Wait until a sync has begun."""
        assert await asyncio.to_thread(self.disk.entered.acquire, timeout=PATIENCE)


@pytest.mark.parametrize("run", runners())
def test_who_comes_during_a_sync_is_served_by_the_next(tmp_path: Path, run: Run) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        first = desk.append()
        await desk.entered()
        later = [desk.append() for _ in range(20)]
        desk.disk.gate.set()
        await first
        await desk.entered()
        await asyncio.gather(*later)
        assert len(desk.disk.synced) == 2
        assert desk.disk.most_running == 1
        assert desk.commits.close(PATIENCE)

    run(journey())


def test_a_sync_that_began_before_the_write_wakes_nobody(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        order: list[str] = []
        desk.disk.gate.clear()
        first = desk.append()
        await desk.entered()
        second = desk.append()
        second.add_done_callback(lambda _: order.append(f"second after {len(desk.disk.synced)}"))
        first.add_done_callback(lambda _: order.append("first"))
        desk.disk.gate.set()
        await asyncio.gather(first, second)
        assert order == ["first", "second after 2"]
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_a_caller_who_leaves_disturbs_no_other(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()

        async def wait() -> str:
            await desk.append()
            return "durable"

        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await desk.entered()
        tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[3].cancel()
        desk.disk.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1:3] == ["durable", "durable"]
        assert isinstance(results[0], asyncio.CancelledError)
        assert isinstance(results[3], asyncio.CancelledError)
        await desk.append()
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_after_many_at_once_a_sync_is_put_off_and_serves_who_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.audit.commit.GATHER_EACH", 0.2)
    monkeypatch.setattr("guard.audit.commit.GATHER_MOST", 1.0)

    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        waiting = [desk.append()]
        await desk.entered()
        waiting += [desk.append() for _ in range(5)]
        desk.disk.gate.set()
        await asyncio.gather(*waiting)
        assert len(desk.disk.synced) == 2
        waiting = [desk.append()]
        await asyncio.sleep(0.05)  # less than the time that is given to others: this one comes in it
        waiting.append(desk.append())
        await asyncio.gather(*waiting)
        assert len(desk.disk.synced) == 3
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_what_nobody_waits_for_is_synced_within_the_interval(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path, interval=0.02)
        desk.append(wait=False)
        await asyncio.to_thread(until, lambda: desk.commits.progress().durable == 1)
        assert desk.commits.unsynced_bytes() == 0
        assert desk.commits.close(PATIENCE)
        assert len(desk.disk.synced) == 1  # an idle ledger is not synced again

    asyncio.run(journey())


def test_a_failed_sync_fails_its_waiters_and_the_segment_is_never_synced_again(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.sync_error = OSError(5, "Input/output error")
        waiters = [desk.append() for _ in range(3)]
        for result in await asyncio.gather(*waiters, return_exceptions=True):
            assert isinstance(result, Unavailable)
            assert (result.failure, result.reason) == (Failure.UNREACHABLE, "audit log: Input/output error")
        syncs = len(desk.disk.synced)
        desk.disk.sync_error = None
        with pytest.raises(Unavailable):
            await desk.append()
        assert desk.segment.dead == "Input/output error"
        assert desk.commits.doubtful() == (1, 4)
        assert desk.commits.close(PATIENCE)
        assert len(desk.disk.synced) == syncs

    asyncio.run(journey())


def test_a_bug_of_the_disk_layer_fails_the_waiters_and_not_the_thread(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.sync_error = ZeroDivisionError()  # type: ignore[assignment]  # what no disk should raise
        with pytest.raises(Unavailable, match="ZeroDivisionError"):
            await desk.append()
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_a_segment_taken_over_is_synced_before_its_waiters_are_told_and_then_closed(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        first = desk.append()
        await desk.entered()
        second = desk.append()
        desk.segment = Segment(desk.disk, tmp_path / name(3))
        desk.commits.replace(desk.segment)
        third = desk.append()
        desk.disk.gate.set()
        await asyncio.gather(first, second, third)
        assert len(desk.disk.synced) == 3
        assert len(set(desk.disk.synced)) == 2
        assert desk.commits.progress().durable == 3
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_a_late_failure_of_a_segment_taken_over_marks_the_one_in_use(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        first = desk.append()
        await desk.entered()
        desk.segment = Segment(desk.disk, tmp_path / name(2))
        desk.commits.replace(desk.segment)
        desk.append(wait=False)
        desk.disk.sync_error = OSError(5, "Input/output error")
        desk.disk.gate.set()
        with pytest.raises(Unavailable):
            await first
        assert desk.segment.dead == "Input/output error"
        assert desk.commits.doubtful() == (1, 2)
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_the_figures_tell_how_far_the_disk_is_behind(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        first = desk.append()
        await desk.entered()
        desk.append(wait=False)
        desk.clock.pass_(2.5)
        behind = desk.commits.progress()
        assert (behind.written, behind.durable, behind.unsynced_bytes, behind.oldest_pending) == (2, 0, 2, 2.5)
        assert behind.waits == ()
        desk.disk.gate.set()
        await first
        await desk.append()
        done = desk.commits.progress()
        assert (done.written, done.durable, done.unsynced_bytes, done.oldest_pending) == (3, 3, 0, 0.0)
        assert (done.confirmed, done.failed, done.waits) == (2, 0, (2.5, 0.0))
        assert done.last_durable == desk.clock.wall
        assert desk.commits.progress().waits == ()
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_a_disk_that_hangs_does_not_hold_up_closing_for_ever(tmp_path: Path) -> None:
    async def journey() -> None:
        desk = Desk(tmp_path)
        desk.disk.gate.clear()
        waiting = desk.append()
        await desk.entered()
        assert not desk.commits.close(0.01)
        desk.disk.gate.set()
        await waiting
        assert desk.commits.close(PATIENCE)

    asyncio.run(journey())


def test_a_loop_that_has_ended_does_not_end_the_thread(tmp_path: Path) -> None:
    desks: list[Desk] = []

    async def leave() -> None:
        desk = Desk(tmp_path)
        desks.append(desk)
        desk.disk.gate.clear()
        desk.append()
        await desk.entered()

    asyncio.run(leave())
    desks[0].disk.gate.set()

    async def again() -> None:
        await desks[0].append()

    asyncio.run(again())
    assert desks[0].commits.close(PATIENCE)
