"""Progress: nothing for programs and for what is quick, else how far it is, on one line that is wiped at the end."""

from __future__ import annotations

import io

import pytest

from guard.cli.progress import Progress


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The steady time, to be moved."""
    now = [100.0]
    monkeypatch.setattr("guard.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_a_person_sees_how_far_it_is_after_half_a_second(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    progress = Progress("records")
    progress(1024)
    assert screen.getvalue() == ""
    seconds[0] += 0.6
    progress(2048)
    progress(3072)
    assert screen.getvalue() == "\r2,048 records"
    progress.end()
    progress.end()
    assert screen.getvalue() == "\r2,048 records\r\x1b[K"


def test_bytes_that_were_read_are_counted_together(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    progress = Progress("MiB of the log")
    progress.read(3 << 20)
    seconds[0] += 0.6
    progress.read((1 << 20) + 5)
    assert screen.getvalue() == "\r4 MiB of the log"


def test_a_program_sees_nothing(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    progress = Progress("records")
    seconds[0] += 60.0
    progress(1024)
    progress.read(1 << 30)
    progress.end()
    assert screen.getvalue() == ""
