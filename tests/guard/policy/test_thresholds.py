"""What is not shown to be ruled out counts as crossed, at every instant and for every kind of doubt (row A5)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.standard import Axis, Demand, Levels, Standard, Threshold
from guard.policy.thresholds import Assessment, Resolved, ThresholdState, days, lapses, resolve

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROW = {
    "id": "T",
    "axis": "deployment",
    "level": 1,
    "requires": "it",
    "source": "us",
    "check": "thresholds_within_levels",
}


def threshold(max_age_days: int | None = None, **demands: int) -> Threshold:
    return Threshold(name="CBRN-3", capability="it", source="us", demands=Demand(**demands), max_age_days=max_age_days)


def standard(*thresholds: Threshold) -> Standard:
    return Standard.model_validate(
        {
            "name": "house",
            "version": "1",
            "title": "t",
            "source": "s",
            "thresholds": tuple(each.model_dump() for each in thresholds),
            "rows": (ROW,),
        }
    )


def found(state: str, assessed: str = "2026-11-01", expires: str = "2027-05-01") -> Assessment:
    return Assessment(
        threshold="CBRN-3",
        state=ThresholdState(state),
        assessed=date.fromisoformat(assessed),
        expires=date.fromisoformat(expires),
    )


def judged(*assessments: Assessment, max_age_days: int | None = None, at: datetime = NOW) -> Resolved:
    (only,) = resolve(standard(threshold(max_age_days, deployment=3, security=3)), assessments, at)
    return only


@pytest.mark.parametrize(
    ("assessments", "why"),
    [
        ((), "nobody assessed CBRN-3"),
        ((found("crossed"),), "CBRN-3 is crossed"),
        ((found("cannot_rule_out"),), "CBRN-3 cannot be ruled out"),
        ((found("ruled_out", "2026-12-01"),), "the assessment of CBRN-3 is dated in the future (2026-12-01)"),
        ((found("ruled_out", "2026-01-01", "2026-11-20"),), "the finding that rules out CBRN-3 lapsed 3 days ago"),
    ],
)
def test_every_kind_of_doubt_counts_as_crossed(assessments: tuple[Assessment, ...], why: str) -> None:
    only = judged(*assessments)
    assert (only.crossed, only.why, only.until) == (True, why, None)


def test_a_current_finding_rules_it_out_until_it_lapses() -> None:
    only = judged(found("ruled_out"))
    assert (only.crossed, only.until) == (False, datetime(2027, 5, 1, tzinfo=UTC))
    assert judged(found("ruled_out"), at=datetime(2027, 5, 1, tzinfo=UTC)).crossed


def test_the_standards_greatest_age_ends_a_finding_earlier() -> None:
    only = judged(found("ruled_out"), max_age_days=30)
    assert only.until == datetime(2026, 12, 1, tzinfo=UTC)
    assert judged(found("ruled_out"), max_age_days=10).crossed


@given(
    st.sampled_from(list(ThresholdState)),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.integers(1, 400),
    st.none() | st.integers(1, 400),
    st.integers(0, 800),
)
def test_it_is_ruled_out_only_while_a_finding_that_says_so_holds(
    state: ThresholdState, assessed: date, lasts: int, most: int | None, after: int
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=after)
    assessment = Assessment(
        threshold="CBRN-3", state=state, assessed=assessed, expires=assessed + timedelta(days=lasts)
    )
    holds = assessed <= at.date() < assessed + timedelta(days=min(lasts, most or lasts))
    only = judged(assessment, max_age_days=most, at=at)
    assert only.crossed is not (state is ThresholdState.RULED_OUT and holds)


@pytest.mark.parametrize(
    ("demands", "levels", "beyond"),
    [
        ({"deployment": 3, "security": 3}, (2, 2), [(Axis.DEPLOYMENT, 3), (Axis.SECURITY, 3)]),
        ({"deployment": 3, "security": 3}, (3, 2), [(Axis.SECURITY, 3)]),
        ({"deployment": 3, "security": 3}, (3, 3), []),
        ({"security": 4}, (4, 3), [(Axis.SECURITY, 4)]),
        ({}, (1, 1), []),
    ],
)
def test_each_axis_is_compared_by_itself(
    demands: dict[str, int], levels: tuple[int, int], beyond: list[tuple[Axis, int]]
) -> None:
    (only,) = resolve(standard(threshold(**demands)), (), NOW)
    assert list(only.beyond(Levels(deployment=levels[0], security=levels[1]))) == beyond


def test_what_is_ruled_out_demands_nothing() -> None:
    assert list(judged(found("ruled_out")).beyond(Levels(deployment=1, security=1))) == []


def test_a_finding_lapses_at_the_earlier_of_its_two_ends() -> None:
    assert lapses(threshold(), found("ruled_out")) == datetime(2027, 5, 1, tzinfo=UTC)
    assert lapses(threshold(30), found("ruled_out")) == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("late", "words"),
    [(timedelta(hours=3), "less than a day"), (timedelta(days=1), "1 day"), (timedelta(days=9.9), "9 days")],
)
def test_a_length_of_time_is_told_in_whole_days(late: timedelta, words: str) -> None:
    assert days(late) == words
