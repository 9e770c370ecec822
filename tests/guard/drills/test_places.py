"""The sockets of drills are reached by short addresses however deep the state folder lies, and by its owner alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from guard.drills.places import RunFolder


def test_sockets_are_reached_wherever_the_folder_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-of-a-folder"] * 8)
    with RunFolder(deep, create=True) as run, run.listening(run.door("3")) as door:
        assert len(run.door("3")) < 107 < len(str(deep))
        with RunFolder(deep) as other, socket.socket(socket.AF_UNIX) as caller:
            caller.connect(other.door("3"))
        assert (deep / "run").stat().st_mode & 0o777 == 0o700
        assert (deep / "run" / "worker-3.sock").stat().st_mode & 0o777 == 0o600
        with run.listening(run.door("3")) as successor:
            assert successor.fileno() != door.fileno()


def test_what_is_closed_leads_nowhere_and_there_is_no_folder_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RunFolder(tmp_path)
    run = RunFolder(tmp_path, create=True)
    run.close()
    with pytest.raises(FileNotFoundError), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(run.door("0"))
