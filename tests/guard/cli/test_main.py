"""What every command shares: exit codes, clear errors, help, and an end without a traceback."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.cli import main, parser, switch
from tests.parts.configuration import write_configuration
from tests.parts.guard_process import GUARD


def commands(of: argparse.ArgumentParser, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from list(commands(sub, (*prefix, name))) or [(*prefix, name)]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)


@pytest.mark.parametrize("command", list(commands(parser())), ids=" ".join)
def test_every_command_explains_itself_and_its_options(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: guard {' '.join(command)}")
    helped = next(sub for name, sub in walked(parser()) if name == command)
    for action in helped._actions:
        if action.option_strings and action.option_strings[-1] not in {"--help", "--reason", "--person", "--role"}:
            assert action.help, f"{command}: {action.option_strings} says nothing"


def walked(
    of: argparse.ArgumentParser, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield (*prefix, name), sub
                yield from walked(sub, (*prefix, name))


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["check"],
        ["audit", "tail"],
        ["audit", "show", "x"],
        ["key", "new", "a", "--owner", "b", "--tier", "c"],
        ["token", "new", "a", "--person", "b"],
    ],
    ids=" ".join,
)
def test_a_command_without_a_configuration_says_how_to_give_one(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "--config" in capsys.readouterr().err
    assert main([*command, "--config", str(tmp_path / "nowhere")]) == 2
    assert "guard.yaml: is missing" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["stop", "all"], ["resume", "all", "--reason", "x"], ["status"]], ids=" ".join)
def test_the_switch_without_any_path_says_which_there_are(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "--config DIR" in capsys.readouterr().err


def test_every_problem_of_a_configuration_is_told_with_its_file_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    text = (tmp_path / "guard.yaml").read_text()
    (tmp_path / "guard.yaml").write_text(text.replace('"workers": 1', '"wrokers": 1'))
    (tmp_path / "models" / "demo.yaml").write_text("version: [")
    for command in (["check"], ["serve"], ["audit", "tail"]):
        assert main([*command, "--config", str(tmp_path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert any(line.startswith("guard.yaml:") and " wrokers:" in line for line in lines), lines
        assert any(line.startswith("models/demo.yaml:") for line in lines)
        assert not any("Traceback" in line for line in lines)


def test_the_configuration_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    monkeypatch.setenv("GUARD_CONFIG", str(tmp_path))
    assert main(["check"]) == 0
    assert main(["status"]) == 0
    assert capsys.readouterr().out.endswith("demo: not stopped, not served\n")


def test_a_reader_that_leaves_ends_a_command_without_noise(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [GUARD, "check", "--config", str(tmp_path)], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_terminal_that_cannot_show_a_name_still_gets_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_configuration(tmp_path)
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.0)
    assert main(["stop", "all", "--reason", "käse", "--config", str(tmp_path)]) == 5
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    command = [GUARD, "status", "--config", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, b"")
    assert b"k\\xe4se" in done.stdout


def test_ctrl_c_ends_a_command_that_follows_without_a_traceback(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    (tmp_path / "var" / "audit").mkdir(parents=True)
    command = [sys.executable, "-c", WAITING, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")


# The command itself in a fresh interpreter, which says when it has begun to wait. What runs in the background, as this
# suite may, ignores the key press, and so would all that it starts.
WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from guard.cli import audit, main

def wait():
    sys.stdout.write("waiting\\n")
    sys.stdout.flush()
    time.sleep(60)

audit._wait = wait
sys.exit(main(["audit", "tail", "--follow", "--config", sys.argv[1]]))
"""
