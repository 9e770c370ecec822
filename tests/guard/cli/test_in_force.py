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
    kept = snapshots.place(bundle.digest) / "guard.yaml"
    whole = kept.read_bytes()
    kept.write_bytes(whole + b"\n")
    assert main(asked) == 0
    assert "is not the policy that was put there and is in force" in capsys.readouterr().err
    kept.write_bytes(whole)
    (tmp_path / "var" / "state" / "policy" / "current").write_text("damaged")
    assert main(asked) == 0
    assert "it cannot be read which policy is in force here: " in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["snapshot", "note"])
def test_where_what_is_in_force_is_damaged_nothing_is_lifted_by_the_files_and_all_the_rest_goes_on(
    damaged: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    bundle, snapshots = read_bundle(tmp_path), Snapshots(tmp_path / "var" / "state")
    place = snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))
    rules = tmp_path / "rules" / "test.yaml"
    rules.write_text(rules.read_text() + "\n")
    assert main(["stop", "model:demo", "--config", str(tmp_path)]) == 5
    if damaged == "snapshot":
        (place / "guard.yaml").unlink()
    else:
        (snapshots.folder / "current").write_text("damaged")
    capsys.readouterr()
    resume = ["resume", "model:demo", "--reason", "over", "--config", str(tmp_path)]
    assert main(resume) not in {0, 5}
    assert "put it back" in capsys.readouterr().err
    for command, code in ((["status"], 3), (["ladder", "demo", "--down", "--reason", "a finding"], 5)):
        assert main([*command, "--config", str(tmp_path)]) == code
        assert "; going by the files" in capsys.readouterr().err
    assert main(["status", "--config", str(tmp_path)]) == 3
    assert capsys.readouterr().out.count("STOPPED model:demo") == 2
