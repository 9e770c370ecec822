"""The supervisor's part in a fleet: its thread comes and goes, tells how it stands, and survives its engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from guard.clock import SystemClock
from guard.policy.load import load
from guard.serve.following import FleetMember
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.directory import OrderDirectory
from guard.state.lease import LONGEST, Lease
from guard.state.shared_directory import SharedDirectory
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.state.parts import stop
from tests.parts.configuration import ModelSpec
from tests.parts.fleets import write_replica


class Part:
    """A member of a fleet in a shared folder, with one worker that is this process."""

    def __init__(self, base: Path) -> None:
        """Make it, not begun."""
        write_replica(base, "one", [ModelSpec()], workers=1, folder=base / "shared")
        self.state = base / "var" / "state"
        self.state.mkdir(parents=True)
        self.meter = Meter(Origin.SUPERVISOR)
        self.member = FleetMember(load(base), self.meter, JsonLog(SystemClock()), SystemClock())
        self.engine = SharedDirectory(base / "shared")
        self.lease = Lease(self.state, LONGEST, SystemClock())
        self.worker = Acknowledgements(self.state, "0", pid=os.getpid(), started=process_started(os.getpid()) or 0)

    def page(self) -> str:
        """The metrics."""
        return Exposition(self.meter).page().render("")[0].decode()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.01)


def test_it_follows_in_a_thread_renews_the_lease_wakes_the_workers_and_leaves(tmp_path: Path) -> None:
    async def test() -> None:
        part = Part(tmp_path)
        woken = asyncio.Event()
        part.member.wake = woken.set
        assert part.lease.lapsed(3)
        part.member.begin()
        await until(lambda: not part.lease.lapsed(3))
        await part.engine.put(stop().id, b"unreadable")
        await asyncio.wait_for(woken.wait(), 30)
        assert stop().id in OrderDirectory(part.state).held()
        await until(lambda: part.member.status()["position"] == 1)
        part.member.tell()
        assert "guard_fleet_position 1.0" in part.page()
        assert 'guard_lease_lapsed{asl="3"} 0.0' in part.page()
        status = part.member.status()
        assert (status["replica"], status["problem"], status["position"]) == ("one", "", 1)
        assert [each["replica"] for each in status["replicas"]] == ["one"]
        await part.member.close()
        assert await part.engine.heard() == ()

    asyncio.run(test())


def test_an_order_is_obeyed_in_the_fleet_when_this_hosts_worker_says_so_too(tmp_path: Path) -> None:
    async def test() -> None:
        part = Part(tmp_path)
        part.member.begin()
        await until(lambda: part.member.status()["problem"] == "")
        assert part.member.spread("order").missing == ("one (worker 0)",)
        part.worker.record({"order": 4}, 1.0)
        found = part.member.spread("order")
        assert (found.replicas, found.workers, found.streams_cut, found.missing) == (1, 1, 4, ())
        await part.member.close()

    asyncio.run(test())


def test_while_the_engine_is_not_reached_no_order_counts_as_obeyed_everywhere(tmp_path: Path) -> None:
    async def test() -> None:
        part = Part(tmp_path)
        part.worker.record({"order": 4}, 1.0)
        (tmp_path / "shared").write_text("not a folder")
        part.member.begin()
        await until(lambda: "shared folder" in part.member.status()["problem"])
        assert part.member.spread("order").missing[0].startswith("the fleet (the shared folder")
        part.member.tell()
        assert "guard_fleet_engine_errors_total 0.0" not in part.page()
        assert part.lease.lapsed(3)
        (tmp_path / "shared").unlink()
        await until(lambda: not part.lease.lapsed(3))
        await part.member.close()

    asyncio.run(test())
