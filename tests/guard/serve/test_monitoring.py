"""A value that leaves its band moves its model down once, over restarts, resumes and other guards' orders.

One file: one state machine, every way through it.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.admin.switchboard import Switchboard
from guard.policy.load import load
from guard.serve.monitoring import Monitoring
from guard.serve.stepping import Stepping
from guard.state.directory import OrderDirectory
from guard.state.orders import Source
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import OTHER, Key, Meter
from guard.telemetry.metric import Origin
from safeguards.mode import Mode
from tests.parts.configuration import write_configuration
from tests.parts.ladders import write_ladder
from tests.safeguards.exchanges import StillClock

BLOCKS: dict[str, Any] = {
    "value": "block_rate",
    "window_seconds": 60,
    "max": 0.5,
    "at_least": 10,
    "then": "step_down",
}
REVIEWED = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Stand:
    """The bands of one model, the counters of its workers, and everything that is told."""

    directory: Path
    bands: tuple[dict[str, Any], ...] = (BLOCKS,)
    counted: dict[Key, float] = field(default_factory=dict)
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write and open all."""
        self.clock = StillClock(epoch=REVIEWED.timestamp() + 3600)
        write_configuration(self.directory, now=REVIEWED)
        self.declare(self.bands)
        state = self.directory / "var" / "state"
        self.numbers = iter(range(1, 10_000))
        config = load(self.directory)
        self.board = Switchboard(config, OrderDirectory(state), state, self.clock.now, self.random)
        self.begin()

    def random(self, count: int) -> bytes:
        """Never the same."""
        return next(self.numbers).to_bytes(count)

    def declare(self, bands: tuple[dict[str, Any], ...], reviewed: str = "2026-06-01") -> None:
        """Write the model's file."""
        file = self.directory / "models" / "demo.yaml"
        model = json.loads(file.read_text())
        model["monitoring"] = {"bands": list(bands), "reviewed": reviewed, "review_every_days": 30}
        file.write_text(json.dumps(model))

    def begin(self) -> None:
        """Begin, or begin anew as after a restart: the workers then count from nought."""
        self.counted.clear()
        self.meter = Meter(Origin.SUPERVISOR)
        log = JsonLog(self.clock)
        self.stepping = Stepping(self.board, self.board.state, self.random, self.meter, log)
        config = load(self.directory)
        self.monitoring = Monitoring(
            config,
            self.counted.items,
            self.stepping,
            self.meter,
            log,
            self.clock,
            self.record,
            lambda *news: self.told.append(news),
        )

    def record(self, *_: str) -> None:
        """Not asked here: `look` returns what is to be recorded."""

    def exchanges(self, seconds: float = 1.0, **endings: int) -> None:
        """So many exchanges end, then so much time passes, and the values are judged."""
        for ending, count in endings.items():
            key = ("guard_requests_total", "demo", "/v1/chat/completions", "general", ending)
            self.counted[key] = self.counted.get(key, 0.0) + count
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Time passes, and the values are judged at its end."""
        self.clock.epoch += seconds
        self.clock.monotonic += seconds
        self.lines += self.monitoring.look()

    def resume(self) -> None:
        """Somebody lifts every stop of the model."""
        self.board.resume("model:demo", "looked at", "ana", Source.CLI)

    @property
    def stops(self) -> list[str]:
        """The reasons of all that was ever ordered, oldest first."""
        return [stop.reason for stop in sorted(self.board.state().stops, key=lambda stop: stop.id)]

    def gauge(self, name: str) -> float | None:
        """A figure of the one band."""
        return self.meter.state().gauges.get((f"guard_monitoring_{name}", "demo", "block_rate", "60"))


def test_a_value_out_of_its_band_moves_the_model_down_and_says_by_how_much(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(served=10, blocked_input=5)
    assert (stand.stops, stand.gauge("value"), stand.gauge("out_of_band")) == ([], 5 / 15, 0.0)
    stand.exchanges(blocked_output=15)
    assert stand.stops == ["block_rate over 60 s is 0.6667 (20 of 30), above 0.5"]
    assert list(stand.board.models_held()) == ["demo"]
    assert stand.gauge("out_of_band") == 1.0
    assert stand.meter.counters["guard_trips_total", "demo", "band"] == 1
    (line,) = stand.lines
    assert line[0] == "value out of its band"


def test_too_few_exchanges_say_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=9)
    assert (stand.stops, stand.gauge("value")) == ([], None)
    stand.exchanges(blocked_input=1)
    assert len(stand.stops) == 1


def test_a_value_may_also_be_too_low(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ({**BLOCKS, "max": 1.0, "min": 0.01},))
    stand.exchanges(served=990, blocked_input=10)
    assert stand.stops == []
    stand.exchanges(served=10)
    assert stand.stops == ["block_rate over 60 s is 0.009901 (10 of 1010), below 0.01"]


def test_one_crossing_trips_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    for _ in range(200):
        stand.exchanges(blocked_input=5)
    assert len(stand.stops) == 1


def test_a_value_that_was_back_in_its_band_trips_anew(tmp_path: Path) -> None:
    """As on a rung of the ladder where requests go on."""
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=20)
    for _ in range(70):
        stand.exchanges(served=20)
    assert stand.gauge("out_of_band") == 0.0
    stand.exchanges(blocked_input=20_000)
    assert len(stand.stops) == 2


def test_each_crossing_goes_one_rung_further_down_the_ladder(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}, "no_new_principals": True})
    stand.board.take(load(tmp_path))
    for _ in range(3):
        stand.exchanges(blocked_input=20_000)
        for _ in range(70):
            stand.exchanges(served=100)
    modes = [stop.mode for stop in sorted(stand.board.state().stops, key=lambda stop: stop.id)]
    assert modes == [Mode.STRICTER, Mode.NO_NEW_PRINCIPALS, Mode.STOP]


def test_within_one_window_of_an_order_that_holds_there_is_no_second(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=20)
    stand.exchanges(served=100)
    assert stand.gauge("out_of_band") == 0.0
    stand.exchanges(blocked_input=1000)
    assert stand.gauge("out_of_band") == 1.0
    assert len(stand.stops) == 1


def test_after_a_resume_the_old_window_does_not_count_and_a_whole_new_one_passes(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=100)
    stand.wait(1)
    stand.resume()
    stand.wait(1)
    assert stand.gauge("out_of_band") == 0.0
    stand.exchanges(blocked_input=40, seconds=50)
    assert len(stand.stops) == 1
    stand.exchanges(blocked_input=40, seconds=10)
    assert len(stand.stops) == 2
    assert "(80 of 80)" in stand.stops[1]


def test_a_stop_that_was_lifted_before_it_was_ever_seen_to_hold_is_lifted(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=100)
    stand.resume()
    stand.wait(1)
    assert stand.gauge("out_of_band") == 0.0


def test_a_value_in_its_band_after_a_resume_ends_the_wait(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=100)
    stand.wait(1)
    stand.resume()
    stand.wait(1)
    stand.exchanges(served=20)
    stand.exchanges(blocked_input=100)
    assert len(stand.stops) == 2


def test_a_restart_neither_forgets_a_trip_nor_repeats_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(blocked_input=20)
    stand.begin()
    stand.wait(1)
    assert stand.gauge("out_of_band") == 1.0
    stand.exchanges(blocked_input=20)
    assert len(stand.stops) == 1
    stand.resume()
    stand.wait(1)
    assert stand.gauge("out_of_band") == 0.0
    stand.exchanges(blocked_input=20, seconds=30)
    assert len(stand.stops) == 1
    stand.exchanges(blocked_input=20, seconds=31)
    assert len(stand.stops) == 2


def test_a_stop_that_another_guard_ordered_for_the_same_band_is_not_doubled(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    other = Stand(tmp_path / "other")
    other.clock.epoch = stand.clock.epoch
    other.exchanges(blocked_input=20)
    (order,) = other.board.state().stops
    stand.exchanges(served=20)
    OrderDirectory(tmp_path / "var" / "state").put(order)
    stand.exchanges(served=1)
    stand.exchanges(blocked_input=500)
    assert [stop.id for stop in stand.board.state().stops] == [order.id]
    assert stand.gauge("out_of_band") == 1.0


def test_where_the_band_says_alarm_nothing_is_ordered_and_it_is_said_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ({**BLOCKS, "then": "alarm"},))
    for _ in range(5):
        stand.exchanges(blocked_input=20)
    assert stand.stops == []
    assert [line[0] for line in stand.lines] == ["value out of its band"]
    assert stand.gauge("out_of_band") == 1.0
    stand.exchanges(served=5000)
    assert [line[0] for line in stand.lines] == ["value out of its band", "value back in its band"]
    assert [news[1] for news in stand.told] == ["value out of its band", "value back in its band"]


def test_where_it_says_stop_the_model_is_stopped(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ({**BLOCKS, "then": "stop"},))
    stand.exchanges(blocked_input=20)
    assert [stop.mode for stop in stand.board.state().stops] == [Mode.STOP]


def test_an_order_that_cannot_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as broken:
        broken.setattr(Switchboard, "stop", full)
        stand.exchanges(blocked_input=20)
        stand.wait(1)
    assert stand.gauge("out_of_band") == 0.0
    stand.wait(1)
    assert len(stand.stops) == 1


def test_a_band_that_stays_keeps_what_it_saw_when_the_policy_changes(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(served=20, blocked_input=10)
    stand.declare(({**BLOCKS, "max": 0.2}, {**BLOCKS, "value": "error_rate"}))
    stand.monitoring.take(load(tmp_path))
    stand.wait(1)
    assert stand.stops == ["block_rate over 60 s is 0.3333 (10 of 30), above 0.2"]


def test_a_band_that_only_alarmed_acts_once_its_file_says_so(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ({**BLOCKS, "then": "alarm"},))
    stand.exchanges(blocked_input=20)
    stand.declare((BLOCKS,))
    stand.monitoring.take(load(tmp_path))
    stand.wait(1)
    assert len(stand.stops) == 1


def test_a_band_that_is_gone_says_nothing_any_more(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(served=20)
    stand.declare(({**BLOCKS, "value": "error_rate"},))
    stand.monitoring.take(load(tmp_path))
    stand.exchanges(blocked_input=200)
    assert (stand.stops, stand.gauge("value"), stand.gauge("out_of_band")) == ([], None, None)


def test_a_late_review_is_said_once_until_it_is_done(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    due = stand.meter.bind("guard_monitoring_review_due_timestamp_seconds", "demo")
    stand.wait(29 * 86_400.0)
    assert stand.lines == []
    assert stand.meter.state().gauges[due] == REVIEWED.timestamp() + 30 * 86_400
    stand.wait(86_400.0)
    stand.wait(86_400.0)
    assert stand.lines == [("review of bands late", "demo", "they were to be reviewed by 2026-07-01")]
    stand.declare((BLOCKS,), reviewed="2026-07-02")
    stand.monitoring.take(load(tmp_path))
    stand.wait(1)
    assert stand.meter.state().gauges[due] == REVIEWED.timestamp() + 61 * 86_400


def test_it_says_when_it_cannot_see_every_exchange(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.exchanges(served=20)
    assert stand.meter.state().gauges["guard_monitoring_blind",] == 0.0
    stand.counted["guard_requests_total", OTHER, OTHER, OTHER, "served"] = 1.0
    stand.wait(1)
    assert stand.meter.state().gauges["guard_monitoring_blind",] == 1.0
