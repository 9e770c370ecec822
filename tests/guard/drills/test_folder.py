"""The results of a host: one drill at a time, the newest hundred, and what a killed one left."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.drills.folder import KEPT, BusyError, DrillFolder
from guard.drills.result import Failure, Kind, Result
from guard.state.orders import order_id


def result(number: int, **more: object) -> Result:
    return Result(order_id(float(number), b"0" * 10), Kind.STOP, "order", float(number), "x", **more)  # type: ignore[arg-type]


def test_nothing_is_there_before_the_first_and_looking_makes_nothing(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    assert folder.results() == folder.fresh() == ()
    assert folder.interrupted() is None
    assert folder.since() is None
    assert list(tmp_path.iterdir()) == []


def test_one_drills_at_a_time(tmp_path: Path) -> None:
    with DrillFolder(tmp_path).alone(), pytest.raises(BusyError), DrillFolder(tmp_path).alone():
        pytest.fail("two at once")
    with DrillFolder(tmp_path).alone():
        pass


def test_the_newest_hundred_are_kept(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    for number in range(KEPT + 3):
        folder.add(result(number))
    assert [each.at for each in folder.results()] == [float(number) for number in range(3, KEPT + 3)]


def test_a_drill_that_nobody_ended_is_told_until_it_is(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    with folder.alone():
        folder.begin(result(1, failure=Failure.INTERRUPTED))
    assert DrillFolder(tmp_path).interrupted() == result(1, failure=Failure.INTERRUPTED)
    folder.add(result(1))
    assert folder.interrupted() is None
    folder.begin(result(2))
    folder.forget()
    assert folder.interrupted() is None


def test_what_is_recorded_is_told_once(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    folder.add(result(1))
    folder.add(result(2))
    assert folder.fresh() == (result(1), result(2))
    folder.note_recorded(result(1).id)
    assert DrillFolder(tmp_path).fresh() == (result(2),)


def test_since_when_drills_are_owed_is_noted_once_and_for_all(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    folder.note_since(12.5)
    assert DrillFolder(tmp_path).since() == 12.5


def test_what_is_no_result_is_passed_over(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    folder.add(result(1))
    (folder.path / f"{'1' * 26}.json").write_text("nonsense")
    (folder.path / f"{'2' * 26}.json").symlink_to("/etc/passwd")
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / ".since").write_text("yesterday")
    (folder.path / ".begun").write_bytes(b"half")
    assert folder.results() == (result(1),)
    assert folder.since() is None
    assert folder.interrupted() is None


def test_a_result_of_a_clock_that_was_set_back_is_new_and_kept(tmp_path: Path) -> None:
    folder = DrillFolder(tmp_path)
    for number in range(10, 10 + KEPT):
        folder.add(result(number))
        folder.note_recorded(result(number).id)
    folder.add(result(1))
    assert DrillFolder(tmp_path).fresh() == (result(1),)
    folder.note_recorded(result(1).id)
    assert DrillFolder(tmp_path).fresh() == ()
    assert len(folder.names()) == KEPT
