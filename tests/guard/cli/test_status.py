"""``guard status`` of what lies on this host and of what an admin API tells: no model is called served that is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main, status
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.asked import Asked, AskedFolder
from guard.state.directory import OrderDirectory
from guard.state.lease import LeaseWord
from safeguards.mode import Mode
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.fleets import engine_settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a worker that runs: this very process."""
    for name in ("GUARD_CONFIG", "GUARD_ADMIN_TOKEN", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("guard.cli.switch.WAIT_SECONDS", 0.02)
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)])
    state = tmp_path / "var" / "state"
    OrderDirectory(state)
    started = process_started(os.getpid())
    assert started is not None
    Acknowledgements(state, "0", pid=os.getpid(), started=started).record({}, 0.0)
    return tmp_path


def told(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """What it says of each model, and its exit code."""
    capsys.readouterr()
    code = main(["status", "--config", str(config)])
    lines = capsys.readouterr().out.splitlines()
    return code, dict(line.split(": ", 1) for line in lines if line.startswith(("demo: ", "strict: ")))


def test_what_nothing_stops_is_served(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(config, capsys) == (0, {"demo": "served", "strict": "served"})


@pytest.mark.parametrize(("mode", "word"), [("stop", "stopped"), ("drain", "draining"), ("quarantine", "quarantined")])
def test_a_stop_is_told_by_its_mode(mode: str, word: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["stop", "model:demo", "--mode", mode, "--config", str(config)])
    assert told(config, capsys) == (3, {"demo": word, "strict": "served"})
    main(["status", "--config", str(config)])
    assert f"{word.upper()} model:demo since" in capsys.readouterr().out


def test_of_two_orders_the_stronger_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mode in (Mode.DRAIN, Mode.STOP, Mode.QUARANTINE):
        main(["stop", "model:demo", "--mode", mode.value, "--config", str(config)])
    assert told(config, capsys)[1]["demo"] == "stopped"


def test_a_model_at_a_lapsed_level_is_not_served(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard = json.loads((config / "guard.yaml").read_text())
    guard["fleet"] = engine_settings("r0", folder=config / "shared")
    (config / "guard.yaml").write_text(json.dumps(guard))
    LeaseWord(config / "var" / "state")  # as a supervisor begins: without proof
    lapsed = "not served: its lease (ASL-3) has lapsed, no proof that every stop order is known here"
    assert told(config, capsys) == (0, {"demo": "served", "strict": lapsed})


def model(**changes: Any) -> dict[str, Any]:
    return {"routable": True, "asl": {"deployment": 2, "security": 4}, "stopped_by": ["1", "2"], **changes}


def test_a_mode_that_turns_nobody_away_is_told_beside_served() -> None:
    """The admin API of a newer guard may tell of modes that this command has never heard of: those refuse."""
    milder = {"1": "stricter", "2": "fallback"}
    assert status.model_words(model(), milder, (), workers=True) == "served, on fallback, stricter"
    assert status.model_words(model(), milder, (4,), workers=True).startswith("not served: its lease (ASL-4)")
    assert status.model_words(model(), milder, (2,), workers=True).startswith("served")
    assert status.model_words(model(), {"1": "drain", "2": "entirely_new"}, (), workers=True) == "entirely new"
    assert status.model_words(model(), {}, (), workers=True) == "stopped"
    assert status.model_words(model(stopped_by=[]), {}, (), workers=False) == "not stopped, not served"


def test_a_resume_that_waits_for_approval_is_told_until_it_lifts_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["stop", "model:strict", "--config", str(config)])
    resume = ["resume", "model:strict", "--reason", "mended", "--to", str(config / "r.json"), "--config", str(config)]
    assert main(resume) == 4
    state = config / "var" / "state"
    AskedFolder(state).write(Asked((config / "r.json").read_text(), "model:strict", "ana", 4e9))
    AskedFolder(state).write(Asked("no statement\n", "model:strict", "ana", 4e9))
    capsys.readouterr()
    main(["status", "--config", str(config)])
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WAITS")]
    assert len(found) == 1
    assert found[0].endswith("resume of model:strict, asked for by ana: mended; approved by nobody yet")
    for path in (state / "orders").glob("*.json"):
        path.unlink()
    main(["status", "--config", str(config)])
    assert "WAITS" not in capsys.readouterr().out
