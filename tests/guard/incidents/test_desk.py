"""What may be done to an incident and what not, asked of the desk itself: no shell and no page.

It is one file because every test asks the same office.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from guard.incidents.case import Case
from guard.incidents.desk import (
    MAX_NAME,
    ROOM,
    Actor,
    ChangedError,
    IncidentDesk,
    IncidentRefusedError,
    UnknownIncidentError,
    newest,
)
from guard.incidents.events import (
    MAX_REQUESTS,
    MAX_WORDS,
    Closed,
    EventError,
    Imminent,
    Mitigated,
    Reported,
    Source,
    Stepped,
    Triaged,
)
from guard.incidents.folder import IncidentFolder, TooManyError
from guard.policy.load import load
from guard.state.orders import order_id
from tests.guard.incidents.stories import BEGAN, HOUR, write

ANA = Actor("Ana", Source.PAGE)
BEN = Actor("Ben", Source.HOST)
SURFACES = ("partner", "public")
Act = Callable[[], object]


class Office:
    """A desk with a clock that goes by itself, a second a look, and everything in real files."""

    def __init__(self, directory: Path) -> None:
        """Write the configuration and open."""
        write(directory, {"max_hours": 48}, surfaces=("partner",))
        numbers = itertools.count(1)
        self.folder = IncidentFolder(directory / "var" / "state")
        self.config = load(directory)
        self.now = BEGAN
        self.stops = {"0" * 26}

        def tick() -> float:
            self.now += 1.0
            return self.now

        self.desk = IncidentDesk(
            self.config,
            self.folder,
            tick,
            lambda now: order_id(now, next(numbers).to_bytes(10, "big")),
            self.stops.__contains__,
        )

    def opened(self, **more: Any) -> str:
        """Open one."""
        return self.desk.open(ANA, "demo", "a way around", **more).id

    def triaged(self, severity: int = 2) -> str:
        """Open one and triage it."""
        one = self.opened()
        self.desk.triage(ANA, one, severity, "Ben", Imminent.NO)
        return one

    def closed(self) -> str:
        """Close one, as it should be."""
        one = self.triaged()
        for surface in SURFACES:
            self.desk.mitigate(ANA, one, surface, "a rule")
        self.desk.close(ANA, one, "the rules hold")
        return one

    def files(self) -> int:
        """How many events there are in all."""
        return sum(len(each.events) for each in self.folder.all())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_each_act_is_one_event_with_who_and_by_which_way(office: Office) -> None:
    one = office.closed()
    office.desk.report(BEN, one, "half-month", "letter 1")
    case = office.desk.find(one)
    kinds = [type(each).__name__ for each in case.events]
    assert kinds == ["Opened", "Triaged", "Mitigated", "Mitigated", "Closed", "Reported"]
    assert {(each.who, each.source) for each in case.events[:-1]} == {("Ana", Source.PAGE)}
    assert (case.events[-1].who, case.events[-1].source) == ("Ben", Source.HOST)
    assert case.incident.mitigated["public"].policy == office.config.digest


def test_an_act_tells_how_the_incident_then_stands(office: Office) -> None:
    case = office.desk.open(ANA, "demo", "x", discovered=BEGAN - HOUR, severity=1, requests=["r1"], stop="0" * 26)
    opened = case.incident.opened
    assert (opened.discovered, opened.severity, opened.requests, opened.stop) == (BEGAN - HOUR, 1, ("r1",), "0" * 26)
    assert case.incident.orders == ("0" * 26,)
    assert office.desk.triage(ANA, case.id, 3, "Ben", Imminent.YES, "a note").incident.triaged is not None
    assert office.desk.mitigate(ANA, case.id, "public", "a rule").unfixed == ("partner",)


def test_it_closes_only_when_every_surface_has_reported_its_fix(office: Office) -> None:
    one = office.opened()
    steps: list[tuple[str, Act]] = [
        ("not closed: nobody has triaged it", lambda: office.desk.triage(ANA, one, 1, "Ben", Imminent.NO)),
        ("not closed: not mitigated on partner, public", lambda: office.desk.mitigate(ANA, one, "public", "x")),
        ("not closed: not mitigated on partner", lambda: office.desk.mitigate(ANA, one, "partner", "x")),
    ]
    for why, act in steps:
        with pytest.raises(IncidentRefusedError, match=f"^{why}$"):
            office.desk.close(ANA, one, "done")
        act()
    assert office.desk.close(ANA, one, "done").incident.closed is not None


def test_a_closed_one_takes_reports_alone(office: Office) -> None:
    one = office.closed()
    before = office.files()
    acts: list[Act] = [
        lambda: office.desk.triage(ANA, one, 4, "Ben", Imminent.YES),
        lambda: office.desk.mitigate(ANA, one, "public", "x"),
    ]
    for act in acts:
        with pytest.raises(IncidentRefusedError, match="it is closed; what comes up now is another incident"):
            act()
    with pytest.raises(IncidentRefusedError, match="it is closed already"):
        office.desk.close(ANA, one, "x")
    assert office.files() == before
    office.desk.report(ANA, one, "half-month", "x")


def test_a_surface_that_comes_to_be_served_has_to_be_fixed_too(office: Office) -> None:
    one = office.triaged()
    for surface in SURFACES:
        office.desk.mitigate(ANA, one, surface, "x")
    model = office.config.models["demo"]
    wider = model.model_copy(update={"surfaces": (*model.surfaces, "moon")})
    office.desk.take(replace(office.config, models={"demo": wider}))
    with pytest.raises(IncidentRefusedError, match="not mitigated on moon"):
        office.desk.close(ANA, one, "x")


BAD: list[tuple[str, Callable[[IncidentDesk, str], Case]]] = [
    ("model: there is none of that name; there are: demo", lambda desk, _: desk.open(ANA, "none", "x")),
    ("summary: 1 to 500", lambda desk, _: desk.open(ANA, "demo", "  ")),
    ("summary: 1 to 500", lambda desk, _: desk.open(ANA, "demo", "two\nlines")),
    ("summary: 1 to 500", lambda desk, _: desk.open(ANA, "demo", "x" * (MAX_WORDS + 1))),
    ("discovered: lies in the future", lambda desk, _: desk.open(ANA, "demo", "x", discovered=BEGAN + HOUR)),
    ("discovered", lambda desk, _: desk.open(ANA, "demo", "x", discovered=-1.0)),
    ("severity", lambda desk, _: desk.open(ANA, "demo", "x", severity=5)),
    ("requests: at most 100", lambda desk, _: desk.open(ANA, "demo", "x", requests=["r"] * (MAX_REQUESTS + 1))),
    ("requests: at most 100", lambda desk, _: desk.open(ANA, "demo", "x", requests=["two words"])),
    ("requests: at most 100", lambda desk, _: desk.open(ANA, "demo", "x", requests=["r" * (MAX_NAME + 1)])),
    ("stop: there is no stop order of that id here", lambda desk, _: desk.open(ANA, "demo", "x", stop="1" * 26)),
    ("stop: is no id", lambda desk, _: desk.open(ANA, "demo", "x", stop="../../etc")),
    ("severity", lambda desk, one: desk.triage(ANA, one, -1, "Ben", Imminent.NO)),
    ("commander: 1 to 128", lambda desk, one: desk.triage(ANA, one, 1, " ", Imminent.NO)),
    ("note: 1 to 500", lambda desk, one: desk.triage(ANA, one, 1, "Ben", Imminent.NO, "a\x1b[0m")),
    ("surface: .* it is on: partner, public", lambda desk, one: desk.mitigate(ANA, one, "moon", "x")),
    ("how: 1 to 500", lambda desk, one: desk.mitigate(ANA, one, "public", "")),
    ("clock: .* it has: day, half-month", lambda desk, one: desk.report(ANA, one, "answer", "x")),
    ("reference: 1 to 500", lambda desk, one: desk.report(ANA, one, "day", "")),
]


@pytest.mark.parametrize(("words", "act"), BAD)
def test_input_that_breaks_a_rule_is_refused_by_the_name_of_its_field(
    words: str, act: Callable[[IncidentDesk, str], Case], office: Office
) -> None:
    one = office.opened()
    before = office.files()
    with pytest.raises(EventError, match=words):
        act(office.desk, one)
    assert office.files() == before


@pytest.mark.parametrize("one", ["", "0" * 26, "../../etc", "x" * 10_000, "."])
def test_what_there_is_not_is_not_found(one: str, office: Office) -> None:
    office.opened()
    acts: list[Act] = [
        lambda: office.desk.find(one),
        lambda: office.desk.triage(ANA, one, 1, "Ben", Imminent.NO),
        lambda: office.desk.mitigate(ANA, one, "public", "x"),
        lambda: office.desk.report(ANA, one, "day", "x"),
        lambda: office.desk.close(ANA, one, "x"),
    ]
    for act in acts:
        with pytest.raises(UnknownIncidentError):
            act()


def test_whoever_acts_in_view_of_something_else_is_told_what_was_done_meanwhile(office: Office) -> None:
    one = office.triaged()
    seen = office.desk.find(one)
    marks = {kind: newest(seen, kind) for kind in (Triaged, Closed)}
    office.desk.triage(BEN, one, 4, "Ben", Imminent.YES)
    office.desk.mitigate(BEN, one, "public", "x")
    office.desk.report(BEN, one, "half-month", "x")
    before = office.files()
    stale: list[tuple[str, Act]] = [
        (
            "meanwhile Ben has triaged it",
            lambda: office.desk.triage(ANA, one, 0, "Ana", Imminent.NO, seen=marks[Triaged]),
        ),
        ("meanwhile Ben has fixed public", lambda: office.desk.mitigate(ANA, one, "public", "y", seen="")),
        ("meanwhile Ben has reported it", lambda: office.desk.report(ANA, one, "half-month", "y", seen="")),
        ("meanwhile Ben has fixed public", lambda: office.desk.close(ANA, one, "y", seen=marks[Closed])),
    ]
    for words, act in stale:
        with pytest.raises(ChangedError, match=words):
            act()
    assert office.files() == before


def test_what_others_do_elsewhere_keeps_nobody_from_his_own(office: Office) -> None:
    one = office.triaged()
    seen = office.desk.find(one)
    office.desk.mitigate(BEN, one, "public", "x")
    office.desk.report(BEN, one, "half-month", "x")
    office.desk.mitigate(ANA, one, "partner", "y", seen=newest(seen, Mitigated, "partner"))
    office.desk.report(ANA, one, "day", "y", seen=newest(seen, Reported, "day"))
    office.desk.triage(ANA, one, 1, "Ana", Imminent.NO, seen=newest(seen, Triaged))
    assert office.desk.find(one).unfixed == ()


def test_a_step_of_the_guard_makes_no_form_stale(office: Office) -> None:
    one = office.triaged()
    for surface in SURFACES:
        office.desk.mitigate(ANA, one, surface, "x")
    seen = newest(office.desk.find(one), Closed)
    step = order_id(office.now + 1, b"\xff" * 10)
    office.folder.add(Stepped(id=step, incident=one, at=office.now, who="guard", order="0" * 26, reason="late"))
    assert newest(office.desk.find(one), Closed) == seen
    office.desk.close(ANA, one, "x", seen=seen)


def test_somebody_who_has_closed_it_meanwhile_is_named(office: Office) -> None:
    one = office.closed()
    acts: list[Act] = [
        lambda: office.desk.triage(BEN, one, 1, "Ben", Imminent.NO, seen=""),
        lambda: office.desk.mitigate(BEN, one, "public", "x", seen=""),
        lambda: office.desk.close(BEN, one, "x", seen=""),
    ]
    for act in acts:
        with pytest.raises(IncidentRefusedError, match="meanwhile Ana has closed it"):
            act()


def test_two_who_open_one_for_the_same_model_are_told_of_one_another(office: Office) -> None:
    seen = office.desk.last()
    first = office.opened(seen=seen)
    with pytest.raises(ChangedError, match="meanwhile Ana has opened one") as told:
        office.opened(seen=seen)
    assert told.value.incident == first
    assert office.desk.last() == first
    office.opened(seen=office.desk.last())  # whoever has looked opens another one
    office.opened()
    assert len(office.folder.ids()) == 3


def test_no_more_are_opened_than_are_read(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.incidents.desk.MAX_INCIDENTS", ROOM + 1)
    one = office.opened()
    with pytest.raises(IncidentRefusedError, match="there are 1 incidents, the most there may be"):
        office.opened()
    office.desk.triage(ANA, one, 1, "Ben", Imminent.NO)


def test_too_many_keep_nobody_from_handling_one_and_the_rest_is_said(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = office.opened(), office.opened()
    for module in ("desk", "folder"):
        monkeypatch.setattr(f"guard.incidents.{module}.MAX_INCIDENTS", 1)
    cases, damaged = office.desk.all()
    assert [each.id for each in cases] == [second]
    assert damaged == ("1 older incidents are not read: there are more than 1",)
    assert office.desk.triage(ANA, first, 1, "Ben", Imminent.NO).incident.severity == 1


def test_one_that_cannot_be_read_is_said_and_hides_no_other(office: Office) -> None:
    one = office.opened()
    (office.folder.path / ("0" * 26)).write_text("no folder")
    cases, damaged = office.desk.all()
    assert [each.id for each in cases] == [one]
    assert damaged == (f"{'0' * 26} cannot be read: Not a directory",)
    with pytest.raises(UnknownIncidentError):
        office.desk.find("0" * 26)


def test_a_name_is_made_to_fit_and_never_the_reason_of_a_refusal(office: Office) -> None:
    for who, kept in (("x" * 400, "x" * MAX_NAME), ("a\nb", "a?b"), ("", "unknown")):
        assert office.desk.open(Actor(who, Source.API), "demo", "x").incident.opened.who == kept


def test_all_are_listed_and_what_is_none_is_said(office: Office) -> None:
    first, second = office.opened(), office.closed()
    (office.folder.path / first / f"{first}.json").write_text("{")
    cases, damaged = office.desk.all()
    assert [each.id for each in cases] == [second]
    assert damaged == (f"{first} damaged: {first}.json",)
    with pytest.raises(UnknownIncidentError):
        office.desk.find(first)


def test_events_that_were_read_already_are_not_read_again(office: Office) -> None:
    one = office.opened()
    opened = office.desk.find(one).incident.opened
    (office.folder.path / one / f"{one}.json").write_text("{")
    desk = IncidentDesk(office.config, office.folder, lambda: office.now, lambda _: "", bool, {one: opened}.get)
    assert desk.find(one).incident.opened == opened


def test_a_clock_that_is_set_back_loses_no_triage_and_no_fix(office: Office) -> None:
    one = office.triaged(severity=1)
    for surface in SURFACES:
        office.desk.mitigate(ANA, one, surface, "x")
    office.now -= 200
    assert office.desk.triage(BEN, one, 4, "Ben", Imminent.YES).incident.severity == 4
    seen = newest(office.desk.find(one), Triaged)
    office.desk.triage(BEN, one, 3, "Ben", Imminent.YES, seen=seen)
    with pytest.raises(ChangedError, match="meanwhile Ben has triaged it"):
        office.desk.triage(ANA, one, 0, "Ana", Imminent.NO, seen=seen)
    case = office.desk.close(BEN, one, "x")
    assert (case.incident.stage, case.unfixed, case.incident.severity) == ("closed", (), 3)
    assert [each.id for each in case.events] == sorted(each.id for each in case.events)
    assert case.events[-1].at == office.now  # what the clock said is kept


def test_what_is_done_within_one_millisecond_keeps_its_order(office: Office) -> None:
    desk = IncidentDesk(office.config, office.folder, lambda: BEGAN, lambda now: order_id(now, os.urandom(10)), bool)
    for _ in range(5):
        one = desk.open(ANA, "demo", "x").id
        for severity in range(5):
            assert desk.triage(ANA, one, severity, "Ben", Imminent.NO).incident.severity == severity
        for surface in SURFACES:
            desk.mitigate(ANA, one, surface, "x")
        assert desk.close(ANA, one, "x").unfixed == ()


def test_one_opened_under_a_clock_that_was_set_back_is_told_of(office: Office) -> None:
    office.opened()
    seen = office.desk.last()
    office.now -= 200
    first = office.opened(seen=seen)
    assert office.desk.last() == first > seen
    with pytest.raises(ChangedError, match="meanwhile Ana has opened one"):
        office.opened(seen=seen)


def test_a_name_that_somebody_made_up_has_no_say_in_what_comes_behind_it(office: Office) -> None:
    one = office.opened()
    (office.folder.path / ("7" + "Z" * 25)).mkdir()
    assert office.desk.last() == one
    assert one < office.opened() == office.desk.last()


def repeat(act: Act) -> None:
    for _ in range(30):
        act()


def test_one_that_is_filled_can_still_be_fixed_closed_and_reported(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.incidents.folder.MAX_EVENTS", 30)
    monkeypatch.setattr("guard.incidents.folder.RESERVE", 10)
    one = office.opened()
    floods: list[Act] = [
        lambda: office.desk.triage(ANA, one, 1, "Ben", Imminent.YES),
        lambda: office.desk.report(ANA, one, "half-month", "x"),
        lambda: office.desk.mitigate(ANA, one, "public", "x"),
    ]
    for flood in floods:
        with pytest.raises(IncidentRefusedError, match="room for none of a kind that it has already"):
            repeat(flood)
    step = Stepped(
        id=order_id(office.now + 1, b"\xff" * 10), incident=one, at=BEGAN, who="guard", order="0" * 26, reason="late"
    )
    office.folder.add(step)
    with pytest.raises(TooManyError):
        office.folder.add(structs.replace(step, id=order_id(office.now + 2, b"\xff" * 10)))
    office.desk.mitigate(ANA, one, "partner", "x")
    assert office.desk.close(ANA, one, "x").incident.stage == "closed"
    assert office.desk.report(ANA, one, "day", "x").running == ()


def test_the_first_triage_has_room_however_many_fixes_there_are(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.incidents.folder.MAX_EVENTS", 20)
    monkeypatch.setattr("guard.incidents.folder.RESERVE", 10)
    one = office.opened()
    with pytest.raises(IncidentRefusedError):
        repeat(lambda: office.desk.mitigate(ANA, one, "public", "x"))
    office.desk.triage(ANA, one, 1, "Ben", Imminent.NO)
    office.desk.mitigate(ANA, one, "partner", "x")
    assert office.desk.close(ANA, one, "x").unfixed == ()
