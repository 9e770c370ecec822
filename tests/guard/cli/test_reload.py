"""``guard reload`` without a guard, and what it says of each answer."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from guard.cli.reload import tell
from guard.state.acknowledgements import process_started
from guard.state.reloads import Outcome, Posted, Reloaded, post
from tests.parts.configuration import write_configuration

OLD, NEW = "a" * 64, "b" * 64


def said(**fields: Any) -> dict[str, Any]:
    return {**Reloaded(Outcome.IN_FORCE, "signal", OLD, NEW, 5.0, workers=3, seconds=0.0312).fields(), **fields}


@pytest.mark.parametrize(
    ("fields", "code", "out", "err"),
    [
        (
            {"effect": "stronger", "changes": 2, "streams_cut": 4},
            0, f"{NEW[:16]} in force on 3/3 workers in 31 ms: 2 changes, stronger, 4 streams cut\n", "",
        ),
        (
            {"effect": "weaker", "changes": 1, "approved_by": ("Ada", "Ben")},
            0, f"{NEW[:16]} in force on 3/3 workers in 31 ms: 1 change, weaker, approved by Ada and Ben\n", "",
        ),
        (
            {"outcome": "unchanged", "workers": 2, "missing": ["1"]},
            5, f"{NEW[:16]} in force on 2/3 workers in 31 ms: unchanged\n",
            "guard: not confirmed by worker 1; it is being replaced\n",
        ),
        (
            {"outcome": "invalid", "problems": ["tiers.yaml:1: is not YAML", "\x1b[2J"]},
            2, "", f"guard: invalid: {OLD[:16]} stays in force\nguard: tiers.yaml:1: is not YAML\nguard: ?[2J\n",
        ),
        ({"outcome": "refused", "problems": ["no"]}, 4, "", f"guard: refused: {OLD[:16]} stays in force\nguard: no\n"),
        ({"outcome": "failed", "problems": ["no"]}, 1, "", f"guard: failed: {OLD[:16]} stays in force\nguard: no\n"),
    ],
)  # fmt: skip
def test_every_answer_has_its_words_and_its_code(
    fields: dict[str, Any], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell(said(**fields)) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (out, err)


def test_where_no_guard_runs_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    assert main(["reload", "--config", str(tmp_path)]) == 1
    post(tmp_path / "var" / "state", Posted(os.getpid(), 1, 0, 5.0, "", {}))  # the pid is another process's by now
    assert main(["reload", "--config", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "guard: no guard runs here\n" * 2


def test_a_guard_on_the_host_is_asked_by_a_signal_and_its_own_answer_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    state = tmp_path / "var" / "state"
    me = os.getpid()

    def write(count: int, **fields: Any) -> None:
        post(state, Posted(me, process_started(me) or 0, count, 5.0, "", said(**fields)))

    def answer(*_: object) -> None:
        write(3, by="files")  # what happened by itself meanwhile is not the answer
        threading.Timer(0.1, write, (4,)).start()

    write(2)
    before = signal.signal(signal.SIGHUP, answer)
    try:
        assert main(["reload", "--config", str(tmp_path)]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "in force on 3/3 workers" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--admin", "http://127.0.0.1:9"]])
def test_without_a_way_to_the_guard_it_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    assert main(["reload", *words]) == 2
    assert "token" in capsys.readouterr().err


def test_an_admin_api_that_does_not_answer_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", "at-guard-nobody-0123456789abcdef")
    write_configuration(tmp_path)
    assert main(["reload", "--admin", "http://127.0.0.1:9", "--config", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "guard: the admin API does not answer\n"


def test_a_guard_yaml_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    (tmp_path / "guard.yaml").write_text("version: [")
    assert main(["reload", "--config", str(tmp_path)]) == 2
    assert "guard.yaml cannot be read" in capsys.readouterr().err
