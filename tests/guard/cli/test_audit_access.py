"""Who may open texts: an investigator of operators.yaml, whichever command asks, and nobody without the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli import main
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
    assert capsys.readouterr() == ("", "guard: there is no operators.yaml, so nobody is known who may do this\n")
    assert not (tmp_path / "var" / "audit" / "operator").exists()
    assert not (tmp_path / "out").exists()
