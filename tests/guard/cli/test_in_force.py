"""Whoever explains files that are not in force is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli import main
from guard.policy.bundle import read_bundle
from guard.state.snapshots import Current, Snapshots
from tests.parts.configuration import write_configuration


@pytest.mark.parametrize("command", [("check",), ("explain", "demo")], ids=lambda words: words[0])
def test_files_that_are_not_in_force_are_told_apart(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    asked = [*command, "--config", str(tmp_path)]
    assert main(asked) == 0
    assert capsys.readouterr().err == ""
    bundle, snapshots = read_bundle(tmp_path), Snapshots(tmp_path / "var" / "state")
    snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))
    assert main(asked) == 0
    assert capsys.readouterr().err == ""
    rules = tmp_path / "rules" / "test.yaml"
    rules.write_text(rules.read_text() + "\n")
    assert main(asked) == 0
    assert f"NOT what is in force here, which is {bundle.digest[:16]}" in capsys.readouterr().err
    (tmp_path / "var" / "state" / "policy" / "current").write_text("damaged")
    assert main(asked) == 0
    assert capsys.readouterr().err == ""
