"""``guard diff``: its four exit codes, its text, its form for machines."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    write_configuration(old, now=NOW, models=[ModelSpec()])
    shutil.copytree(old, new)
    return old, new


def edit(directory: Path, file: str, before: str, after: str) -> None:
    path = directory / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_the_same_is_0(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new = map(str, pair)
    assert main(["diff", old, new]) == 0
    assert capsys.readouterr().out == "the same is in force\n"
    assert main(["diff", old, new, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["effect"], found["subjects"], found["old"]) == ("same", [], found["new"])


def test_stronger_and_neutral_is_1(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    edit(pair[1], "models/demo.yaml", '"within_a_second"', '"before_forward"')
    edit(pair[1], "guard.yaml", '"workers": 1', '"workers": 2')
    assert main(["diff", *map(str, pair)]) == 1
    assert capsys.readouterr().out == (
        "model demo: stronger\n"
        "  stronger  safeguards.request_log.settings.durable: within_a_second -> before_forward\n"
        "            a crash may lose what is not yet on the disk\n"
        "\n"
        "guard.yaml: neutral\n"
        "  neutral   workers: 1 -> 2\n"
        "            every worker enforces the same\n"
        "\n"
        "stronger: 0 weaker, 1 stronger, 1 neutral\n"
    )


def test_anything_weaker_is_3_and_comes_first(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    edit(pair[1], "models/demo.yaml", '"within_a_second"', '"before_forward"')
    edit(pair[1], "models/demo.yaml", '"http://127.0.0.1:9"', '"http://127.0.0.1:10"')
    assert main(["diff", *map(str, pair)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["model demo: WEAKER", "  WEAKER    upstream.url: http://127.0.0.1:9 -> http://127.0.0.1:10"]
    assert lines[-1] == "WEAKER: 1 weaker, 1 stronger, 0 neutral"


def test_for_machines_it_is_one_object(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    edit(pair[1], "tiers.yaml", '"burst": 1\n', '"burst": 2\n')
    assert main(["diff", *map(str, pair), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["old"] != found["new"]
    assert found["effect"] == "weaker"
    assert found["subjects"] == [
        {
            "subject": "tier slow",
            "effect": "weaker",
            "changes": [{"key": "rate.burst", "effect": "weaker", "why": "a higher rate", "old": "1", "new": "2"}],
        }
    ]


def test_an_invalid_configuration_is_2_and_its_directory_is_named(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(pair[1], "guard.yaml", '"workers": 1', '"workers": 0')
    assert main(["diff", *map(str, pair)]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.startswith(f"{pair[1]}/guard.yaml:")
    assert "workers: must be at least 1" in shown.err
    assert main(["diff", *map(str, reversed(pair))]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["diff", str(pair[0])])
    assert ended.value.code == 2
