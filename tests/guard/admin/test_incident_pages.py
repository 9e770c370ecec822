"""Incidents on the control page over its real application: who may, what is written, and what a stale form does.

One file, because every test asks the same application as the same browser would.
"""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from guard.admin.page.incident import SHOWN_EVENTS
from guard.admin.page.incident_open import SHOWN
from guard.admin.page.incidents import SHOWN_FRONT
from guard.incidents.desk import Actor, IncidentDesk
from guard.incidents.events import Event, Imminent, Opened, Source
from guard.policy.load import load
from guard.policy.model import Role
from guard.state.orders import Source as StopSource
from tests.guard.admin.fakes import NOW, Counter, register
from tests.guard.incidents.stories import HOUR, write

BEN = Actor("Ben", Source.HOST)
PAGE = "/control/incidents"


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write(tmp_path, {"max_hours": 48, "severe_max_hours": 12}, surfaces=("partner",))
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def opened(counter: Counter, severity: int | None = 3) -> str:
    return counter.desk.open(BEN, "demo", "a way around", severity=severity).id


def fixed(counter: Counter) -> str:
    one = opened(counter)
    counter.desk.triage(BEN, one, 3, "Cleo", Imminent.YES)
    for surface in ("public", "partner"):
        counter.desk.mitigate(BEN, one, surface, "a rule")
    return one


def events(counter: Counter, one: str) -> tuple[Event, ...]:
    return counter.folder.read(one).events


def total(counter: Counter) -> int:
    return sum(len(read.events) for read in counter.folder.all())


def form_of(page: str, act: str) -> dict[str, str]:
    """The hidden fields of one form, as a browser would send them."""
    body = page.partition(f'action="{act}"')[2].partition("</form>")[0]
    assert body, act
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', body))


def send(counter: Counter, path: str, act: str, **fields: str) -> httpx.Response:
    """Look at a page, and press one of its buttons."""
    return counter.post(act, **form_of(counter.get(path).text, act), **fields)


def act(counter: Counter, one: str, what: str, **fields: str) -> httpx.Response:
    return send(counter, f"{PAGE}/{one}", f"{PAGE}/{one}/{what}", **fields)


# Looking.


def test_without_incidents_the_pages_say_so(counter: Counter) -> None:
    counter.sign_in()
    assert "None is open." in counter.get().text
    page = counter.get(PAGE).text
    assert "No incidents open" in page
    assert "None yet." in page


def test_the_front_page_counts_them_names_the_nearest_clock_and_links_each(counter: Counter) -> None:
    counter.sign_in()
    late = counter.desk.open(BEN, "demo", "late one", severity=3, discovered=NOW - 14 * HOUR)
    many = [late] + [counter.desk.open(BEN, "demo", f"number {each}", severity=3) for each in range(SHOWN_FRONT)]
    counter.behind.pending = tuple(many)
    page = counter.get().text
    assert f"{SHOWN_FRONT + 1} incidents open, answer late by 2 h" in page
    assert f'href="{PAGE}/{late.id}"' in page
    assert "answer due in 12 h" in page
    assert "and 1 more" in page
    assert "imminent risk not known" in page
    assert "0 of 2 surfaces" in page
    counter.behind.pending = (late,)
    assert "1 incident open, answer late by 2 h" in counter.get().text


def test_the_list_shows_open_ones_first_and_those_that_are_over_with_their_end(counter: Counter) -> None:
    counter.sign_in("vic")
    over = fixed(counter)
    counter.desk.close(BEN, over, "the rules hold")
    still = opened(counter)
    page = counter.get(PAGE).text
    assert page.index(still) < page.index(over)
    assert "1 incident open" in page
    assert "not partner, public" in page
    assert "Open an incident…" not in page  # a viewer looks
    assert "and closed ones whose clocks still run" in page
    assert "the rules hold" not in page
    for clock in ("day", "half-month"):
        counter.desk.report(BEN, over, clock, "letter 1")
    page = counter.get(PAGE).text
    assert "and closed ones whose clocks still run" not in page
    assert "the rules hold" in page


def test_a_closed_incident_of_which_somebody_must_be_told_is_on_the_front_page(counter: Counter) -> None:
    counter.sign_in()
    over = fixed(counter)
    counter.behind.pending = (counter.desk.close(BEN, over, "the rules hold"),)
    page = counter.get().text
    assert "no incidents open, day due in 1 d" in page
    assert "demo, closed" in page


def test_what_cannot_be_told_as_an_incident_is_said(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    (counter.folder.path / one / f"{one}.json").write_text("{")
    page = counter.get(PAGE).text
    assert f"{one} damaged: {one}.json" in page
    other = opened(counter)
    (counter.folder.path / other / "x").write_text("")
    assert "Damaged: x" in counter.get(f"{PAGE}/{other}").text


def test_one_incident_shows_its_clocks_its_surfaces_and_its_whole_story(counter: Counter) -> None:
    one = opened(counter)
    counter.desk.triage(Actor("Ana", Source.PAGE), one, 3, "Cleo", Imminent.YES, "a note")
    counter.desk.mitigate(BEN, one, "public", "rules of release 2")
    counter.clock.go(13 * HOUR)
    counter.sign_in()
    page = counter.get(f"{PAGE}/{one}").text
    for words in (
        "Severity 3",
        "commander Cleo",
        "imminent risk yes",
        "late by 1 h",
        "due in 11 h",
        "the office is told",
        "Fixed: rules of release 2",
        "Not fixed",
        "severity 3, commander Cleo, imminent risk yes; a note",
        "on the host",
        "on this page",
    ):
        assert words in page, words


def test_a_long_story_is_cut_and_says_so(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    for number in range(SHOWN_EVENTS):
        counter.desk.triage(BEN, one, 1, f"Cleo {number}", Imminent.NO)
    page = counter.get(f"{PAGE}/{one}").text
    assert f"the newest {SHOWN_EVENTS} of {SHOWN_EVENTS + 1} events" in page
    assert page.count("<tr role") < SHOWN_EVENTS + 10


@pytest.mark.parametrize("one", ["0" * 26, "nonsense", "%2e%2e", "<script>"])
def test_what_there_is_not_is_said(one: str, counter: Counter) -> None:
    counter.sign_in()
    answer = counter.get(f"{PAGE}/{one}")
    assert answer.status_code == 404
    assert "There is no incident of that id." in answer.text
    assert "<script>" not in answer.text


def test_words_of_people_are_shown_and_never_markup(counter: Counter) -> None:
    counter.sign_in()
    one = counter.desk.open(Actor("<b>Ben", Source.HOST), "demo", "<script>alert(1)</script>").id
    counter.desk.triage(BEN, one, 1, '"><img src=x>', Imminent.NO, "</textarea>")
    counter.behind.pending = (counter.desk.find(one),)
    for path in ("/control", PAGE, f"{PAGE}/{one}"):
        page = counter.get(path).text
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>" not in page


def test_who_is_not_signed_in_is_asked_who_it_is_and_comes_back(counter: Counter) -> None:
    one = opened(counter)
    for path in (PAGE, f"{PAGE}/open", f"{PAGE}/open?stop={'0' * 26}", f"{PAGE}/{one}"):
        page = counter.get(path).text
        assert "Your token" in page
        assert "a way around" not in page
        assert f'value="{path}"' in page


def test_a_page_that_renews_itself_keeps_nobody_signed_in(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    for path in (PAGE, f"{PAGE}/{one}", PAGE):
        counter.clock.go(700)
        page = counter.get(f"{path}?auto=1").text
    assert "Your token" in page


# Opening.


def test_an_incident_is_opened_by_the_person_who_is_signed_in(counter: Counter) -> None:
    counter.sign_in()
    answer = send(
        counter,
        f"{PAGE}/open",
        f"{PAGE}/open",
        model="demo",
        summary=" a way around ",
        severity="2",
        discovered="2027-01-15T07:00",
        requests="r1\r\nr2 r3",
    )
    assert answer.status_code == 303
    one = answer.headers["location"].removeprefix(f"{PAGE}/")
    (event,) = events(counter, one)
    assert isinstance(event, Opened)
    assert (event.who, event.source, event.model, event.summary) == ("Ana", Source.PAGE, "demo", "a way around")
    assert (event.severity, event.discovered, event.requests) == (2, NOW - HOUR, ("r1", "r2", "r3"))
    assert "with 3 requests that show it" in counter.get(f"{PAGE}/{one}").text


def test_a_stop_prefills_the_form_and_is_named_by_the_incident(counter: Counter) -> None:
    counter.sign_in()
    stop = counter.board.stop("model:demo", "INC-42", "Ben", StopSource.CLI).order
    front = counter.get().text
    assert f'href="{PAGE}/open?stop={stop}"' in front
    page = counter.get(f"{PAGE}/open?stop={stop}").text
    assert '<option value="demo" selected>' in page
    assert 'value="INC-42"' in page
    answer = send(counter, f"{PAGE}/open?stop={stop}", f"{PAGE}/open", model="demo", summary="INC-42")
    one = answer.headers["location"].removeprefix(f"{PAGE}/")
    counter.behind.pending = (counter.desk.find(one),)
    assert counter.behind.pending[0].incident.orders == (stop,)
    front = counter.get().text
    assert f'href="{PAGE}/{one}"' in front
    assert f"open?stop={stop}" not in front


def test_whoever_opens_one_sees_which_are_open_already(counter: Counter) -> None:
    counter.sign_in()
    assert "Open already" not in counter.get(f"{PAGE}/open").text
    over, still = fixed(counter), opened(counter)
    counter.desk.close(BEN, over, "x")
    page = counter.get(f"{PAGE}/open").text
    assert "Open already" in page
    assert f'href="{PAGE}/{still}"' in page
    assert over not in page
    for _ in range(SHOWN):
        opened(counter)
    assert "and 1 more" in counter.get(f"{PAGE}/open").text


def test_whoever_may_stop_can_stop_the_model_from_its_incident(counter: Counter) -> None:
    one = opened(counter)
    for name, offered in (("ana", True), ("vic", False)):
        counter.cookies = {}
        counter.sign_in(name)
        assert ('href="/control/stop?scope=model%3Ademo"' in counter.get(f"{PAGE}/{one}").text) is offered


def test_a_stop_of_no_model_leaves_the_model_to_be_chosen(counter: Counter) -> None:
    counter.sign_in()
    stop = counter.board.stop("all", "", "Ben", StopSource.CLI).order
    page = counter.get(f"{PAGE}/open?stop={stop}").text
    assert '<option value="" selected>which one?' in page
    assert form_of(page, f"{PAGE}/open")["stop"] == stop


@pytest.mark.parametrize("stop", ["0" * 26, "nonsense", "<script>", "file:STOP"])
def test_a_stop_that_there_is_not_is_not_named(stop: str, counter: Counter) -> None:
    counter.sign_in()
    page = counter.get(f"{PAGE}/open", params={"stop": stop}).text
    assert "For the stop" not in page
    answer = counter.post(f"{PAGE}/open", form=counter.form(), model="demo", summary="x", stop=stop, seen="")
    (event,) = events(counter, answer.headers["location"].removeprefix(f"{PAGE}/"))
    assert isinstance(event, Opened)
    assert event.stop == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "none"}, "Model: there is none of that name; there are: demo."),
        ({"model": ""}, "Model: there is none of that name"),
        ({"summary": " "}, "Summary: 1 to 500 printable characters in one line."),
        ({"severity": "5"}, "Severity: 0 to 4."),
        ({"severity": "٣"}, "Severity: 0 to 4."),
        ({"discovered": "yesterday"}, "Discovered: a time as 2026-11-23T08:00, in UTC."),
        ({"discovered": "2999-01-01T00:00"}, "Discovered: lies in the future."),
        ({"discovered": "0001-01-01T00:00"}, "discovered"),
        ({"requests": "r " * 101}, "Requests: at most 100 ids"),
    ],
)
def test_what_is_wrong_is_named_and_what_was_typed_is_kept(
    fields: dict[str, str], words: str, counter: Counter
) -> None:
    counter.sign_in()
    sent = {"model": "demo", "summary": "kept words", "severity": "", "discovered": "", "requests": "", **fields}
    answer = send(counter, f"{PAGE}/open", f"{PAGE}/open", **sent)
    assert answer.status_code == 400
    assert "Nothing was opened." in answer.text
    assert words in answer.text
    assert "kept words" in answer.text or "summary" in fields
    assert total(counter) == 0


def test_pressed_twice_or_by_two_it_is_opened_once_until_somebody_looks(counter: Counter) -> None:
    counter.sign_in()
    page = counter.get(f"{PAGE}/open").text
    sent = {**form_of(page, f"{PAGE}/open"), "model": "demo", "summary": "x"}
    first = counter.post(f"{PAGE}/open", **sent)
    again = counter.post(f"{PAGE}/open", **sent)
    assert (first.status_code, again.status_code) == (303, 409)
    assert "Meanwhile Ana has opened one for this model." in again.text
    assert f'href="{first.headers["location"]}"' in again.text
    assert total(counter) == 1
    meant = {**form_of(again.text, f"{PAGE}/open"), "model": "demo", "summary": "x"}
    assert counter.post(f"{PAGE}/open", **meant).status_code == 303
    assert total(counter) == 2


# Handling.


def test_an_incident_goes_its_whole_way_on_the_page(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter, severity=None)
    page = counter.get(f"{PAGE}/{one}").text
    assert "Not yet: nobody has triaged it." in page
    assert "Severity 4, not judged" in page
    sent = {"severity": "3", "commander": "Cleo", "imminent": "yes", "note": ""}
    assert act(counter, one, "triage", **sent).headers["location"] == f"{PAGE}/{one}"
    assert "Not yet: not mitigated on partner, public." in counter.get(f"{PAGE}/{one}").text
    for surface in ("public", "partner"):
        act(counter, one, "mitigate", surface=surface, how="a rule")
    assert f'action="{PAGE}/{one}/mitigate"' not in counter.get(f"{PAGE}/{one}").text
    act(counter, one, "report", clock="day", reference="letter 1")
    assert act(counter, one, "close", resolution="the rules hold").status_code == 303
    page = counter.get(f"{PAGE}/{one}").text
    assert [f'action="{PAGE}/{one}/{each}"' in page for each in ("triage", "close", "report")] == [False, False, True]
    told = [type(each).__name__ for each in events(counter, one)]
    assert told == ["Opened", "Triaged", "Mitigated", "Mitigated", "Reported", "Closed"]
    assert {(each.who, each.source) for each in events(counter, one)[1:]} == {("Ana", Source.PAGE)}
    act(counter, one, "report", clock="half-month", reference="final")
    assert f'action="{PAGE}/{one}/report"' not in counter.get(f"{PAGE}/{one}").text


def test_the_answers_clock_is_ended_by_fixes_alone(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    assert '<option value="answer"' not in counter.get(f"{PAGE}/{one}").text
    answer = counter.post(f"{PAGE}/{one}/report", form=counter.form(), clock="answer", reference="x", seen="")
    assert answer.status_code == 400


def test_a_form_from_before_somebody_closed_it_says_so_and_does_nothing(counter: Counter) -> None:
    counter.sign_in()
    one = fixed(counter)
    page = counter.get(f"{PAGE}/{one}").text
    kept = {each: form_of(page, f"{PAGE}/{one}/{each}") for each in ("triage", "close")}
    counter.desk.close(BEN, one, "closed elsewhere")
    before = total(counter)
    triage = {"severity": "0", "commander": "Ana", "imminent": "no", "note": "my note"}
    for each, fields in (("triage", triage), ("close", {"resolution": "mine"})):
        answer = counter.post(f"{PAGE}/{one}/{each}", **kept[each], **fields)
        assert answer.status_code == 409
        assert "Nothing was done." in answer.text
        assert "Meanwhile Ben has closed it" in answer.text
        assert "closed elsewhere" in answer.text  # it is shown as it now is
    assert total(counter) == before


def test_a_form_from_before_somebody_judged_it_anew_says_so_and_keeps_what_was_typed(counter: Counter) -> None:
    counter.sign_in()
    one = fixed(counter)
    page = counter.get(f"{PAGE}/{one}").text
    kept = {each: form_of(page, f"{PAGE}/{one}/{each}") for each in ("triage", "close")}
    counter.desk.triage(BEN, one, 4, "Ben", Imminent.YES)
    before = total(counter)
    answer = counter.post(f"{PAGE}/{one}/close", **kept["close"], resolution="my resolution")
    assert answer.status_code == 409
    assert "Nothing was done. Meanwhile Ben has triaged it." in answer.text
    assert 'value="my resolution"' in answer.text
    fields = {"severity": "1", "commander": "Ana", "imminent": "no", "note": "my note"}
    answer = counter.post(f"{PAGE}/{one}/triage", **kept["triage"], **fields)
    assert 'value="my note"' in answer.text
    assert total(counter) == before
    # The page that said so carries what there is now: pressed once more, it is meant.
    again = counter.post(f"{PAGE}/{one}/triage", **form_of(answer.text, f"{PAGE}/{one}/triage"), **fields)
    assert again.status_code == 303


@pytest.mark.parametrize(
    ("what", "fields", "words"),
    [
        ("triage", {"severity": "", "commander": "x", "imminent": "no"}, "Severity: 0 to 4."),
        ("triage", {"severity": "1", "commander": "", "imminent": "no"}, "Commander: 1 to 128"),
        ("triage", {"severity": "1", "commander": "x", "imminent": "maybe"}, "Imminent risk: one of yes, no, unknown."),
        ("mitigate", {"surface": "moon", "how": "x"}, "Surface: the model is not served on that surface"),
        ("mitigate", {"surface": "public", "how": ""}, "How: 1 to 500"),
        ("mitigate", {}, "Surface: "),
        ("report", {"clock": "moon", "reference": "x"}, "Clock: guard.yaml has no clock of that name"),
        ("export", {"reason": " "}, "Reason: 1 to 500"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_nothing_is_done(
    what: str, fields: dict[str, str], words: str, counter: Counter
) -> None:
    counter.sign_in()
    one = opened(counter)
    answer = counter.post(f"{PAGE}/{one}/{what}", form=counter.form(), seen="", **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert total(counter) == 1
    assert counter.exports.asked == []


def test_what_may_not_be_closed_yet_says_why(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    answer = counter.post(f"{PAGE}/{one}/close", form=counter.form(), resolution="x", seen="")
    assert answer.status_code == 409
    assert "Nothing was done. Not closed: nobody has triaged it." in answer.text


@pytest.mark.parametrize("what", ["triage", "mitigate", "report", "close", "export"])
def test_what_there_is_not_is_not_acted_on(what: str, counter: Counter) -> None:
    counter.sign_in()
    for one in ("0" * 26, "x"):
        answer = counter.post(f"{PAGE}/{one}/{what}", form=counter.form(), reason="x")
        assert answer.status_code == 404
    assert total(counter) == 0


# Who may.


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, set()),
        (Role.AUDITOR, {"export"}),
        (Role.APPROVER, {"open"}),
        (Role.OPERATOR, {"open", "handle"}),
        (Role.INVESTIGATOR, {"open", "handle", "export"}),
        (Role.RESPONSIBLE_SCALING_OFFICER, {"open", "handle", "export"}),
    ],
)
def test_each_role_is_offered_and_allowed_what_it_may(role: Role, may: set[str], counter: Counter) -> None:
    counter.people.take(register(counter.clock, vic=role))
    counter.sign_in("vic")
    one = fixed(counter)
    page = counter.get(f"{PAGE}/{one}").text
    form = counter.form()
    before = total(counter)
    acts = {
        "open": (f"{PAGE}/open", {"model": "demo", "summary": "x", "seen": one}),
        "handle": (f"{PAGE}/{one}/triage", {"severity": "9"}),
        "export": (f"{PAGE}/{one}/export", {"reason": ""}),
    }
    for name, (path, fields) in acts.items():
        allowed = name in may
        answer = counter.post(path, form=form, **fields)
        assert (answer.status_code == 403) is not allowed, name
        if name != "open":
            assert (f'action="{path}"' in page) is allowed
    assert total(counter) - before == ("open" in may)
    assert counter.get(f"{PAGE}/open").status_code == (200 if "open" in may else 403)


@pytest.mark.parametrize(
    "headers", [{"origin": "https://elsewhere.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_form_from_another_site_or_session_does_nothing(headers: dict[str, str], counter: Counter) -> None:
    counter.sign_in()
    one = fixed(counter)
    before = total(counter)
    fields = {"severity": "1", "commander": "x", "imminent": "no", "resolution": "x", "model": "demo", "summary": "x"}
    for path in (f"{PAGE}/open", f"{PAGE}/{one}/triage", f"{PAGE}/{one}/close", f"{PAGE}/{one}/export"):
        assert counter.post(path, headers, form=counter.form(), **fields).status_code == 403
        assert counter.post(path, form="wrong", **fields).status_code == 403
        assert counter.get(path.replace("/open", "/x")).status_code == (404 if path.endswith("open") else 405)
    assert (total(counter), counter.exports.asked) == (before, [])


def test_who_has_been_signed_out_meanwhile_comes_back_to_the_incident(counter: Counter) -> None:
    one = opened(counter)
    answer = counter.post(f"{PAGE}/{one}/close", form="x", resolution="y")
    assert answer.status_code == 401
    assert f'value="{PAGE}/{one}"' in answer.text
    assert f'value="{PAGE}/open"' in counter.post(f"{PAGE}/open", form="x").text


# Handing over.


def test_a_bundle_is_downloaded_in_the_name_of_the_person(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    answer = act(counter, one, "export", reason=" for the office ")
    assert (answer.status_code, answer.content) == (200, b"PK")
    assert answer.headers["content-disposition"] == f'attachment; filename="incident-{one}.zip"'
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert counter.exports.asked == [(one, "Ana", "for the office")]


def test_what_cannot_be_handed_over_says_why(counter: Counter) -> None:
    counter.sign_in()
    one = opened(counter)
    counter.exports.fails = "it could not be put on record: disk full"
    answer = act(counter, one, "export", reason="for the office")
    assert answer.status_code == 503
    assert "Nothing was handed over. It could not be put on record: disk full." in answer.text
    assert 'value="for the office"' in answer.text


# When the files are not to be had.


def test_a_disk_that_takes_nothing_is_said_and_stops_nothing_else(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.sign_in()
    one = fixed(counter)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("guard.incidents.folder.os.link", full)
    for answer in (
        act(counter, one, "close", resolution="x"),
        send(counter, f"{PAGE}/open", f"{PAGE}/open", model="demo", summary="x"),
    ):
        assert answer.status_code == 500
        assert "The incident cannot be read or written" in answer.text
        assert "No space left on device. Nothing was done; try guard incident on the host." in answer.text


def test_orders_that_cannot_be_read_keep_nobody_from_opening_one(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.sign_in()
    form = counter.form()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(counter.board, "state", broken)
    assert "For the stop" not in counter.get(f"{PAGE}/open?stop={'0' * 26}").text
    answer = counter.post(f"{PAGE}/open", form=form, model="demo", summary="x", stop="0" * 26, seen="")
    assert answer.status_code == 303


def test_a_folder_that_cannot_be_read_leaves_the_front_page_and_the_stop(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.sign_in()

    def broken(*_: object) -> tuple[str, ...]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(IncidentDesk, "all", broken)
    answer = counter.get(PAGE)
    assert answer.status_code == 500
    assert "Input/output error." in answer.text
    assert counter.get().status_code == 200
    assert "Stop everything now" in counter.get("/control/stop?scope=all").text
