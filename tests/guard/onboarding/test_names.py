"""Names that a server gives."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.onboarding.names import LONGEST, alias, shown, writable


@given(st.text(st.characters(), max_size=300))
def test_what_is_shown_is_printable_and_bounded(text: str) -> None:
    printed = shown(text)
    assert printed.isprintable()
    assert len(printed) <= 80 * len("\\U0010ffff") + 3


def test_an_escape_code_and_a_change_of_text_direction_are_shown_as_codes() -> None:
    assert shown("a\x1b[31mb\u202ec\nd\ud800") == "a\\x1b[31mb\\u202ec\\nd\\ud800"


@given(st.text(st.characters(), max_size=400))
def test_an_alias_is_always_one_that_the_policy_takes(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", alias(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("llama3.2:latest", "llama3.2-latest"),
        ("/models/Some Model.Q4_K_M.GGUF", "some-model.q4_k_m"),
        ("models/last/", "last"),
        ("日本", "model"),
        ("..", "model"),
        ("x" * 100, "x" * 64),
        ("x" * 63 + "-y", "x" * 63),
    ],
)
def test_an_alias_follows_the_rule(name: str, expected: str) -> None:
    assert alias(name) == expected


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\x1bb", "a\u202eb", "\ud800", "x" * (LONGEST + 1)])
def test_a_name_that_a_file_cannot_hold_is_not_writable(name: str) -> None:
    assert not writable(name)
    assert writable("x" * LONGEST)
    assert writable('org/Model "7B": #1 日本')
