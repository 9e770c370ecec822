"""Incidents by the admin API over a real guard: on record once whatever happens, by the clocks that are in force."""

from __future__ import annotations

import io
import json
import os
import signal
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from tests.guard.incidents.stories import write
from tests.parts.guard_process import GuardProcess, wait_until

RESPONSE: Final = {"max_hours": 48, "on_overdue": "alarm"}


class Office:
    """A guard, and whoever handles incidents of it."""

    def __init__(self, guard: GuardProcess, config: Path, token: str) -> None:
        """Take them."""
        self.guard = guard
        self.config = config
        self._headers = {"authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Ask one thing of the admin API."""
        sent = {"json": body} if method == "POST" else {}
        address = self.guard.admin_url + path
        return httpx.request(method, address, headers=self._headers, trust_env=False, timeout=30, **sent)  # type: ignore[arg-type]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Do one thing that is done."""
        answer = self.ask("POST", path, **body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def opened(self) -> str:
        """Open one; returns where it is."""
        return f"/v1/incidents/{self.post('/v1/incidents', model='demo', summary='a way around')['incident']}"

    def acts(self, one: str) -> list[Control]:
        """What is on record of an incident."""
        items = iter_records(self.config / "var" / "audit")
        controls = [item.record for item in items if isinstance(item, Entry) and isinstance(item.record, Control)]
        return [each for each in controls if one.rpartition("/")[2] in each.subject]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    config = tmp_path_factory.mktemp("incidents")
    credentials = write(config, RESPONSE, surfaces=("partner",))
    with GuardProcess(config) as guard:
        yield Office(guard, config, credentials.responder)


def test_each_step_is_on_record_once_with_who_and_by_which_way(office: Office) -> None:
    one = office.opened()
    assert office.ask("POST", f"{one}/close", resolution="x").status_code == 409
    office.post(f"{one}/triage", severity=1, commander="Ben", imminent_risk="no")
    for surface in ("public", "partner"):
        office.post(f"{one}/mitigate", surface=surface, how="a rule")
    office.post(f"{one}/close", resolution="the rules hold")
    wait_until(lambda: "incident close" in {each.what for each in office.acts(one)}, "the end is on record")
    told = [(each.what.removeprefix("incident "), each.subject.rpartition(" ")[2]) for each in office.acts(one)]
    assert told == [(what, "api") for what in ("open", "triage", "mitigate", "mitigate", "close")]
    assert len({each.who for each in office.acts(one)}) == 1
    answer = office.ask("POST", f"{one}/export", reason="for the office")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("records.jsonl")]
        whats = [json.loads(line)["what"] for line in archive.read(name).splitlines()]
    assert [each for each in whats if each.startswith("incident ")] == [f"incident {what}" for what, _ in told]
    assert office.acts(one)[-1].what == "exported"


def test_many_at_once_close_it_once(office: Office) -> None:
    one = office.opened()
    office.post(f"{one}/triage", severity=1, commander="Ben", imminent_risk="no")
    for surface in ("public", "partner"):
        office.post(f"{one}/mitigate", surface=surface, how="a rule")
    with ThreadPoolExecutor(8) as people:
        answers = list(people.map(lambda _: office.ask("POST", f"{one}/close", resolution="x").status_code, range(8)))
    assert sorted(answers) == [200, *[409] * 7]


def test_the_clocks_and_surfaces_are_those_of_the_policy_in_force(office: Office) -> None:
    one = office.opened()
    clocks = {each["clock"] for each in office.ask("GET", one).json()["clocks"]}
    assert clocks == {"answer", "half-month"}
    file = office.config / "guard.yaml"
    settings = json.loads(file.read_text())
    settings["clocks"].append({"name": "new", "starts": "discovered", "hours": 1, "to": "x", "source": "y"})
    file.write_text(json.dumps(settings))
    assert {each["clock"] for each in office.ask("GET", one).json()["clocks"]} == clocks
    assert office.ask("POST", f"{one}/report", clock="new", reference="x").status_code == 400
    office.post("/v1/reloads", reason="a clock more")
    assert {each["clock"] for each in office.ask("GET", one).json()["clocks"]} == {*clocks, "new"}
    office.post(f"{one}/report", clock="new", reference="x")


def test_killed_at_any_moment_what_was_answered_is_there_and_on_record(tmp_path: Path) -> None:
    credentials = write(tmp_path, RESPONSE)
    ones: list[str] = []
    for _ in range(2):
        with GuardProcess(tmp_path) as guard:
            office = Office(guard, tmp_path, credentials.responder)
            ones.append(office.opened())
            os.kill(guard.pid, signal.SIGKILL)
    with GuardProcess(tmp_path) as guard:
        office = Office(guard, tmp_path, credentials.responder)
        wait_until(lambda: all(office.acts(one) for one in ones), "both are on record")
        told = office.ask("GET", "/v1/incidents").json()["incidents"]
        assert {each["incident"] for each in told} == {one.rpartition("/")[2] for one in ones}
