"""Times to answer are bounded, and a severe weakness never has more time than any."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guard.policy.response import LegalClock, Response


def test_a_severe_weakness_has_its_own_hours_or_those_of_any() -> None:
    both = Response(max_hours=48, severe_max_hours=12)
    assert [both.hours_for(severity) for severity in range(5)] == [48, 48, 48, 12, 12]
    assert Response(max_hours=48).hours_for(4) == 48


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_hours": 0},
        {"max_hours": 9000},
        {"max_hours": 12, "severe_max_hours": 13},
        {"max_hours": 12, "on_overdue": "nothing"},
        {},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        Response(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"hours": 0}, {"starts": "never"}, {"from_severity": 5}, {"name": "A B"}, {"to": "two\nlines"}]
)
def test_a_clock_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    clock = {"name": "c", "starts": "discovered", "hours": 24, "to": "somebody", "source": "a law"}
    with pytest.raises(ValidationError):
        LegalClock(**{**clock, **wrong})
