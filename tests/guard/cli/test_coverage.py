"""``guard coverage``: its exit codes, its text, its form for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration


def test_paths_that_are_all_screened_are_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    assert main(["coverage", "--config", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 of 2 sides of all paths are screened in full\n"


def test_a_path_that_is_not_is_1_and_named_with_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft = ModelSpec("soft", safeguards={"patterns": {"mode": "shadow"}})
    write_configuration(tmp_path, models=[ModelSpec(), soft])
    assert main(["coverage", "--config", str(tmp_path)]) == 1
    assert capsys.readouterr().out == (
        "soft: chat on public, input: patterns is in shadow: what it denies passes\n"
        "soft: chat on public, output: patterns is in shadow: what it denies passes\n"
        "2 of 4 sides of all paths are screened in full\n"
    )


def test_for_machines_every_side_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path, models=[ModelSpec(without=("patterns",))])
    assert main(["coverage", "--config", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["screened"] == 0
    side = {"surface": "public", "model": "demo", "operation": "chat", "why": "no classifier screens it"}
    assert found["sides"] == [{**side, "target": "input"}, {**side, "target": "output"}]


def test_it_needs_no_secret(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    (tmp_path / "secrets" / "pepper").unlink()
    assert main(["coverage", "--config", str(tmp_path)]) == 0


def test_an_invalid_configuration_is_2(tmp_path: Path) -> None:
    assert main(["coverage", "--config", str(tmp_path)]) == 2
