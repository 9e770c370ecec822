"""Who may open texts: an investigator of operators.yaml, whichever command asks, and nobody without the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli import main
from guard.policy.bundle import read_bundle
from guard.state.snapshots import Current, Snapshots
from tests.parts.configuration import write_configuration, write_operators


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("ben", "ben has none of the roles that this takes: investigator"),
        ("eve", "operators.yaml names nobody 'eve'"),
        ("old", "the entry of old in operators.yaml has expired"),
    ],
)
def test_texts_are_opened_only_for_an_investigator(
    who: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    (tmp_path / "var" / "audit").mkdir(parents=True)
    write_operators(tmp_path, {"ben": ["auditor", "approver"], "old": ["investigator"]}, expires="2026-01-01")
    access = ("--content", "--who", who, "--reason", "case 7")
    for command in (("show", "request-1"), ("tail",), ("search",), ("export", "--out", tmp_path / "out")):
        assert main(["audit", *map(str, command), *access, "--config", str(tmp_path)]) == 4
        assert capsys.readouterr() == ("", f"guard: {words}\n")
    (tmp_path / "operators.yaml").unlink()
    assert main(["audit", "show", "request-1", *access, "--config", str(tmp_path)]) == 4
    assert capsys.readouterr() == (
        "",
        "guard: there is no operators.yaml in force, so nobody is known who may do this\n",
    )
    assert not (tmp_path / "var" / "audit" / "operator").exists()
    assert not (tmp_path / "out").exists()


def test_nobody_gives_himself_the_role_by_a_file_that_is_not_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    (tmp_path / "var" / "audit").mkdir(parents=True)
    write_operators(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    bundle, snapshots = read_bundle(tmp_path), Snapshots(tmp_path / "var" / "state")
    place = snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))
    write_operators(tmp_path, {"ben": ["investigator"]})

    def tail(who: str) -> tuple[int, str]:
        asking = ["audit", "tail", "--content", "--who", who, "--reason", "x", "--config", str(tmp_path)]
        return main(asking), capsys.readouterr().err

    assert tail("ben") == (4, "guard: ben has none of the roles that this takes: investigator\n")
    assert tail("ana") == (0, "")
    (place / "operators.yaml").write_bytes((tmp_path / "operators.yaml").read_bytes())
    assert tail("ben") == (
        4,
        f"guard: it cannot be known who may do this: {place} is not the policy that is in force\n",
    )
    (tmp_path / "var" / "state" / "policy" / "current").write_text("damaged")
    assert tail("ana")[0] == 4
