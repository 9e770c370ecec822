"""Verdicts are values: frozen, equal by what they say, with codes from a closed list."""

from __future__ import annotations

import pytest

from safeguards.verdict import PASS, Block, Cleared, Code, Pass


def test_verdicts_compare_by_value() -> None:
    assert Pass() == PASS
    assert Cleared(3) == Cleared(3) != Cleared(4)
    assert Block(Code.STOPPED, "a") == Block(Code.STOPPED, "a") != Block(Code.STOPPED, "b")


def test_verdicts_cannot_be_altered() -> None:
    cleared = Cleared(3)
    with pytest.raises(AttributeError):
        cleared.upto = 9  # type: ignore[misc]  # what the test is about


def test_codes_are_words_for_callers() -> None:
    assert all(code.value == code.name.lower() for code in Code)
