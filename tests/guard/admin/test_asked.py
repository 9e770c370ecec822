"""What waits for approval: few, for as long as the statement holds, and one approval of each person."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.admin.asked import MOST, MOST_OF_ONE, AskedStatements
from guard.state.asked import Asked, AskedFolder
from guard.state.orders import Approver
from tests.guard.admin.fakes import NOW, SetClock

LATER = NOW + 3_600


def test_a_statement_waits_until_it_expires(tmp_path: Path) -> None:
    clock = SetClock()
    asked = AskedStatements(clock, AskedFolder(tmp_path))
    found = asked.ask("{}\n", "model:strict", "ana", NOW + 60)
    assert asked.find(found.name) == found
    clock.go(59)
    assert asked.open() == (found,)
    clock.go(1)
    assert asked.find(found.name) is None
    assert asked.open() == ()


def test_asked_for_again_it_is_the_one_that_waits(tmp_path: Path) -> None:
    asked = AskedStatements(SetClock(), AskedFolder(tmp_path))
    first = asked.approved(asked.ask("{}\n", "all", "ana", LATER), Approver("ben", "x"))
    assert asked.ask("{}\n", "all", "carla", LATER) == first


def test_each_person_approves_once_and_the_latest_counts(tmp_path: Path) -> None:
    asked = AskedStatements(SetClock(), AskedFolder(tmp_path))
    found = asked.ask("{}\n", "all", "ana", LATER)
    for person, text in (("ana", "1"), ("ben", "2"), ("ana", "3")):
        found = asked.approved(found, Approver(person, text))
    assert [(each.person, each.signature) for each in found.approvers] == [("ben", "2"), ("ana", "3")]
    assert asked.find(found.name) == found
    asked.over(found)
    assert asked.open() == ()
    assert asked.approved(found, Approver("cara", "4")).approvers[-1].person == "cara"
    assert asked.open() == ()  # what was used meanwhile does not come back


def test_nobody_pushes_out_what_others_have_asked_for(tmp_path: Path) -> None:
    asked = AskedStatements(SetClock(), AskedFolder(tmp_path))
    kept = asked.ask("of ben\n", "all", "ben", LATER)
    for number in range(MOST_OF_ONE + 3):
        asked.ask(f"{number}\n", "all", "ana", LATER)
    assert [each.statement for each in asked.open()] == ["of ben\n", *(f"{number}\n" for number in range(3, 8))]
    assert kept in asked.open()


def test_all_together_they_are_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    asked = AskedStatements(SetClock(), AskedFolder(tmp_path))
    for number in range(MOST + 7):
        asked.ask(f"{number}\n", "all", f"person {number}", LATER)
    assert [each.statement for each in asked.open()] == [f"{number}\n" for number in range(7, MOST + 7)]


def test_a_restart_finds_what_waits_with_its_approvals_and_neither_what_was_used_nor_what_has_expired(
    tmp_path: Path,
) -> None:
    clock = SetClock()
    before = AskedStatements(clock, AskedFolder(tmp_path))
    kept = before.approved(before.ask("kept\n", "all", "ana", LATER), Approver("ben", "x"))
    before.over(before.ask("used\n", "all", "ana", LATER))
    before.ask("short\n", "all", "ana", NOW + 60)
    assert AskedStatements(clock, AskedFolder(tmp_path)).find(kept.name) == kept
    clock.go(60)
    after = AskedStatements(clock, AskedFolder(tmp_path))
    assert after.open() == (kept,) == AskedFolder(tmp_path).read()
    clock.go(3_600)
    assert after.open() == () == AskedFolder(tmp_path).read()


@pytest.mark.parametrize("act", ["write", "remove"])
def test_where_the_disk_takes_nothing_people_can_approve_all_the_same(
    act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = AskedFolder(tmp_path)
    monkeypatch.setattr(folder, act, full)
    asked = AskedStatements(SetClock(), folder)
    found = asked.approved(asked.ask("{}\n", "all", "ana", LATER), Approver("ben", "x"))
    assert asked.open() == (found,)
    asked.over(found)
    assert asked.open() == ()


def test_what_is_found_is_bounded_too(tmp_path: Path) -> None:
    for number in range(MOST + 7):
        AskedFolder(tmp_path).write(Asked(f"{number}\n", "all", f"person {number}", LATER))
    assert len(AskedStatements(SetClock(), AskedFolder(tmp_path)).open()) == MOST
