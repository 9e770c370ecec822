"""An incident is what its events say, in whatever order they are found, and closes only when it may."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guard.incidents.events import Imminent
from guard.incidents.incident import Incident, fold
from tests.guard.incidents.stories import HOUR, Story


def folded(*events: Any) -> Incident:
    found = fold(events)
    assert found is not None
    return found


def test_without_its_first_event_there_is_none() -> None:
    story = Story()
    story.opened()
    assert fold([story.triaged()]) is None
    assert fold([]) is None


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 3), max_size=12))
def test_the_order_of_finding_means_nothing(random: Any, kinds: list[int]) -> None:
    story = Story()
    events: list[Any] = [story.opened()]
    makers = (story.triaged, story.mitigated, story.reported, story.closed)
    events += [makers[kind]() for kind in kinds]
    told = fold(events)
    random.shuffle(events)
    assert fold(events) == told
    assert fold([*events, *events[:2]]) == told or len({each.id for each in events}) < len(events) + 2


def test_what_nobody_has_judged_counts_as_the_worst() -> None:
    story = Story()
    opened = story.opened()
    assert folded(opened).severity == 4
    assert folded(opened, story.triaged(severity=1)).severity == 1
    assert folded(Story().opened(severity=2)).severity == 2


def test_the_first_statement_of_imminent_risk_is_remembered() -> None:
    story = Story()
    opened, first = story.opened(), story.triaged(imminent=Imminent.YES)
    second = story.triaged(imminent=Imminent.NO)
    found = folded(opened, first, second)
    assert found.imminent is Imminent.NO
    assert found.imminent_since == first.at
    assert found.first_triage == first.at == opened.at + HOUR


def test_it_closes_only_triaged_fixed_everywhere_whole_and_once() -> None:
    story = Story()
    events: list[Any] = [story.opened()]
    surfaces = ("public", "partner")
    assert folded(*events).why_not_closed(surfaces) == "nobody has triaged it"
    events.append(story.triaged())
    assert folded(*events).why_not_closed(surfaces) == "not mitigated on partner, public"
    events.append(story.mitigated("public"))
    assert folded(*events).why_not_closed(surfaces) == "not mitigated on partner"
    events.append(story.mitigated("partner"))
    assert folded(*events).why_not_closed(surfaces) == ""
    damaged = fold(events, ("x.json",))
    assert damaged is not None
    assert "x.json" in damaged.why_not_closed(surfaces)
    events.append(story.closed())
    assert folded(*events).why_not_closed(surfaces) == "it is closed already"


def test_the_stages_follow_one_another() -> None:
    story = Story()
    events: list[Any] = []
    stages = []
    for make in (story.opened, story.triaged, story.mitigated, story.closed):
        events.append(make())
        stages.append(folded(*events).stage)
    assert stages == ["open", "triaged", "mitigating", "closed"]


def test_after_the_first_closing_nothing_changes_it_but_reports_and_the_guards_own_steps() -> None:
    story = Story()
    events: list[Any] = [story.opened(), story.triaged(severity=1), story.mitigated("public"), story.closed()]
    before = folded(*events)
    after = folded(*events, story.triaged(severity=4), story.mitigated("public"), story.closed())
    assert after == before
    assert folded(*events, story.reported(), story.stepped()).reported


def test_the_stops_that_belong_to_it_are_the_one_it_was_opened_for_and_those_the_guard_gave() -> None:
    story = Story()
    opened = story.opened(stop="1" * 26)
    assert folded(opened, story.stepped()).orders == ("1" * 26, "0" * 26)
    assert folded(Story().opened()).orders == ()


def test_what_had_to_be_there_to_close_it_counts_even_where_its_id_sorts_behind_the_closing() -> None:
    story = Story()
    opened, closed = story.opened(), story.closed()
    triaged, fixes = story.triaged(severity=3), (story.mitigated("public"), story.mitigated("partner"))
    found = folded(opened, closed, triaged, *fixes)
    assert (found.stage, found.severity, found.unfixed(["public", "partner"])) == ("closed", 3, ())


def test_it_needs_what_it_has_not_got_yet_and_each_only_once() -> None:
    story = Story()
    so_far: list[Any] = [story.opened()]
    for make in (story.triaged, story.mitigated, story.reported, story.stepped, story.closed):
        event = make()
        assert folded(*so_far).needs(event)
        so_far.append(event)
        assert not folded(*so_far).needs(event)
    assert folded(*so_far).needs(story.mitigated("partner"))
    assert folded(*so_far).needs(story.reported("half-month"))
    assert not folded(*so_far).needs(story.opened())
