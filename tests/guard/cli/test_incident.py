"""``guard incident`` through a whole incident, and what it says to whoever leaves something out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guard.cli import main
from guard.cli.incident import MAX_CLAIM
from guard.cli.on_host import who_on_host
from guard.incidents.events import Source
from guard.incidents.folder import IncidentFolder
from guard.policy.bundle import read_bundle
from guard.policy.load import load
from guard.serve.remembering import note
from guard.state.directory import OrderDirectory
from guard.state.snapshots import Snapshots
from tests.guard.incidents.stories import write
from tests.guard.state.parts import stop as ordered

RESPONSE = {"max_hours": 48, "severe_max_hours": 12}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path, RESPONSE, surfaces=("partner",))
    return tmp_path


class Shell:
    """Runs commands and keeps what they print."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Take the configuration."""
        self._config = config
        self._capsys = capsys
        self.folder = IncidentFolder(config / "var" / "state")

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run one; returns what it prints, errors included."""
        self._capsys.readouterr()
        assert main(["incident", *words, "--config", str(self._config)]) == code
        told = self._capsys.readouterr()
        return told.out + told.err


@pytest.fixture
def shell(config: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(config, capsys)


def opened(shell: Shell, *more: str) -> str:
    return shell("open", "--model", "demo", "--summary", "a way around", *more).splitlines()[0]


def test_a_name_that_was_given_is_recorded_as_a_claim(shell: Shell) -> None:
    for words, who in (
        (["--who", "ana"], f"ana (uid {os.getuid()})"),
        (["--who", "x" * 400], f"{'x' * MAX_CLAIM} (uid {os.getuid()})"),
        (["--who", ""], who_on_host()),
        ([], who_on_host()),
    ):
        one = opened(shell, *words)
        assert json.loads(shell("show", one, "--json"))["opened_by"] == who


def test_an_incident_from_its_discovery_to_its_export(shell: Shell, config: Path) -> None:
    told = shell("open", "--model", "demo", "--summary", "a way around", "--severity", "2", "--who", "ana")
    one = told.splitlines()[0]
    assert "answer: " in told
    assert "not mitigated on: partner, public" in told
    assert f"{one} open severity 2 (not judged) demo answer: " in shell("list")
    told = shell("triage", one, "--severity", "3", "--commander", "ben", "--imminent-risk", "yes", "--who", "ben")
    assert "day: " in told
    assert "half-month: " in told
    assert "not closed: not mitigated on partner, public" in shell("close", one, "--resolution", "x", code=4)
    for surface in ("public", "partner"):
        shell("mitigate", one, "--surface", surface, "--how", "rules of release 2", "--who", "cleo")
    assert "day: " in shell("report", one, "--clock", "day", "--reference", "letter 1", "--who", "ana")
    shell("close", one, "--resolution", "the rules hold", "--who", "ben")
    assert f"{one} closed severity 3 demo half-month: " in shell("list")  # somebody must still be told
    found = json.loads(shell("show", one, "--json"))
    assert found["stage"] == "closed"
    assert found["commander"] == "ben"
    assert set(found["mitigated"]) == {"public", "partner"}
    assert {each["clock"]: each["done"] is not None for each in found["clocks"]} == {
        "answer": True,
        "day": True,
        "half-month": False,
    }
    assert "commander: ben" in shell("show", one)
    (config / "var" / "audit").mkdir(parents=True, exist_ok=True)
    out = config / "bundle"
    told = shell("export", one, "--out", str(out), "--who", "ana", "--reason", "for the office")
    assert "6 events" in told
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["incident"] == one
    assert manifest["redacted"] is True
    assert [json.loads(line)["kind"] for line in (out / "events.jsonl").read_text().splitlines()] == [
        "opened",
        "triaged",
        "mitigated",
        "mitigated",
        "reported",
        "closed",
    ]
    assert [json.loads(line)["what"] for line in (out / "records.jsonl").read_text().splitlines()] == ["export"]
    assert "exists" in shell("export", one, "--out", str(out), "--who", "ana", "--reason", "again", code=2)


def test_what_does_not_exist_is_said(shell: Shell) -> None:
    assert "there are: demo" in shell("open", "--model", "nothing", "--summary", "x", code=2)
    one = opened(shell)
    nobody = "0" * 26
    for words in (("mitigate", nobody, "--surface", "public", "--how", "x"), ("show", nobody)):
        assert "no incident of that id" in shell(*words, code=2)
    assert "no incident of that id" in shell("close", "../../etc", "--resolution", "x", code=2)
    assert "it is on: partner, public" in shell("mitigate", one, "--surface", "moon", "--how", "x", code=2)
    assert "it has: day, half-month" in shell("report", one, "--clock", "moon", "--reference", "x", code=2)


def test_words_that_no_event_takes_are_refused_and_nothing_is_written(shell: Shell) -> None:
    assert "summary" in shell("open", "--model", "demo", "--summary", "two\nlines", code=2)
    assert "future" in shell("open", "--model", "demo", "--summary", "x", "--discovered", "2999-01-01", code=2)
    assert shell.folder.ids() == ()


def test_a_closed_incident_takes_reports_alone(shell: Shell) -> None:
    one = opened(shell)
    shell("triage", one, "--severity", "1", "--commander", "ben", "--imminent-risk", "no")
    for surface in ("public", "partner"):
        shell("mitigate", one, "--surface", surface, "--how", "x")
    shell("close", one, "--resolution", "x")
    again = ("triage", one, "--severity", "4", "--commander", "ben", "--imminent-risk", "no")
    assert "another incident" in shell(*again, code=4)
    shell("report", one, "--clock", "half-month", "--reference", "final report")
    assert one not in shell("list")
    assert f"{one} closed" in shell("list", "--all")


def test_what_is_late_is_said_to_be(shell: Shell) -> None:
    told = shell("open", "--model", "demo", "--summary", "x", "--discovered", "2026-01-01")
    assert " LATE (every surface is fixed)" in told


def test_an_incident_whose_first_event_is_damaged_is_listed(shell: Shell, config: Path) -> None:
    one = opened(shell)
    (config / "var" / "state" / "incidents" / one / f"{one}.json").write_text("{")
    assert f"{one} damaged: {one}.json" in shell("list")


def test_the_export_holds_the_records_of_its_requests(shell: Shell, config: Path) -> None:
    one = opened(shell, "--request", "0" * 28)
    (config / "var" / "audit").mkdir(parents=True)
    shell("export", one, "--out", str(config / "b"), "--who", "ana", "--reason", "x")
    kept = json.loads((config / "b" / "incident.json").read_text())
    assert kept["requests"] == ["0" * 28]


def test_an_incident_names_the_stop_that_it_was_opened_for(shell: Shell, config: Path) -> None:
    stop = ordered("model:demo")
    unknown = ("open", "--model", "demo", "--summary", "x", "--stop", stop.id)
    assert "stop: there is no stop order of that id here" in shell(*unknown, code=2)
    OrderDirectory(config / "var" / "state").put(stop)
    one = opened(shell, "--stop", stop.id)
    assert json.loads(shell("show", one, "--json"))["stop"] == stop.id
    assert f"stop: {stop.id}" in shell("show", one)
    assert "stop: there is no stop order" in shell(*unknown[:-1], "0" * 26, code=2)
    assert "stop: is no id" in shell("open", "--model", "demo", "--summary", "x", "--stop", "../x", code=2)


def test_what_is_done_here_says_that_it_came_from_the_host(shell: Shell) -> None:
    (event,) = shell.folder.read(opened(shell)).events
    assert event.source is Source.HOST


def in_force(config: Path) -> Path:
    """Put what the files hold into force, as a running guard notes it; returns where it is kept."""
    snapshots, loaded = Snapshots(config / "var" / "state"), load(config)
    place = snapshots.put(loaded.digest, read_bundle(config).files)
    snapshots.choose(note(loaded, 0.0, "start", None))
    return place


def test_an_edited_file_takes_no_surface_away_before_it_is_in_force(shell: Shell, config: Path) -> None:
    in_force(config)
    one = opened(shell)
    shell("triage", one, "--severity", "1", "--commander", "ben", "--imminent-risk", "no")
    shell("mitigate", one, "--surface", "public", "--how", "x")
    model = config / "models" / "demo.yaml"
    model.write_text(json.dumps({**json.loads(model.read_text()), "surfaces": ["public"]}))
    assert "not mitigated on partner" in shell("close", one, "--resolution", "x", code=4)
    in_force(config)
    shell("close", one, "--resolution", "x")


def test_where_it_is_not_known_what_is_in_force_one_is_opened_and_not_closed(shell: Shell, config: Path) -> None:
    (in_force(config).parent / "current").unlink()
    told = shell("open", "--model", "demo", "--summary", "x")
    assert "going by the files" in told
    one = told.splitlines()[0]
    assert one in shell("list")
    assert "x" in shell("show", one)
    shell("close", one, "--resolution", "x", code=1)
