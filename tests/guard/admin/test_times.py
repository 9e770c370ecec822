"""Moments and spans are written in UTC and in two units at most, also those that no calendar has."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.admin.times import clock, day, instant, moment, since


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "under a minute"),
        (59.9, "under a minute"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 17 + 1, "17 d"),
    ],
)
def test_a_span_is_told_in_two_units(seconds: float, words: str) -> None:
    assert since(seconds) == words


def test_a_moment_is_told_in_utc_by_day_and_by_clock() -> None:
    assert (moment(1_800_000_000.0), day(1_800_000_000.0), clock(1_800_000_000.0)) == (
        "2027-01-15 08:00:00",
        "2027-01-15",
        "08:00:00",
    )


def test_a_moment_that_no_calendar_has_is_said_to_be_none() -> None:
    assert moment(280_000_000_000.0) == "no day of the calendar"


@pytest.mark.parametrize(
    "text", ["2027-01-15T08:00", "2027-01-15 08:00:00", "2027-01-15T08:00:00Z", "2027-01-15T09:00+01:00"]
)
def test_a_moment_is_read_as_forms_and_programs_write_it(text: str) -> None:
    assert instant(text) == 1_800_000_000.0


@given(st.text() | st.datetimes(timezones=st.none() | st.timezones()).map(str))
def test_whatever_is_typed_is_a_moment_or_a_clear_refusal(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(instant(text), float)
