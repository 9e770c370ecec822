"""What waits for approval: few, for as long as the statement holds, and one approval of each person."""

from __future__ import annotations

from guard.admin.asked import MOST, MOST_OF_ONE, AskedStatements, name_of
from guard.state.orders import Approver
from tests.guard.admin.fakes import NOW, SetClock

LATER = NOW + 3_600


def test_a_statement_waits_until_it_expires() -> None:
    clock = SetClock()
    asked = AskedStatements(clock)
    found = asked.ask("{}\n", "model:strict", "ana", NOW + 60)
    assert found.name == name_of("{}\n")
    assert asked.find(found.name) == found
    clock.go(59)
    assert asked.open() == (found,)
    clock.go(1)
    assert asked.find(found.name) is None
    assert asked.open() == ()


def test_asked_for_again_it_is_the_one_that_waits() -> None:
    asked = AskedStatements(SetClock())
    first = asked.approved(asked.ask("{}\n", "all", "ana", LATER), Approver("ben", "x"))
    assert asked.ask("{}\n", "all", "carla", LATER) == first


def test_each_person_approves_once_and_the_latest_counts() -> None:
    asked = AskedStatements(SetClock())
    found = asked.ask("{}\n", "all", "ana", LATER)
    for person, text in (("ana", "1"), ("ben", "2"), ("ana", "3")):
        found = asked.approved(found, Approver(person, text))
    assert [(each.person, each.signature) for each in found.approvers] == [("ben", "2"), ("ana", "3")]
    assert asked.find(found.name) == found
    asked.over(found)
    assert asked.open() == ()
    assert asked.approved(found, Approver("cara", "4")).approvers[-1].person == "cara"
    assert asked.open() == ()  # what was used meanwhile does not come back


def test_nobody_pushes_out_what_others_have_asked_for() -> None:
    asked = AskedStatements(SetClock())
    kept = asked.ask("of ben\n", "all", "ben", LATER)
    for number in range(MOST_OF_ONE + 3):
        asked.ask(f"{number}\n", "all", "ana", LATER)
    assert [each.statement for each in asked.open()] == ["of ben\n", *(f"{number}\n" for number in range(3, 8))]
    assert kept in asked.open()


def test_all_together_they_are_bounded_and_the_oldest_goes() -> None:
    asked = AskedStatements(SetClock())
    for number in range(MOST + 7):
        asked.ask(f"{number}\n", "all", f"person {number}", LATER)
    assert [each.statement for each in asked.open()] == [f"{number}\n" for number in range(7, MOST + 7)]
