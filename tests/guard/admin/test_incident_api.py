"""Incidents by the admin API over its real application: the same rules as on the page, in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.admin import incident_api
from guard.admin.bodies import MAX_BODY
from guard.incidents.events import Source
from guard.policy.load import load
from guard.policy.model import Role
from guard.policy.roles import Act, may
from guard.state.orders import Source as StopSource
from tests.guard.admin.fakes import NOW, TOKENS, Counter, register
from tests.guard.incidents.stories import HOUR, write

ALL = "/v1/incidents"


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write(tmp_path, {"max_hours": 48, "severe_max_hours": 12}, surfaces=("partner",))
    return Counter(load(tmp_path), tmp_path / "var" / "state")


def ask(counter: Counter, method: str, path: str, body: Any = None, who: str = "ana") -> httpx.Response:
    return counter.ask(method, path, headers={"authorization": f"Bearer {TOKENS[who]}"}, json=body)


def post(counter: Counter, path: str, who: str = "ana", /, **body: Any) -> httpx.Response:
    return ask(counter, "POST", path, body, who)


def opened(counter: Counter, **more: Any) -> str:
    answer = post(counter, ALL, model="demo", summary="a way around", **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["incident"])


def test_an_incident_goes_its_whole_way_by_the_api(counter: Counter) -> None:
    stop = counter.board.stop("model:demo", "INC-42", "Ben", StopSource.CLI).order
    one = opened(counter, severity=2, discovered=NOW - HOUR, requests=["r1"], stop=stop)
    told = ask(counter, "GET", f"{ALL}/{one}").json()
    assert (told["stage"], told["opened_by"], told["stop"], told["requests"]) == ("open", "Ana", stop, ["r1"])
    assert told["not_mitigated"] == ["partner", "public"]
    assert [(each["clock"], each["at"]) for each in told["clocks"]] == [("answer", NOW + 47 * HOUR)]
    one = f"{ALL}/{one}"
    assert post(counter, f"{one}/close", resolution="x").json() == {"error": "not closed: nobody has triaged it"}
    told = post(counter, f"{one}/triage", severity=3, commander="Ben", imminent_risk="yes", note="n").json()
    assert [each["clock"] for each in told["clocks"]] == ["answer", "day", "half-month"]
    for surface in ("public", "partner"):
        assert post(counter, f"{one}/mitigate", surface=surface, how="a rule").status_code == 200
    assert post(counter, f"{one}/report", clock="day", reference="letter 1").status_code == 200
    assert post(counter, f"{one}/close", resolution="the rules hold").json()["stage"] == "closed"
    assert post(counter, f"{one}/mitigate", surface="public", how="x").status_code == 409
    (read,) = counter.folder.all()
    assert {(each.who, each.source) for each in read.events} == {("Ana", Source.API)}


def test_the_list_tells_open_ones_and_closed_ones_when_asked(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(counter, "GET", ALL, who="vic").json() == {"incidents": [], "more": 0, "damaged": []}
    first, second = opened(counter), opened(counter)
    assert {each["incident"] for each in ask(counter, "GET", ALL).json()["incidents"]} == {first, second}
    post(counter, f"{ALL}/{first}/triage", severity=1, commander="Ben", imminent_risk="no")
    for surface in ("public", "partner"):
        post(counter, f"{ALL}/{first}/mitigate", surface=surface, how="x")
    post(counter, f"{ALL}/{first}/close", resolution="x")
    assert [each["incident"] for each in ask(counter, "GET", ALL).json()["incidents"]] == [second]
    whole = ask(counter, "GET", f"{ALL}?all=1").json()
    assert [each["incident"] for each in whole["incidents"]] == [second, first]
    monkeypatch.setattr(incident_api, "MOST", 1)
    cut = ask(counter, "GET", f"{ALL}?all=1").json()
    assert ([each["incident"] for each in cut["incidents"]], cut["more"]) == ([second], 1)
    (counter.folder.path / second / f"{second}.json").write_text("{")
    assert ask(counter, "GET", ALL).json()["damaged"] == [f"{second} damaged: {second}.json"]


ACTS: dict[str, tuple[Act, dict[str, Any]]] = {
    "": (Act.OPEN_INCIDENT, {"model": "none", "summary": "x"}),
    "/triage": (Act.HANDLE_INCIDENT, {"severity": 9, "commander": "x", "imminent_risk": "no"}),
    "/mitigate": (Act.HANDLE_INCIDENT, {"surface": "moon", "how": "x"}),
    "/report": (Act.HANDLE_INCIDENT, {"clock": "moon", "reference": "x"}),
    "/close": (Act.HANDLE_INCIDENT, {"resolution": "x"}),
    "/export": (Act.READ_RECORDS, {"reason": " "}),
}


@pytest.mark.parametrize("role", Role)
def test_each_role_does_what_it_may_and_nothing_else(role: Role, counter: Counter) -> None:
    one = opened(counter)
    counter.people.take(register(counter.clock, vic=role))
    for path, (act, body) in ACTS.items():
        answer = post(counter, f"{ALL}/{one}{path}" if path else ALL, "vic", **body)
        if may(role, act):
            assert answer.status_code in {400, 409}, (path, answer.text)
            assert answer.json()["error"]
        else:
            assert answer.status_code == 403
    assert ask(counter, "GET", f"{ALL}/{one}", who="vic").status_code == 200


def test_nobody_without_a_valid_token_sees_or_does_anything(counter: Counter) -> None:
    one = opened(counter)
    for method, path in (("GET", ALL), ("POST", ALL), ("GET", f"{ALL}/{one}"), ("POST", f"{ALL}/{one}/close")):
        answer = counter.ask(method, path, headers={"authorization": "Bearer at-guard-nobody-0123456789"})
        assert answer.status_code == 401
        assert "a way around" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("", {"model": "demo"}, "summary"),
        ("", {"model": "demo", "summary": "x", "severity": True}, "severity"),
        ("", {"model": "demo", "summary": "x", "more": 1}, "more"),
        ("", {"model": "demo", "summary": "x", "discovered": NOW + 1}, "discovered: lies in the future"),
        ("", {"model": "demo", "summary": "x", "discovered": -1}, "discovered"),
        ("", {"model": "demo", "summary": "x", "stop": "y"}, "stop: is no id"),
        ("", {"model": "demo", "summary": "x", "stop": "0" * 26}, "stop: there is no stop order of that id here"),
        ("/triage", {"severity": 1, "commander": "x", "imminent_risk": "maybe"}, "imminent_risk"),
        ("/triage", {"severity": 1.5, "commander": "x", "imminent_risk": "no"}, "severity"),
        ("/mitigate", {"surface": "public", "how": "a\nb"}, "how: 1 to 500"),
        ("/export", {"reason": ""}, "reason: 1 to 500"),
        ("/close", {"resolution": "x" * MAX_BODY}, "larger than"),
    ],
)
def test_a_body_that_breaks_a_rule_is_refused_by_the_name_of_its_field(
    path: str, body: dict[str, Any], words: str, counter: Counter
) -> None:
    one = opened(counter)
    answer = post(counter, f"{ALL}/{one}{path}" if path else ALL, **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    (read,) = counter.folder.all()
    assert len(read.events) == 1


def test_what_there_is_not_is_not_found(counter: Counter) -> None:
    for path, (_, body) in ACTS.items():
        if path:
            answer = post(counter, f"{ALL}/{'0' * 26}{path}", **body)
            assert answer.status_code == 404, answer.text
    assert ask(counter, "GET", f"{ALL}/nonsense").json() == {"error": "there is no incident of that id"}


def test_a_bundle_is_handed_over_and_what_is_not_says_why(counter: Counter) -> None:
    one = opened(counter)
    answer = post(counter, f"{ALL}/{one}/export", reason="for the office")
    assert (answer.content, answer.headers["content-type"]) == (b"PK", "application/zip")
    assert counter.exports.asked == [(one, "Ana", "for the office")]
    counter.exports.fails = "disk full"
    answer = post(counter, f"{ALL}/{one}/export", reason="for the office")
    assert (answer.status_code, answer.json()) == (503, {"error": "disk full"})


def test_a_disk_that_takes_nothing_is_said(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("guard.incidents.folder.os.link", full)
    answer = post(counter, ALL, model="demo", summary="x")
    assert answer.status_code == 500
    assert "No space left on device" in answer.json()["error"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(["model", "summary", "severity", "x"]), st.text() | st.just("demo")).map(
        lambda each: json.dumps(each).encode()
    )
)
def test_whatever_is_sent_is_answered_and_nothing_breaks(counter: Counter, body: bytes) -> None:
    answer = counter.ask("POST", ALL, headers={"authorization": f"Bearer {TOKENS['ana']}"}, content=body)
    assert answer.status_code in {201, 400}
    assert answer.json()
