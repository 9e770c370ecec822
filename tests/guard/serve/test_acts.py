"""What was ordered is recorded and told whatever the figures do, and a figure says what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.admin.switchboard import Switchboard
from guard.policy.load import load
from guard.resuming import ResumeJudge
from guard.serve.acts import Acts
from guard.state.directory import OrderDirectory
from guard.state.merge import State
from guard.state.orders import RuleOrder, Source, StopOrder
from guard.state.rule_text import PushedRule
from guard.state.switches import FileSwitches
from guard.telemetry.logs import Event, JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.mode import Mode
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ladders import write_ladder
from tests.safeguards.exchanges import StillClock


class Kept:
    """The request log and the notices: keeps what each was given."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.recorded: list[str] = []
        self.told: list[str] = []

    async def control(self, *, who: str, what: str, subject: str, reason: str) -> None:
        """Keep an act."""
        assert who
        assert reason
        self.recorded.append(f"{what} {subject.split()[1]}")

    def ordered(self, order: StopOrder) -> None:
        """Keep a stop."""
        self.told.append(f"stop {order.scope}")

    def pushed(self, order: RuleOrder) -> None:
        """Keep rules."""
        self.told.append(f"rule {order.scope}")


class Board(Switchboard):
    """A switchboard whose orders cannot be read while it is told so."""

    broken = False

    def state(self) -> State:
        """Read, or fail."""
        if self.broken:
            raise OSError("no more files")
        return super().state()


class Office:
    """Acts over real orders; two models, of which one answers ``stricter``."""

    def __init__(self, directory: Path) -> None:
        """Open all."""
        write_configuration(directory, models=[ModelSpec("demo", 2), ModelSpec("bare", 2)])
        write_ladder(directory, "demo", {"stricter": {"enforce": ["tried"]}})
        config = load(directory)
        state = directory / "var" / "state"
        clock, numbers = StillClock(), iter(range(1, 100))
        orders = OrderDirectory(state)
        self.board = Board(config, orders, state, clock.now, lambda size: next(numbers).to_bytes(size))
        self.kept, self.meter, self.config = Kept(), Meter(Origin.SUPERVISOR), config
        kept: Any = self.kept
        switches = FileSwitches(orders, clock, ResumeJudge(config, state, clock.now))
        self.acts = Acts(config, switches, self.board, kept, self.meter, JsonLog(clock), clock, lambda _: None, kept)

    def look(self) -> None:
        """Look once, and let what is remembered be recorded."""

        async def once() -> None:
            self.acts.look()
            await self.acts.settle()

        asyncio.run(once())

    def engaged(self) -> set[tuple[str, str]]:
        """What the figure says is refused."""
        gauges = self.meter.state().gauges.items()
        return {key[1:3] for key, value in gauges if key[0] == "guard_kill_switch_engaged" and value}  # type: ignore[misc]  # a scope and a subject


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_what_cannot_be_measured_is_recorded_and_told_and_measured_later(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.board.stop("model:demo", "tried", "ana", Source.CLI)
    office.board.broken = True
    office.look()
    office.acts.take(office.config)
    assert office.kept.recorded == office.kept.told == ["stop model:demo"]
    assert office.engaged() == set()
    failures = [
        line for line in capsys.readouterr().err.splitlines() if json.loads(line)["event"] == Event.INTERNAL_ERROR
    ]
    assert len(failures) <= 1
    office.board.broken = False
    office.look()
    assert office.engaged() == {("model", "demo")}
    assert office.kept.recorded == ["stop model:demo"]


def test_rules_that_are_pushed_are_told_without_their_text(office: Office) -> None:
    rule = PushedRule("r1", Category.OTHER, phrase="FORBIDDEN-MARKER")
    office.board.push("model:demo", [rule], [Target.INPUT], "tried", "ana", Source.CLI)
    office.look()
    assert office.kept.told == ["rule model:demo"]
    assert office.kept.recorded == ["rule model:demo"]


@pytest.mark.parametrize(
    ("order", "engaged"),
    [
        (lambda board: board.stop("all", "tried", "ana", Source.CLI, Mode.NO_NEW_PRINCIPALS), set()),
        (lambda board: board.stop("model:demo", "tried", "ana", Source.CLI, Mode.STRICTER), set()),
        (
            lambda board: board.stop("all", "tried", "ana", Source.CLI, Mode.STRICTER),
            {("all", ""), ("model", "bare")},  # whose file does not answer it
        ),
        (lambda board: board.stop("tier:general", "tried", "ana", Source.CLI), {("tier", "general")}),
        (
            lambda board: board.stop("level:2", "tried", "ana", Source.CLI, Mode.DRAIN),
            {("level", "2"), ("model", "bare"), ("model", "demo")},
        ),
    ],
)
def test_what_is_engaged_refuses(
    office: Office, order: Callable[[Switchboard], object], engaged: set[tuple[str, str]]
) -> None:
    order(office.board)
    office.look()
    assert office.engaged() == engaged
