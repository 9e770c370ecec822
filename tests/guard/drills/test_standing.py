"""What is late, what failed, and what that leaves open at ASL-3; a clock that was set shows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from guard.drills.result import Failure, Kind, Result
from guard.drills.standing import OFF, fields, gapped, gaps, standing
from guard.policy.config import Config
from guard.policy.load import load
from guard.state.orders import order_id
from tests.parts.configuration import ModelSpec, write_configuration

HOUR = 3600.0


def config(directory: Path, *levels: int, drills: object = {}) -> Config:
    write_configuration(directory, models=[ModelSpec(f"m{asl}", asl=asl) for asl in levels])
    guard = json.loads((directory / "guard.yaml").read_text())
    (directory / "guard.yaml").write_text(json.dumps({**guard, "drills": drills}))
    return load(directory)


def at(hours: float, failure: Failure | None = None, skipped: str = "") -> Result:
    identity = order_id(hours * HOUR, b"0" * 10)
    return Result(identity, Kind.STOP, "order", hours * HOUR, "x", failure=failure, why="why", skipped=skipped)


@pytest.mark.parametrize(
    ("results", "now", "gap"),
    [
        ([], 0.0, ""),
        ([], 1.99, ""),
        ([], 2.0, "the stop drill is late"),
        ([at(1)], 2.99, ""),
        ([at(1)], 3.0, "the stop drill is late"),
        ([at(1), at(2.5, skipped="all is stopped (order 1)")], 3.0, "the stop drill is late: all is stopped (order 1)"),
        ([at(1), at(2, Failure.NOT_CUT)], 2.0, "the last stop drill failed: why"),
        ([at(1), at(2, Failure.NOT_CUT), at(2.1, skipped="x")], 2.2, "the last stop drill failed: why"),
        ([at(1, Failure.NOT_CUT), at(2)], 2.0, ""),
        ([at(9)], 2.0, "the stop drill is late"),
    ],
)
def test_a_drill_is_a_gap_from_the_moment_on_at_which_it_is_late_or_has_failed(
    tmp_path: Path, results: list[Result], now: float, gap: str
) -> None:
    one = config(tmp_path, 2, 3)
    found = standing(one, results, 0.0, now * HOUR)
    assert [each.kind for each in found] == [Kind.STOP]
    assert gaps(one, found) == ((gap,) if gap else ())
    told = fields(one, found)
    assert told["models"] == (["m3"] if gap else [])
    assert told["kinds"][0]["gap"] == gap


def test_a_drill_on_a_served_model_stands_in_for_none_of_the_self_test_model(tmp_path: Path) -> None:
    one = config(tmp_path, 3)
    served = msgspec.structs.replace(at(2.9), disrupted="m3")
    (found,) = standing(one, [at(1), served], 0.0, 3 * HOUR)
    assert (found.late, found.success, found.newest) == (True, HOUR, at(1))
    failed = msgspec.structs.replace(at(1.5, Failure.NOT_CUT), disrupted="m3")
    (found,) = standing(one, [at(1), failed], 0.0, 2 * HOUR)
    assert not found.failing


def test_below_three_nothing_is_a_gap(tmp_path: Path) -> None:
    one = config(tmp_path, 1, 2)
    found = standing(one, [], 0.0, 99 * HOUR)
    assert found[0].late
    assert gapped(one) == gaps(one, found) == ()


def test_drills_that_are_switched_off_are_a_gap_too(tmp_path: Path) -> None:
    one = config(tmp_path, 3, drills=None)
    assert standing(one, [at(1)], 0.0, 2 * HOUR) == ()
    assert gaps(one, ()) == (OFF,)


def test_where_it_is_not_known_since_when_they_are_owed_they_are_from_now_on(tmp_path: Path) -> None:
    (found,) = standing(config(tmp_path, 3), [], None, 99 * HOUR)
    assert not found.late
    assert found.late_at == 101 * HOUR


def test_the_setting_says_when_it_is_late(tmp_path: Path) -> None:
    one = config(tmp_path, 3, drills={"every_seconds": 600, "grace_seconds": 60})
    (found,) = standing(one, [at(1)], 0.0, HOUR + 659)
    assert (found.late, found.late_at) == (False, HOUR + 660)
