"""Starting a worker's process: what it is told, what it inherits, and what its end means."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guard.serve.processes import CANNOT_START, OTHER_POLICY, Standing, ending, start_worker

PATIENCE = 30.0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (CANNOT_START, "its own line in the log says why"),
        (OTHER_POLICY, "the snapshot of the policy in force"),
        (-9, "ended by SIGKILL"),
        (-11, "ended by SIGSEGV"),
        (-99, "ended by signal 99"),
    ],
)
def test_an_exit_code_is_said_in_words(code: int, words: str) -> None:
    assert words in ending(code)


def test_a_worker_without_a_configuration_says_so_in_one_line_and_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            worker = await start_worker(
                Standing(tmp_path, "digest", tmp_path / "policy"), 5, 1, {"public": listener}, 0.0
            )
            assert os.getpgid(worker.process.pid) == worker.process.pid  # no Ctrl-C of a terminal reaches it
            assert await worker.reader.read() == b""
            worker.writer.close()
            return await asyncio.to_thread(worker.process.wait, PATIENCE)

    assert asyncio.run(run()) == CANNOT_START
    (line,) = capfd.readouterr().err.splitlines()
    assert '"event":"config_refused","worker":5,"error":"ConfigError"' in line
    assert "guard.yaml: is missing" in line


def test_an_interpreter_that_cannot_be_started_leaves_no_socket_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of names, not paths

    async def run() -> None:
        with pytest.raises(FileNotFoundError):
            await start_worker(Standing(tmp_path, "digest", tmp_path / "policy"), 0, 1, {}, 0.0)

    asyncio.run(run())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_a_start_that_is_interrupted_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def remember(*arguments: object, **more: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = real(*arguments, **more)  # type: ignore[call-overload]  # passed through
        started.append(process)
        return process

    async def interrupted(**_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(asyncio, "open_connection", interrupted)

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await start_worker(Standing(tmp_path, "digest", tmp_path / "policy"), 0, 1, {}, 0.0)

    asyncio.run(run())
    assert started[0].wait(PATIENCE) == -9
