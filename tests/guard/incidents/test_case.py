"""An incident beside its configuration: surfaces, clocks, and which of several is looked at first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.incidents.case import Case, case_of, most_urgent_first
from guard.incidents.folder import Read
from guard.policy.config import Config
from guard.policy.load import load
from tests.guard.incidents.stories import BEGAN, HOUR, Story, write


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    directory = tmp_path_factory.mktemp("case")
    write(directory, {"max_hours": 48, "severe_max_hours": 12}, surfaces=("partner",))
    return load(directory)


def case(config: Config, story: Story, *events: Any, damaged: tuple[str, ...] = ()) -> Case:
    found = case_of(config, Read(story.id, events, damaged))
    assert found is not None
    return found


def test_a_folder_without_a_first_event_is_no_case(config: Config) -> None:
    assert case_of(config, Read("0" * 26, (), ("x",))) is None


def test_every_clock_of_the_model_and_of_the_guard_runs_and_the_nearest_stands_first(config: Config) -> None:
    story = Story()
    found = case(config, story, story.opened(severity=3))
    assert [due.clock for due in found.dues] == ["answer", "half-month"]
    assert [due.clock for due in found.running] == ["answer", "half-month"]
    assert found.running[0].at == BEGAN + 12 * HOUR
    assert found.unfixed == ("partner", "public")
    assert found.why_not_closed == "nobody has triaged it"


def test_what_is_done_runs_no_more(config: Config) -> None:
    story = Story()
    events = [story.opened(), story.triaged(severity=3), story.mitigated("public"), story.mitigated("partner")]
    found = case(config, story, *events, story.reported("half-month"))
    assert (found.running, found.unfixed, found.why_not_closed) == ((), (), "")


def test_events_are_told_in_their_order_however_they_were_found(config: Config) -> None:
    story = Story()
    events = [story.opened(), story.triaged(), story.closed()]
    assert case(config, story, *reversed(events)).events == tuple(events)


def test_json_tells_its_clocks_and_what_is_late(config: Config) -> None:
    story = Story()
    told = case(config, story, story.opened(severity=3)).fields(BEGAN + 13 * HOUR)
    assert told["incident"] == story.id
    assert told["not_mitigated"] == ["partner", "public"]
    assert [(each["clock"], each["late"]) for each in told["clocks"]] == [("answer", True), ("half-month", False)]


def test_a_model_that_is_gone_leaves_the_legal_clocks(config: Config) -> None:
    story = Story("gone")
    found = case(config, story, story.opened())
    assert found.surfaces == ()
    assert [due.clock for due in found.dues] == ["half-month"]


@given(st.permutations(range(5)))
def test_the_most_urgent_stands_first_and_what_is_over_last(config: Config, order: list[int]) -> None:
    late, mild, told, over, before = (Story(began=at) for at in (BEGAN, BEGAN + HOUR, 1.0, BEGAN, 0.0))
    cases = [
        case(config, late, late.opened(severity=4)),
        case(config, mild, mild.opened(severity=1)),
        case(config, told, told.opened(severity=4), told.closed()),  # a report is due, though it is closed
        case(config, over, over.opened(severity=1), over.closed()),
        case(config, before, before.opened(severity=1), before.closed()),
    ]
    assert most_urgent_first(cases[each] for each in order) == tuple(cases)
    assert [each.pending for each in cases] == [True, True, True, False, False]
