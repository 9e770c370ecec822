"""Clocks begin where they say, run out when they say, and end with what they ask for."""

from __future__ import annotations

from typing import Any

from guard.incidents.clocks import answer, legal
from guard.incidents.events import Imminent
from guard.incidents.incident import Incident, fold
from guard.policy.response import LegalClock, Response, Starts
from tests.guard.incidents.stories import BEGAN, HOUR, Story

RESPONSE = Response(max_hours=48, severe_max_hours=12)


def folded(*events: Any) -> Incident:
    found = fold(events)
    assert found is not None
    return found


def clock(starts: Starts, hours: float = 24, **more: Any) -> LegalClock:
    return LegalClock(name="c", starts=starts, hours=hours, to="somebody", source="a law", **more)


def test_a_severe_weakness_has_less_time_and_one_that_nobody_judged_counts_as_severe() -> None:
    story = Story()
    opened = story.opened()
    due = answer(folded(opened), RESPONSE, ["public"])
    assert due is not None
    assert due.at == BEGAN + 12 * HOUR
    mild = answer(folded(opened, story.triaged(severity=2)), RESPONSE, ["public"])
    assert mild is not None
    assert mild.at == BEGAN + 48 * HOUR
    assert not due.late(due.at)
    assert due.late(due.at + 1)


def test_without_a_limit_nothing_is_due() -> None:
    assert answer(folded(Story().opened()), None, ["public"]) is None


def test_it_is_answered_when_the_last_surface_is_fixed() -> None:
    story = Story()
    opened, triaged, one = story.opened(), story.triaged(), story.mitigated("public")
    surfaces = ["public", "partner"]
    due = answer(folded(opened, triaged, one), RESPONSE, surfaces)
    assert due is not None
    assert due.done is None
    other = story.mitigated("partner", hours=60)
    due = answer(folded(opened, triaged, one, other), RESPONSE, surfaces)
    assert due is not None
    assert due.done == other.at
    assert due.late(other.at + 1_000_000)  # it was done, and too late


def test_an_answer_in_time_stays_in_time() -> None:
    story = Story()
    events = (story.opened(), story.triaged(), story.mitigated())
    due = answer(folded(*events), RESPONSE, ["public"])
    assert due is not None
    assert not due.late(due.at + 1_000_000)


def test_a_legal_clock_begins_with_its_event() -> None:
    story = Story()
    events: list[Any] = [story.opened()]
    assert [each.at for each in legal(folded(*events), [clock(Starts.DISCOVERED)])] == [BEGAN + 24 * HOUR]
    for starts in (Starts.TRIAGED, Starts.IMMINENT_RISK, Starts.CLOSED):
        assert legal(folded(*events), [clock(starts)]) == ()
    events.append(story.triaged(imminent=Imminent.YES))
    assert [each.at for each in legal(folded(*events), [clock(Starts.TRIAGED)])] == [BEGAN + 25 * HOUR]
    # Whoever states the risk late has less time left.
    assert [each.at for each in legal(folded(*events), [clock(Starts.IMMINENT_RISK)])] == [BEGAN + 24 * HOUR]
    events += [story.mitigated(), story.closed()]
    assert [each.at for each in legal(folded(*events), [clock(Starts.CLOSED)])] == [BEGAN + 27 * HOUR]


def test_a_legal_clock_runs_from_its_severity_on_and_ends_when_reported() -> None:
    story = Story()
    opened = story.opened()
    severe = clock(Starts.DISCOVERED, from_severity=3)
    assert len(legal(folded(opened), [severe])) == 1  # nobody has judged it
    mild = folded(opened, story.triaged(severity=2))
    assert legal(mild, [severe]) == ()
    told = story.reported("c")
    (due,) = legal(folded(opened, told), [severe])
    assert due.done == told.at
