"""What is done beside a command: it is waited for as long as is said, and its failure is nothing found."""

from __future__ import annotations

import threading

from guard.cli.beside import Beside


def test_what_hangs_is_left_and_what_comes_is_found() -> None:
    answers = threading.Event()
    hanging = Beside(lambda: answers.wait() and "found")
    assert hanging.within(0.01) is None
    assert not hanging.over
    answers.set()
    assert hanging.within(30) == "found"
    assert hanging.over


def test_an_act_that_fails_finds_nothing() -> None:
    failing = Beside(lambda: int("nothing"))
    assert failing.within(30) is None
    assert failing.over
