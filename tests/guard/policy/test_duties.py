"""Who is named to stop and to resume: by role and by the day on which the entry ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from guard.policy.config import Config
from guard.policy.floor import routable_until
from guard.policy.model import OperatorsFile
from guard.policy.model import Role as Duty
from guard.policy.operators import Person
from tests.guard.policy.test_floor import NOW, why, with_row

NOBODY = "operators.yaml names nobody now who may stop models"
TOO_FEW = "operators.yaml names fewer than two people now who may approve resuming them"


def named(*people: tuple[str, int]) -> Config:
    """Persons by role and by the day of December 2026 on which their entries end."""
    persons = [
        Person.model_construct(id=f"p{number}", roles=(Duty(role),), expires=date(2026, 12, day))
        for number, (role, day) in enumerate(people)
    ]
    file = OperatorsFile.model_construct(version=1, persons=tuple(persons))
    return replace(with_row("responders_named"), operators=file)


def test_one_who_may_stop_and_two_who_may_approve_are_enough() -> None:
    assert why(with_row("responders_named")) == NOBODY
    assert why(named(("viewer", 9))) == NOBODY
    assert why(named(("responder", 9), ("approver", 9))) == TOO_FEW
    assert why(named(("approver", 9), ("approver", 9))) is None
    assert why(named(("responder", 9), ("responsible_scaling_officer", 9), ("approver", 9))) is None


def test_the_row_is_met_until_the_last_but_one_approver_leaves() -> None:
    config = named(("approver", 5), ("approver", 7), ("approver", 9))
    end = routable_until(config, "demo", NOW)
    assert end == datetime(2026, 12, 7, tzinfo=UTC).timestamp()
    assert why(config, datetime(2026, 12, 7, tzinfo=UTC)) == TOO_FEW
    assert why(config, datetime(2026, 12, 9, tzinfo=UTC)) == NOBODY
