"""What the page shows is what was there at that moment, bounded, with nothing left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.admin.api import Readiness
from guard.admin.overview import (
    MAX_HISTORY,
    MAX_STOPS,
    SOON_SECONDS,
    Kind,
    Lapse,
    LogHealth,
    Overview,
    Place,
    overview,
)
from guard.admin.running import Running
from guard.admin.switchboard import Hold
from guard.incidents.desk import Actor
from guard.incidents.events import Source as ByWay
from guard.policy.load import load
from guard.state.directory import OrderDirectory
from guard.state.orders import Source, issue_resume
from safeguards.mode import Mode
from tests.guard.admin.fakes import DAY, HALF, NOW, Counter, InFleet, replica
from tests.guard.state.parts import rule
from tests.parts.configuration import CLAIMS, ModelSpec, write_configuration
from tests.parts.ladders import write_ladder


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write_configuration(
        tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3), ModelSpec("low", claims=CLAIMS[:1])], now=DAY
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
    assert {each.report.model: each.held for each in found.models} == {
        "demo": (Hold(first, Mode.STOP, refuses=True),),
        "low": (),
        "strict": (Hold(every, Mode.STOP, refuses=True),),
    }
    assert [type(each).__name__ for each in found.history] == ["Judged", "StopOrder", "StopOrder"]


def test_the_strongest_stop_stands_first_and_each_mode_is_counted(counter: Counter) -> None:
    stop = counter.board.stop("model:demo", "", "Ana", Source.ADMIN).order
    drains = []
    for _ in range(2):
        counter.clock.go(1)
        drains.append(counter.board.stop("model:strict", "", "Ana", Source.ADMIN, Mode.DRAIN).order)
    found = look(counter)
    assert [each.standing.stop.id for each in found.stops] == [stop, *reversed(drains)]
    assert found.kinds == (Kind("stop", "model:demo", 1), Kind("drain", "model:strict", 2))
    assert {each.report.model: [one.mode for one in each.held] for each in found.models} == {
        "demo": ["stop"],
        "low": [],
        "strict": ["drain", "drain"],
    }
    assert found.served == 0


def test_a_gentler_order_is_a_stop_where_the_file_does_not_answer_it(counter: Counter) -> None:
    order = counter.board.stop("model:demo", "", "Ana", Source.ADMIN, Mode.STRICTER).order
    found = look(counter)
    assert found.models[0].held == (Hold(order, Mode.STOP, refuses=True),)
    assert found.stopped_by(found.stops[0]) == ("demo",)
    assert not found.models[0].served


def test_a_model_on_a_rung_of_its_file_is_served_and_says_so(tmp_path: Path, counter: Counter) -> None:
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}})
    again = Counter(load(tmp_path), counter.state)
    order = again.board.stop("all", "", "Ana", Source.ADMIN, Mode.STRICTER).order
    found = look(again)
    assert {each.report.model: each.held[0].mode for each in found.models} == {
        "demo": Mode.STRICTER,
        "low": Mode.STOP,
        "strict": Mode.STOP,
    }
    assert {each.report.model: each.served for each in found.models} == {"demo": True, "low": False, "strict": False}
    assert found.stopped_by(found.stops[0]) == ("low", "strict")
    assert found.stops[0].standing.stop.id == order
    again.sign_in()
    page = again.get().text
    assert 'Served </span><span class="badge mode-stricter">Stricter</span>' in page
    assert "low, strict, whose files do not answer it" in page


def test_an_order_that_turns_no_present_caller_away_leaves_a_model_served(counter: Counter) -> None:
    order = counter.board.stop("model:demo", "", "Ana", Source.ADMIN, Mode.NO_NEW_PRINCIPALS).order
    found = look(counter)
    assert found.models[0].held == (Hold(order, Mode.NO_NEW_PRINCIPALS, refuses=False),)
    assert found.models[0].served
    assert found.stopped_by(found.stops[0]) == ()


def test_a_model_at_a_lapsed_level_is_not_served_and_the_lapse_is_a_finding(counter: Counter) -> None:
    counter.behind.member = InFleet(lapsed=(3, 4), age=31.0)
    found = look(counter)
    assert {each.report.model: each.served for each in found.models} == {"demo": True, "low": False, "strict": False}
    assert [each.report.model for each in found.lapsed] == ["strict"]
    assert found.served == 1
    assert found.findings[0] == (
        "ASL-3 is not served on this replica: no proof within 30 s that every stop order is known"
    )


def test_without_a_worker_nothing_is_served(counter: Counter) -> None:
    counter.behind.all_places = (Place("0", False, 0, "it fell silent"),)
    assert look(counter).served == 0


def test_what_is_wrong_in_the_fleet_is_named(counter: Counter) -> None:
    others = (
        replica("r1", silent=True, heard_seconds_ago=12.3),
        replica("r2", lapsed=[3], trouble="the history went back"),
    )
    counter.behind.member = InFleet(problem="the database cannot be reached", others=others)
    assert look(counter).findings == (
        "The fleet cannot be relied on: the database cannot be reached",
        "Replica r1 has not been heard for 12 s; nobody knows what it serves",
        "Replica r2 does not serve ASL-3: its lease has lapsed",
        "Replica r2: the history went back",
    )


def test_in_a_fleet_a_stop_is_obeyed_when_every_replica_has(counter: Counter) -> None:
    counter.board.stop("all", "", "Ana", Source.ADMIN)
    counter.behind.names = ("0",)
    counter.obey("0")
    counter.behind.member = InFleet([HALF])
    (stop,) = look(counter).stops
    assert (stop.obeyed.count, stop.obeyed.missing) == ("2 of 4 workers on 1 of 2 replicas", HALF.missing)
    counter.behind.member.broken = True
    (stop,) = look(counter).stops
    assert stop.obeyed.missing == ("the fleet (who has obeyed cannot be read)",)


def test_pushed_rules_are_counted_and_stand_in_the_history(counter: Counter) -> None:
    pushed = rule("model:demo")
    OrderDirectory(counter.state).put(pushed)
    found = look(counter)
    assert (found.rules, found.history) == (1, (pushed,))
    counter.sign_in()
    page = counter.get().text
    assert "1 in force" in page
    assert "1 rule for model demo" in page


def test_a_resume_that_does_not_count_is_a_finding(counter: Counter) -> None:
    stop = counter.board.stop("model:demo", "", "Ana", Source.ADMIN).order
    forged = issue_resume([stop], reason="x", who="Eve", source=Source.CLI, now=NOW, entropy=b"0123456789")
    OrderDirectory(counter.state).put(forged)
    (finding,) = look(counter).findings
    assert finding == (
        f"Resume {forged.id} does not count for all that it names: it is not signed by the host that issued it"
    )


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
    behind.troubles_of_incidents = ("1 files among the incidents are no events",)
    assert look(counter).findings == (
        "1 files among the incidents are no events",
        "The files differ from the policy in force: models/demo.yaml:3: asl: must be at most 4",
        "Place of a worker 1: it fell silent",
        "Request log: witness w1: cannot be reached",
    )


def test_pending_are_shown_the_most_urgent_first(counter: Counter) -> None:
    by = Actor("Ana", ByWay.PAGE)
    mild, bad = (counter.desk.open(by, "demo", "x", severity=severity) for severity in (1, 4))
    counter.behind.pending = (mild, bad)
    assert [each.id for each in look(counter).incidents] == [bad.id, mild.id]


def test_evidence_shows_when_its_end_is_near_or_past_the_nearest_first(counter: Counter) -> None:
    ends = {"far": SOON_SECONDS + 1, "near": SOON_SECONDS, "past": -1.0}
    counter.behind.all_lapses = tuple(Lapse("demo", claim, NOW + end) for claim, end in ends.items())
    assert [each.claim for each in look(counter).lapses] == ["past", "near"]


def test_what_runs_is_counted_by_model_and_in_all(counter: Counter) -> None:
    counter.behind.runs = (Running("demo", "a", "x", 2), Running("demo", "b", "y", 3), Running("gone", "a", "x", 1))
    found = look(counter)
    assert {each.report.model: each.running for each in found.models} == {"demo": 5, "low": 0, "strict": 0}
    assert found.running == 6
