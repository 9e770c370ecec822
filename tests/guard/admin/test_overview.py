"""What the page shows is what was there at that moment, bounded, with nothing left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.admin.api import Readiness
from guard.admin.overview import MAX_HISTORY, MAX_STOPS, SOON_SECONDS, Lapse, LogHealth, Overview, overview, since
from guard.admin.running import Running
from guard.policy.load import load
from guard.state.orders import Source
from tests.guard.admin.fakes import NOW, Counter
from tests.parts.configuration import CLAIMS, ModelSpec, write_configuration


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write_configuration(
        tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3), ModelSpec("low", claims=CLAIMS[:1])]
    )
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def look(counter: Counter) -> Overview:
    return overview(counter.board, counter.behind, counter.behind, counter.clock.now())


def test_a_quiet_guard_has_nothing_to_tell(counter: Counter) -> None:
    found = look(counter)
    assert (found.stops, found.findings, found.lapses, found.history, found.unreadable) == ((), (), (), (), "")
    assert [each.report.model for each in found.models] == ["demo", "low", "strict"]
    assert [each.report.routable for each in found.models] == [True, False, True]


def test_the_newest_stop_stands_first_and_a_stop_lifted_below_asl_3_says_so(counter: Counter) -> None:
    first = counter.board.stop("model:demo", "one", "Ana", Source.ADMIN).order
    counter.clock.go(60)
    every = counter.board.stop("all", "two", "Ben", Source.CLI).order
    counter.clock.go(60)
    counter.board.resume("all", "over", "Ana", Source.ADMIN)
    found = look(counter)
    assert [each.standing.stop.id for each in found.stops] == [every, first]
    assert [each.standing.lifted_below for each in found.stops] == [True, False]
    assert [each.who for each in found.stops] == ["Ben", "Ana"]
    assert [each.since for each in found.stops] == [NOW + 60, NOW]
    assert {each.report.model: each.stopped_by for each in found.models} == {
        "demo": (first,),
        "low": (),
        "strict": (every,),
    }
    assert [type(each).__name__ for each in found.history] == ["ResumeOrder", "StopOrder", "StopOrder"]


def test_stops_and_history_are_bounded_and_say_how_many_there_are(counter: Counter) -> None:
    for _ in range(MAX_HISTORY + 7):
        counter.board.stop("model:demo", "", "Ana", Source.ADMIN)
    found = look(counter)
    assert len(found.stops) + found.more_stops == MAX_HISTORY + 7
    assert len(found.stops) == MAX_STOPS
    assert (len(found.history), found.ordered) == (MAX_HISTORY, MAX_HISTORY + 7)


def test_a_file_that_stops_has_no_giver_and_no_time(counter: Counter) -> None:
    (counter.state / "orders" / "STOP").touch()
    (stop,) = look(counter).stops
    assert (stop.scope, stop.since, stop.who) == ("all", None, "a file in the orders' directory")


def test_what_is_open_is_named(counter: Counter) -> None:
    behind = counter.behind
    behind.in_force["differs"] = "models/demo.yaml:3: asl: must be at most 4"
    behind.readiness = Readiness(True, 1, 2, ("worker 1: it fell silent",))
    behind.health = LogHealth(("witness w1: cannot be reached",), sealed=True)
    behind.open_incidents = ("demo: an incident",)
    assert look(counter).findings == (
        "demo: an incident",
        "The files differ from the policy in force: models/demo.yaml:3: asl: must be at most 4",
        "Place of a worker 1: it fell silent",
        "Request log: witness w1: cannot be reached",
    )


def test_evidence_shows_when_its_end_is_near_or_past_the_nearest_first(counter: Counter) -> None:
    ends = {"far": SOON_SECONDS + 1, "near": SOON_SECONDS, "past": -1.0}
    counter.behind.all_lapses = tuple(Lapse("demo", claim, NOW + end) for claim, end in ends.items())
    assert [each.claim for each in look(counter).lapses] == ["past", "near"]


def test_what_runs_is_counted_by_model_and_in_all(counter: Counter) -> None:
    counter.behind.runs = (Running("demo", "a", "x", 2), Running("demo", "b", "y", 3), Running("gone", "a", "x", 1))
    found = look(counter)
    assert {each.report.model: each.running for each in found.models} == {"demo": 5, "low": 0, "strict": 0}
    assert found.running == 6


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
