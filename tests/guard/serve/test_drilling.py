"""When a drill is due, what is told of each, and what nobody has to be told: over a clock that a test sets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guard.drills.drill import Ground
from guard.drills.folder import DrillFolder
from guard.drills.result import Failure, Kind, Result, Times
from guard.policy.drills import DrillPath
from guard.policy.load import load
from guard.serve import drilling
from guard.serve.drilling import Drilling
from guard.state.orders import order_id
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.parts.configuration import ModelSpec, write_configuration
from tests.safeguards.exchanges import StillClock

BEGAN = 1_700_000_000.0
HOUR = 3600.0


@dataclass
class Desk:
    """A drilling over a written configuration, whose drills end as the test says, and all that it tells."""

    directory: Path
    recorded: list[tuple[str, ...]] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    made: list[tuple[str, DrillPath, int]] = field(default_factory=list)
    failure: Failure | None = None
    number: int = 0

    def __post_init__(self) -> None:
        """Write and open all."""
        write_configuration(self.directory, models=[ModelSpec(), ModelSpec("strict", asl=3)], workers=2)
        self.state = self.directory / "var" / "state"
        self.folder = DrillFolder(self.state)
        self.clock = StillClock(epoch=BEGAN)
        self.begin()

    def begin(self) -> None:
        """Begin anew, as after a restart."""
        meter = Meter(Origin.SUPERVISOR)
        self.exposition = Exposition(meter)
        log = JsonLog(self.clock)
        config = load(self.directory)
        self.drilling = Drilling(config, self.state, meter, log, self.clock, self.record, self.entropy, self.tell)

    def entropy(self, count: int) -> bytes:
        """Not random: the number that the test says, last."""
        return self.number.to_bytes(count)

    def tell(self, *news: str) -> None:
        """Take what people outside are told."""
        self.told.append(news)

    async def record(self, *act: str) -> None:
        """Take an act."""
        self.recorded.append(act)

    async def drill(self, ground: Ground, path: DrillPath) -> Result:
        """Take the place of a drill."""
        self.made.append((ground.who, path, len(ground.workers)))
        result = self.result(self.clock.epoch, self.failure)
        self.folder.add(result)
        return result

    def result(self, at: float, failure: Failure | None = None) -> Result:
        """One that ended at this time."""
        identity = order_id(at, b"0" * 10)
        times = (Times("0", 0.02, 0.03, 0.01), Times("1", None if failure else 0.04, 0.05, 0.01))
        return Result(identity, Kind.STOP, "order", at, "guard", times, "order-1", failure, "worker 1" * bool(failure))

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.epoch += seconds
        self.clock.monotonic += seconds

    def look(self) -> str:
        """Look; returns the metrics."""
        asyncio.run(self.drilling.look())
        return self.exposition.page().render("")[0].decode()

    def findings(self) -> tuple[str, ...]:
        """What is open."""
        return self.drilling.findings

    def due(self) -> bool:
        """Whether a stop is to be drilled now."""
        return self.drilling.due() == [Kind.STOP]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    found = Desk(tmp_path)
    monkeypatch.setattr(drilling, "drill_stop", found.drill)
    return found


def test_the_first_is_due_minutes_after_the_first_start_and_the_next_in_an_hour(desk: Desk) -> None:
    desk.look()
    assert not desk.due()
    desk.pass_by(269)
    assert not desk.due()
    desk.pass_by(1.5)
    assert desk.due()
    asyncio.run(desk.drilling.make(Kind.STOP))
    assert desk.made == [("guard", DrillPath.ORDER, 2)]
    desk.pass_by(0.9 * HOUR - 1)
    assert not desk.due()
    desk.pass_by(1.5)
    assert desk.due()


@pytest.mark.parametrize("number", range(3))
def test_the_path_is_drawn_from_those_that_are_configured(desk: Desk, number: int) -> None:
    desk.number = number
    asyncio.run(desk.drilling.make(Kind.STOP))
    assert desk.made[0][1] is list(DrillPath)[number]


def test_one_that_fails_is_tried_again_soon_and_told_at_once(desk: Desk) -> None:
    desk.failure = Failure.NOT_CUT
    asyncio.run(desk.drilling.make(Kind.STOP))
    page = desk.look()
    assert 'guard_drill_failing{drill="stop"} 1.0' in page
    assert 'guard_drill_failures_total{drill="stop",reason="not_cut"} 1.0' in page
    assert 'guard_drill_gaps{model="strict"} 1.0' in page
    assert 'guard_drill_gaps{model="demo"}' not in page
    words = "FAILED, not_cut: worker 1"
    assert desk.recorded == [
        ("guard", "drill", f"{desk.folder.results()[0].id} stop order order-1", words),
        ("guard", "drill gap", "strict", "the last stop drill failed: worker 1"),
    ]
    assert [news[1] for news in desk.told] == ["drill failed", "drill gap"]
    assert desk.findings() == ("strict: the last stop drill failed: worker 1",)
    desk.pass_by(271)
    assert desk.due()
    desk.failure = None
    asyncio.run(desk.drilling.make(Kind.STOP))
    assert desk.findings() == ()
    assert desk.recorded[-1] == ("guard", "drill gap closed", "strict", "")
    assert 'guard_drill_failing{drill="stop"} 0.0' in desk.look()
    assert desk.exposition.page().render("")[0].decode().count('guard_drill_seconds_count{drill="stop"} 1.0') == 1


def test_one_that_is_late_is_a_gap_until_it_is_made(desk: Desk) -> None:
    desk.look()
    desk.pass_by(2 * HOUR - 1)
    assert desk.findings() == ()
    desk.pass_by(1)
    page = desk.look()
    assert desk.findings() == ("strict: the stop drill is late",)
    assert 'guard_drill_gaps{model="strict"} 1.0' in page
    assert 'guard_drill_due_timestamp_seconds{drill="stop"} 1.7000072e+09' in page
    assert desk.recorded == [("guard", "drill gap", "strict", "the stop drill is late")]


def test_a_guard_that_was_off_for_long_drills_as_soon_as_it_serves_and_one_that_was_not_waits(desk: Desk) -> None:
    desk.folder.add(desk.result(BEGAN - 2 * HOUR))
    desk.look()
    assert not desk.due()
    desk.pass_by(2)
    assert desk.due()
    desk.folder.add(desk.result(BEGAN - 0.5 * HOUR))
    desk.begin()
    desk.look()
    desk.pass_by(0.4 * HOUR - 3)
    assert not desk.due()
    desk.pass_by(3)
    assert desk.due()


def test_a_restart_forgets_neither_results_nor_since_when_they_are_owed(desk: Desk) -> None:
    desk.look()
    desk.pass_by(1.5 * HOUR)
    desk.begin()
    desk.look()
    desk.pass_by(0.5 * HOUR)
    assert desk.findings() == ("strict: the stop drill is late",)
    asyncio.run(desk.drilling.make(Kind.STOP))
    told = list(desk.recorded)
    desk.begin()
    desk.look()
    assert desk.findings() == ()
    assert desk.recorded == told


def test_a_drill_by_hand_counts_and_is_told_once(desk: Desk) -> None:
    desk.look()
    desk.folder.add(desk.result(BEGAN))
    desk.look()
    desk.look()
    assert [act[1] for act in desk.recorded] == ["drill"]


def test_a_clock_that_is_set_neither_hurries_nor_keeps_a_drill(desk: Desk) -> None:
    desk.folder.add(desk.result(BEGAN))
    desk.look()
    assert not desk.due()
    desk.clock.epoch += 1000 * HOUR
    assert not desk.due()
    desk.clock.epoch -= 2000 * HOUR
    desk.pass_by(1.1 * HOUR)
    assert desk.due()


def test_drills_that_are_switched_off_are_not_made_and_told(desk: Desk) -> None:
    guard = json.loads((desk.directory / "guard.yaml").read_text())
    (desk.directory / "guard.yaml").write_text(json.dumps({**guard, "drills": None}))
    desk.look()
    desk.drilling.take(load(desk.directory))
    page = desk.look()
    desk.pass_by(99 * HOUR)
    assert desk.drilling.due() == []
    assert 'guard_drill_gaps{model="strict"} 1.0' in page
    assert desk.findings() == ("strict: drills of the kill switch are switched off (`drills` of guard.yaml)",)
    assert desk.drilling.fields()["models"] == ["strict"]


def test_what_cannot_be_read_is_told_and_the_next_look_comes(desk: Desk) -> None:
    desk.folder.path.parent.mkdir(parents=True)
    desk.folder.path.write_text("a file")

    async def run() -> None:
        watching = asyncio.ensure_future(desk.drilling.watch(lambda: True))
        while not desk.findings():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        desk.folder.path.unlink()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert desk.findings() == ("Drills: Not a directory",)
    desk.look()
    assert desk.findings() == ()
