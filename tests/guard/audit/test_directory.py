"""The writer's directory: private, and one process's at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.audit.directory import lock, prepare
from guard.audit.segments import LedgerError

HOLD = """
import pathlib, sys
from guard.audit.directory import lock
lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_every_directory_made_is_its_owners_only(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "audit" / "w1"
    prepare(directory)
    prepare(directory)
    for path in (directory, directory.parent, directory.parent.parent):
        assert path.stat().st_mode & 0o777 == 0o700


def test_two_processes_cannot_hold_one_directory(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            LedgerError, match=f"{tmp_path}: in use by process {holder.pid}; every writer needs its own"
        ):
            lock(tmp_path)
        holder.kill()
        holder.wait()
        os.close(lock(tmp_path))


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(LedgerError, match=f"in use by process {os.getpid()}"):
        lock(tmp_path)
    os.close(held)
