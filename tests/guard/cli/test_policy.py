"""``guard policy schema``: one kind, all of them, or as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli import main
from guard.policy.schema import KINDS, schema, schema_text


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_is_printed_as_its_file_would_be(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema", kind]) == 0
    assert capsys.readouterr().out == schema_text(kind)


def test_without_a_kind_all_are_printed_as_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == {kind: schema(kind) for kind in KINDS}


def test_they_are_written_and_the_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema", "--write", str(tmp_path)]) == 0
    named = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert named == [tmp_path / f"{kind}.json" for kind in KINDS]
    assert all(path.exists() for path in named)


@pytest.mark.parametrize("wrong", [["house"], ["model", "--write", "."]])
def test_wrong_usage_is_2_and_says_what_exists(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "schema", *wrong])
    assert ended.value.code == 2
    assert "KIND" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["policy", "schema", "--write", str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err
