"""``guard state``: what it prints, accepts and forgets, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from guard.cli import main
from guard.state.directory import OrderDirectory
from guard.state.seen import Distrust, Seen
from guard.state.shared_directory import SharedDirectory
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.fleets import write_replica

WRONG = Distrust("an engine", "the history went back from position 2 to 1", 1.0)


def test_the_schema_names_the_role_and_odd_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "schema", "--role", "guards"]) == 0
    assert "grant usage on schema guard to guards;" in capsys.readouterr().out
    assert main(["state", "schema", "--role", "guards; drop table x"]) == 2
    assert capsys.readouterr().out == ""


def test_a_history_is_accepted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_replica(tmp_path, "one", [ModelSpec()], folder=tmp_path / "shared")
    state = tmp_path / "var" / "state"
    state.mkdir(parents=True)
    assert main(["state", "accept", "--config", str(tmp_path)]) == 1
    Seen(state).doubt(WRONG)
    assert main(["state", "accept", "--config", str(tmp_path)]) == 0
    assert WRONG.why in capsys.readouterr().out
    assert main(["state", "accept", "--config", str(tmp_path)]) == 1


def test_a_replica_is_forgotten_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_replica(tmp_path, "one", [ModelSpec()], folder=tmp_path / "shared")
    engine = SharedDirectory(tmp_path / "shared")
    asyncio.run(engine.beat("gone", "start", b""))
    assert main(["state", "forget", "other", "--config", str(tmp_path)]) == 1
    assert main(["state", "forget", "gone", "--config", str(tmp_path)]) == 0
    assert "gone is not waited for any more" in capsys.readouterr().out
    assert asyncio.run(engine.heard()) == ()


def test_without_a_fleet_there_is_nobody_to_forget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    assert main(["state", "forget", "one", "--config", str(tmp_path)]) == 2
    assert "names no fleet" in capsys.readouterr().err


def test_an_engine_that_does_not_answer_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_replica(tmp_path, "one", [ModelSpec()], dsn="postgresql://u:the-secret@127.0.0.1:1/fleet")
    assert main(["state", "forget", "one", "--config", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "the database cannot be reached" in said.err
    assert "the-secret" not in said.err


def test_status_without_a_running_guard_tells_what_this_host_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    write_replica(tmp_path, "one", [ModelSpec()], folder=tmp_path / "shared")
    state = tmp_path / "var" / "state"
    OrderDirectory(state)
    Seen(state).doubt(WRONG)
    assert main(["status", "--config", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "fleet: this is one; every stop order was never known" in out
    assert main(["status", "--config", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fleet"]["lease"]["age"] is None
