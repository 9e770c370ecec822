"""The lines of described controls: read back as written, whatever the names; anything else is refused by its line."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guard.policy.described import MAX_LINE, Controls, fingerprint, read, render

STEPS = st.text(min_size=1, max_size=8)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9),
    st.lists(st.text(max_size=5), max_size=3),
)  # fmt: skip
TREES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(STEPS, VALUES, min_size=1, max_size=3),
    lambda below: st.dictionaries(STEPS, st.one_of(VALUES, below), min_size=1, max_size=3),
    max_leaves=8,
)


@given(TREES)
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    text = render(tree)
    assert read(text) == tree
    assert text.isascii()
    assert render(read(text)) == text


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        tree = read(text)
    except ValueError as error:
        assert str(error).startswith("line ")  # noqa: PT017 - only some texts are refused
    else:
        assert read(render(tree)) == tree


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 must be path=value, as guard explain MODEL --controls writes it"),
        ("a=1\n\nb=2\n", "line 2 must be path=value, as guard explain MODEL --controls writes it"),
        ("a//b=1", "line 1 must be path=value, as guard explain MODEL --controls writes it"),
        ("/".join("abcdefghijklm") + "=1", "line 1 must be path=value, as guard explain MODEL --controls writes it"),
        ("a=" + "[" * (MAX_LINE - 2), "line 1 must have a value of JSON"),
        ("a=NaN", "line 1 must have a value of JSON"),
        ("a=[1]", "line 1 must have a plain value or a list of texts"),
        ("a=" + "1" * MAX_LINE, f"line 1 must be printable ASCII of at most {MAX_LINE} characters"),
        ("a=1\r\n", f"line 1 must be printable ASCII of at most {MAX_LINE} characters"),
        ("a=1\na=1.0", "line 2 contradicts another line"),
        ("a/b=1\na=1", "line 2 contradicts another line"),
        ("a=1\na/b=1", "line 2 goes on where another line ends"),
    ],
)
def test_a_line_that_says_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        read(text)
    assert str(caught.value) == words


def test_a_line_may_be_given_twice_so_that_texts_of_several_models_can_be_joined() -> None:
    assert read("g=true\na=1\ng=true\n") == {"g": True, "a": 1}


def test_the_hash_is_that_of_the_printed_text() -> None:
    text = render({"a": {"b": "enforce"}})
    assert text == 'a/b="enforce"\n'
    assert fingerprint(text) == hashlib.sha256(b'a/b="enforce"\n').hexdigest()
    assert Controls(sha256=fingerprint(text), lines=text).lines == text
    with pytest.raises(ValidationError):
        Controls(sha256=fingerprint("a=1\n"), lines="a=2\n")
