"""The guard's own orders say what they are for, and are found again by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guard.admin.switchboard import Switchboard
from guard.policy.load import load
from guard.serve.stepping import Ground, Stepping
from guard.state.directory import OrderDirectory
from guard.state.orders import Source
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Cause, Origin
from safeguards.mode import Mode
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ladders import write_ladder
from tests.safeguards.exchanges import StillClock

BAND = Ground("demo", Cause.BAND, "block_rate over 60 s")


class Stand:
    """A stepping over the orders of a directory."""

    def __init__(self, directory: Path, ladder: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Write and open all."""
        write_configuration(directory, models=[ModelSpec(), ModelSpec("other")])
        write_ladder(directory, "demo", dict(ladder))
        config, state = load(directory), directory / "var" / "state"
        self.clock, numbers = StillClock(), iter(range(1, 1000))
        self.board = Switchboard(config, OrderDirectory(state), state, self.clock.now, lambda count: b"e" * count)
        self.meter = Meter(Origin.SUPERVISOR)
        self.stepping = Stepping(
            self.board, self.board.state, lambda count: next(numbers).to_bytes(count), self.meter, JsonLog(self.clock)
        )


def test_an_order_is_in_force_signed_by_nobody_but_the_guard_and_says_why(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    order = stand.stepping.down(BAND, "block_rate over 60 s is 1", stop=False)
    (stop,) = stand.board.state().stops
    assert (stop.id, stop.who, stop.source, str(stop.scope)) == (order, "guard", Source.TRIP, "model:demo")
    assert stop.reason == "block_rate over 60 s is 1"
    assert stop.issuer
    assert list(stand.board.models_held()) == ["demo"]
    assert stand.meter.counters["guard_trips_total", "demo", "band"] == 1


def test_a_step_leads_to_the_next_rung_of_the_models_own_ladder(tmp_path: Path) -> None:
    stand = Stand(tmp_path, {"stricter": {"enforce": ["tried"]}})
    for _ in range(3):
        stand.stepping.down(BAND, "out", stop=False)
        stand.clock.epoch += 1
    modes = [stop.mode for stop in stand.stepping.given(BAND)]
    assert modes == [Mode.STRICTER, Mode.STOP, Mode.STOP]


def test_each_ground_finds_its_own_orders_alone(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    first = stand.stepping.down(BAND, "out", stop=False)
    stand.clock.epoch += 1
    second = stand.stepping.down(BAND, "out again", stop=True)
    others = [
        Ground("other", Cause.BAND, BAND.subject),
        Ground("demo", Cause.FINDING, BAND.subject),
        Ground("demo", Cause.BAND, "hit_rate over 60 s"),
    ]
    assert [stop.id for stop in stand.stepping.given(BAND)] == [first, second]
    assert all(stand.stepping.given(other) == () for other in others)


def test_an_order_of_somebody_else_is_none_of_the_guards(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.board.stop("model:demo", "a hook", "hook:x", Source.WEBHOOK, entropy=BAND.entropy(b"\1"))
    assert stand.stepping.given(BAND) == ()


def test_an_order_that_was_lifted_was_given_and_holds_no_longer(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    order = stand.stepping.down(BAND, "out", stop=False)
    assert stand.stepping.held(2) == {order}
    stand.board.resume("model:demo", "looked at", "ana", Source.CLI)
    assert stand.stepping.held(2) == frozenset()
    assert [stop.id for stop in stand.stepping.given(BAND)] == [order]
