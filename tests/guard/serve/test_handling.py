"""The supervisor puts each event on record once, measures, and stops a model whose weakness is not fixed in time.

It is one file because every test looks through the same desk.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from guard.admin.switchboard import Switchboard
from guard.incidents.events import Source
from guard.incidents.folder import IncidentFolder
from guard.policy.load import load
from guard.policy.notify import Occasion
from guard.serve.handling import Handling
from guard.serve.stepping import Stepping
from guard.state.directory import OrderDirectory
from guard.state.merge import mode_of
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from safeguards.mode import Mode
from tests.guard.incidents.stories import BEGAN, HOUR, Story, write
from tests.parts.ladders import write_ladder
from tests.safeguards.exchanges import StillClock

STOPS: dict[str, Any] = {"max_hours": 48, "severe_max_hours": 12, "on_overdue": "stop"}
STEPS: dict[str, Any] = {**STOPS, "on_overdue": "step_down"}
ALARMS: dict[str, Any] = {**STOPS, "on_overdue": "alarm"}


@dataclass
class Desk:
    """A handling over a written configuration, with everything it tells."""

    directory: Path
    response: dict[str, Any] | None = field(default_factory=lambda: STOPS)
    recorded: list[tuple[str, str, str, str]] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    log_works: bool = True

    def __post_init__(self) -> None:
        """Write and open all."""
        write(self.directory, self.response, surfaces=("partner",))
        self.config = load(self.directory)
        state = self.directory / "var" / "state"
        self.clock = StillClock(epoch=BEGAN)
        self.folder = IncidentFolder(state)
        orders = OrderDirectory(state)
        self.board = Switchboard(self.config, orders, state, self.clock.now, lambda count: b"e" * count)
        self.begin()

    def begin(self) -> None:
        """Begin anew, as after a restart."""
        meter = Meter(Origin.SUPERVISOR)
        self.exposition = Exposition(meter)
        numbers = iter(range(1000))
        log = JsonLog(self.clock)
        stepping = Stepping(self.board, self.board.state, lambda count: b"e" * count, meter, log)
        self.handling = Handling(
            self.config,
            self.folder,
            stepping,
            meter,
            log,
            self.clock,
            self.record,
            lambda count: next(numbers).to_bytes(count, "big"),
            lambda *news: self.told.append(news),
        )

    async def record(self, *act: str) -> bool:
        """Take an act, while the log works."""
        who, what, subject, reason = act
        if self.log_works:
            self.recorded.append((who, what, subject, reason))
        return self.log_works

    def look(self, hours: float = 0.0) -> str:
        """Look after so many hours from the beginning; returns the metrics."""
        self.clock.epoch = BEGAN + hours * HOUR
        self.clock.monotonic = 100.0 + hours * HOUR

        async def to_the_end() -> None:
            self.handling.look()
            await self.handling.settle()

        asyncio.run(to_the_end())
        return self.exposition.page().render("")[0].decode()

    @property
    def acts(self) -> list[str]:
        """What was put on record."""
        return [what for _, what, _, _ in self.recorded]

    @property
    def stopped(self) -> list[str]:
        """The models that are held."""
        return list(self.board.models_held())


def test_a_log_that_cannot_be_written_keeps_no_clock_from_acting(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path, log_works=False), Story()
    desk.folder.add(story.opened())
    desk.look(49)
    assert (desk.stopped, desk.acts) == (["demo"], [])
    assert [what for _, what, *_ in desk.told] == ["incident open"]
    assert desk.handling.findings == ("Incidents: the request log cannot be written",)
    desk.log_works = True
    desk.look(50)
    desk.look(51)
    assert desk.acts == ["incident open", "incident step"]
    assert len(desk.told) == 1
    assert not desk.handling.findings


def test_a_log_that_hangs_keeps_no_look_from_the_next(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    hanging = asyncio.Event()

    async def hangs(*_: str) -> bool:
        await hanging.wait()
        return True

    async def looks() -> None:
        desk.record = hangs  # type: ignore[method-assign]  # a fault, put where the record is
        desk.begin()
        desk.folder.add(story.opened())
        for hours in (47, 49, 50):
            desk.clock.epoch = BEGAN + hours * HOUR
            desk.handling.look()
            await asyncio.sleep(0)
        assert desk.stopped == ["demo"]
        assert desk.folder.recorded() == frozenset()
        hanging.set()
        await desk.handling.settle()
        assert len(desk.folder.recorded()) == 2

    asyncio.run(looks())


@pytest.mark.parametrize("readable", [True, False])
def test_a_note_of_what_is_recorded_that_fails_keeps_no_clock_from_acting(tmp_path: Path, readable: bool) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    if readable:
        desk.look()
        (desk.folder.path / ".recorded").unlink()
    (desk.folder.path / ".recorded").mkdir()
    desk.folder.add(story.triaged(severity=4))
    if readable:
        desk.look(49)
        assert desk.acts == ["incident open", "incident triage"]
        assert desk.handling.findings == ("Incidents: what is on record cannot be noted: Is a directory",)
    else:
        with pytest.raises(IsADirectoryError):
            desk.look(49)
        assert desk.acts == []
    assert desk.stopped == ["demo"]
    (desk.folder.path / ".recorded").rmdir()
    desk.look(50)
    assert desk.acts == ["incident open", "incident triage", "incident step"]
    assert desk.handling.findings == ()


def test_each_event_is_recorded_once_over_restarts(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    desk.look()
    desk.folder.add(story.triaged())
    desk.look()
    desk.look()
    assert desk.acts == ["incident open", "incident triage"]
    assert all(subject.startswith(story.id) for _, _, subject, _ in desk.recorded)
    desk.begin()
    desk.folder.add(story.mitigated())
    desk.look()
    assert desk.acts == ["incident open", "incident triage", "incident mitigate"]


def test_where_the_file_says_so_a_late_fix_moves_the_model_one_rung_down(tmp_path: Path) -> None:
    desk = Desk(tmp_path, STEPS)
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}})
    desk.board.take(load(tmp_path))
    for number, modes in ((1, [Mode.STRICTER]), (2, [Mode.STRICTER, Mode.STOP])):
        story = Story()
        story.now += number  # ids of their own
        desk.folder.add(story.opened())
        desk.look(47.0)
        desk.look(49.0)
        desk.look(50.0)
        assert [mode_of(each) for each in desk.board.over("demo")] == modes
        assert desk.acts.count("incident step") == number


def test_a_weakness_that_is_not_fixed_in_time_stops_the_model_once(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    desk.folder.add(story.triaged(severity=2))
    desk.folder.add(story.mitigated("public"))
    desk.look(48.0)
    assert desk.stopped == []
    desk.look(48.01)
    assert desk.stopped == ["demo"]
    (held,) = desk.board.models_held()["demo"]
    desk.look(49)
    assert desk.board.models_held()["demo"] == (held,)
    assert desk.acts.count("incident step") == 1
    # Whoever lifts it answers for it: the guard does not stop again for the same clock.
    desk.board.resume("model:demo", "the fix is out", "ana", desk.board.in_force()[0].stop.source)  # type: ignore[union-attr]
    desk.look(60)
    desk.begin()
    desk.look(61)
    assert desk.stopped == []


def test_what_was_fixed_in_time_stops_nothing(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    for event in (story.opened(), story.triaged(), story.mitigated("public"), story.mitigated("partner")):
        desk.folder.add(event)
    desk.look(10_000)
    assert desk.stopped == []


def test_where_the_file_says_alarm_or_nothing_the_model_goes_on(tmp_path: Path) -> None:
    for name, response in (("a", ALARMS), ("b", None)):
        desk, story = Desk(tmp_path / name, response), Story()
        desk.folder.add(story.opened())
        page = desk.look(1000)
        assert desk.stopped == []
        assert ('clock="answer"' in page) is (response is not None)


def test_the_page_says_how_many_are_open_and_what_is_due_next(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    page = desk.look()
    assert 'guard_incidents_open{model="demo",severity="4"} 1' in page
    (line,) = [each for each in page.splitlines() if 'clock="half-month"' in each]
    assert float(line.split()[-1]) == BEGAN + 360 * HOUR
    events = (story.triaged(severity=2), story.mitigated("public"), story.mitigated("partner", hours=2), story.closed())
    for event in events:
        desk.folder.add(event)
    page = desk.look()
    assert "guard_incidents_open{" not in page
    assert "half-month" not in page
    sums = {
        each.split("surface=")[1][1:].split('"')[0]: float(each.split()[-1])
        for each in page.splitlines()
        if each.startswith("guard_incident_mitigation_seconds_sum")
    }
    assert sums == {"public": 2 * HOUR, "partner": 4 * HOUR}


def test_damage_is_counted(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    (tmp_path / "var" / "state" / "incidents" / story.id / "x").write_text("?")
    assert "guard_incidents_damaged 1" in desk.look()


def test_a_stop_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    orders = tmp_path / "var" / "state" / "orders"
    orders.rename(tmp_path / "away")
    desk.look(100)
    assert desk.acts == ["incident open"]
    (tmp_path / "away").rename(orders)
    desk.look(101)
    assert desk.stopped == ["demo"]


def test_the_control_page_is_told_each_open_incident(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    desk.folder.add(story.triaged(severity=2))
    desk.look(2.0)
    (case,) = desk.handling.pending
    assert (case.id, case.incident.stage, case.running[0].clock) == (story.id, "triaged", "answer")
    desk.folder.add(story.mitigated("public"))
    desk.folder.add(story.mitigated("partner"))
    desk.folder.add(story.closed())
    desk.look(3.0)
    assert (desk.handling.pending, desk.handling.findings) == ((), ())


def test_the_record_says_by_which_way_an_event_came(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(structs.replace(story.opened(), source=Source.PAGE))
    desk.folder.add(structs.replace(story.triaged(), source=Source.HOST))
    desk.folder.add(story.mitigated())  # of before: nobody knows
    desk.look()
    assert [subject.split()[2:] for _, _, subject, _ in desk.recorded] == [["by", "page"], ["by", "host"], []]


def test_what_keeps_incidents_from_being_known_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    (desk.folder.path / story.id / "x").write_text("")
    desk.look()
    assert desk.handling.findings == ("1 files among the incidents are no events",)
    monkeypatch.setattr("guard.serve.handling.TICK_SECONDS", 0.0)
    away = desk.folder.path.rename(tmp_path / "away")
    desk.folder.path.write_text("")

    async def watched() -> None:
        watching = asyncio.ensure_future(desk.handling.watch())
        try:
            async with asyncio.timeout(30):
                while len(desk.handling.findings) < 2:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0)
                desk.folder.path.unlink()
                away.rename(desk.folder.path)
                while len(desk.handling.findings) > 1:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
        finally:
            watching.cancel()

    asyncio.run(watched())


def test_too_many_incidents_stop_no_clock_that_runs_and_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, old, new = Desk(tmp_path), Story(), Story(began=BEGAN + 1)
    desk.folder.add(old.opened())
    desk.look()
    for module in ("incidents.folder", "serve.handling"):
        monkeypatch.setattr(f"guard.{module}.MAX_INCIDENTS", 1)
    for number in range(2):
        desk.folder.add(Story(began=BEGAN - HOUR - number).opened())  # older ones that nobody has looked at yet
    desk.folder.add(new.opened())
    assert "guard_incidents_damaged 1" in desk.look(1)
    assert desk.handling.findings == ("2 older incidents are not read: there are more than 1",)
    assert {case.id for case in desk.handling.pending} == {old.id, new.id}
    desk.look(49)
    assert desk.stopped == ["demo"]
    assert [len(desk.folder.read(one).events) for one in (old.id, new.id)] == [2, 2]


def test_an_incident_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    (desk.folder.path / ("0" * 26)).write_text("no folder")
    assert "guard_incidents_damaged 1" in desk.look(49)
    assert desk.stopped == ["demo"]
    assert desk.handling.findings == (f"incident {'0' * 26} cannot be read: Not a directory",)
    (desk.folder.path / ("0" * 26)).unlink()
    assert "guard_incidents_damaged 0" in desk.look(50)
    assert not desk.handling.findings


SEVERE: dict[str, Any] = {**STOPS, "trip_from_severity": 3}


def test_a_severe_finding_moves_the_model_down_once(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path, SEVERE), Story()
    desk.folder.add(story.opened(severity=2))
    desk.look(0.1)
    assert desk.stopped == []
    desk.folder.add(story.triaged(severity=3))
    page = desk.look(1)
    assert desk.stopped == ["demo"]
    assert 'guard_trips_total{cause="finding",model="demo"} 1' in page
    (stop,) = desk.board.state().stops
    assert stop.reason == f"incident {story.id}: severity 3"
    desk.look(2)
    desk.board.resume("model:demo", "it is harmless", "ana", stop.source)
    desk.look(3)
    desk.begin()
    desk.look(4)
    assert desk.stopped == []
    assert desk.acts.count("incident step") == 1
    # The clock of the answer runs all the same.
    desk.look(13.5)
    assert desk.stopped == ["demo"]


def test_people_outside_are_told_of_each_event_without_its_words(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path, SEVERE), Story()
    desk.folder.add(story.opened(severity=3))
    desk.folder.add(story.mitigated("public"))
    desk.look(1)
    desk.look(2)
    subject = f"incident {story.id}"
    assert desk.told == [
        (Occasion.INCIDENT, "incident open", subject, "ana", "model demo, severity 3"),
        (Occasion.INCIDENT, "incident mitigate", subject, "ana", "fixed on public"),
    ]


def test_what_nobody_has_judged_counts_as_the_worst(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path, SEVERE), Story()
    desk.folder.add(story.opened())
    desk.look()
    assert desk.stopped == ["demo"]


def test_without_a_severity_in_the_file_a_finding_moves_nothing(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened(severity=4))
    desk.look()
    assert desk.stopped == []


def test_a_crash_between_the_order_and_its_event_does_not_order_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, story = Desk(tmp_path, SEVERE), Story()
    desk.folder.add(story.opened(severity=4))

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(IncidentFolder, "add", fails)
        desk.look(1)
    assert desk.stopped == ["demo"]
    desk.begin()
    desk.look(2)
    desk.look(3)
    assert len(desk.board.state().stops) == 1
    assert desk.acts == ["incident open", "incident step"]
