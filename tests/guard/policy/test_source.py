"""Strict YAML: what a word means, what is refused, and that lines are right whatever comes in."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.source import MAX_NODES, ConfigError, Document, Place, Problem, parse, path_text, scalar

KEYS = st.text(st.sampled_from("abcdefgh_-."), min_size=1, max_size=6).filter(lambda key: isinstance(scalar(key), str))
# JSON writes a character beyond U+FFFF as two escapes, which YAML does not know.
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), TEXTS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)


def read(text: str) -> Document:
    return parse("f.yaml", text.encode())


def read_or_refused(content: bytes) -> Document | tuple[Problem, ...]:
    try:
        return parse("f.yaml", content)
    except ConfigError as error:
        return error.problems


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: frozen(each) for key, each in value.items()}
    return tuple(frozen(each) for each in value) if isinstance(value, list) else value


def written(value: dict[str, Any], depth: int = 0) -> list[tuple[str, Place]]:
    """Write a mapping in block style, one key a line; each line with the place of its key."""
    lines: list[tuple[str, Place]] = []
    for key, each in value.items():
        if isinstance(each, dict) and each:
            lines.append((f"{'  ' * depth}{key}:", (key,)))
            lines += [(line, (key, *place)) for line, place in written(each, depth + 1)]
        else:
            lines.append((f"{'  ' * depth}{key}: {json.dumps(each)}", (key,)))
    return lines


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-7", -7),
        ("4194304", 4194304),
        ("0.05", 0.05),
        ("1e3", 1000.0),
        *[(word, word) for word in ("yes", "no", "on", "off", "y", "n", "12:30", "0o17", "0x1f", "0123", "1_000")],
        *[(word, word) for word in ("2027-01-01", ".inf", ".nan", "1e999", "+1", "1.", ".5", "=", "9" * 19)],
    ],
)
def test_an_unquoted_word_means_what_yaml_1_2_says_and_no_more(word: str, meaning: object) -> None:
    value = read(f"key: {word}\n").value["key"]
    assert value == meaning
    assert type(value) is type(meaning)


def test_a_quoted_word_is_a_text() -> None:
    assert read("a: 'true'\nb: \"1\"\nc: |\n  null\n").value == {"a": "true", "b": "1", "c": "null\n"}


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_config_error(content: bytes) -> None:
    outcome = read_or_refused(content)
    if not isinstance(outcome, Document):
        assert outcome
        assert all(problem.file == "f.yaml" and problem.message for problem in outcome)


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.sampled_from("ab:-?&*!%|>'\"{}[],#\n \t<=~.0123\\"), max_size=80))
def test_no_text_of_yaml_marks_raises_anything_but_a_config_error(text: str) -> None:
    outcome = read_or_refused(text.encode())
    lines = outcome.lines.values() if isinstance(outcome, Document) else [problem.line for problem in outcome]
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)


@settings(deadline=None)  # the machine may be busy
@given(MAPPINGS)
def test_what_was_written_is_what_is_read(value: dict[str, Any]) -> None:
    assert read(json.dumps(value)).value == frozen(value)


@settings(deadline=None)  # the machine may be busy
@given(MAPPINGS)
def test_every_key_is_known_by_its_line(value: dict[str, Any]) -> None:
    lines = written(value)
    document = read("\n".join(line for line, _ in lines))
    assert {place: document.lines[place] for _, place in lines} == {
        place: number for number, (_, place) in enumerate(lines, 1)
    }


@settings(deadline=None)  # the machine may be busy
@given(MAPPINGS, st.data())
def test_a_key_given_twice_is_refused_at_any_depth(value: dict[str, Any], data: st.DataObject) -> None:
    lines = written(value)
    leaves = [number for number, (line, _) in enumerate(lines) if not line.endswith(":")]
    chosen = data.draw(st.sampled_from(leaves))
    line, place = lines[chosen]
    lines.insert(chosen + 1, (line, place))
    with pytest.raises(ConfigError) as caught:
        read("\n".join(text for text, _ in lines))
    message = f"is given twice, first in line {chosen + 1}"
    assert caught.value.problems == (Problem("f.yaml", chosen + 2, path_text(place), message),)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\x1b", "\r", "\ufeff"])
def test_a_character_that_editors_do_not_show_is_refused_with_its_line(character: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"a: 1\nb: 2 # {character}x: 3\n")
    assert caught.value.problems[0].line == 2
    assert f"U+{ord(character):04X}" in str(caught.value)


def test_crlf_is_a_line_break() -> None:
    document = read("a: 1\r\nb: 2\r\n")
    assert document.value == {"a": 1, "b": 2}
    assert document.lines["b",] == 2


def test_all_problems_of_a_file_are_named_together() -> None:
    with pytest.raises(ConfigError) as caught:
        read("a: &x 1\nb: !t 2\nb: *x\n<<: 1\n")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 3, 4]


def test_a_bomb_of_aliases_ends_at_once() -> None:
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a, *a]\n" for i in range(1000))
    with pytest.raises(ConfigError) as caught:
        read(bomb)
    assert len(caught.value.problems) < 110
    assert str(caught.value).endswith("more")


def test_a_tower_of_brackets_ends_at_the_bound_and_not_in_the_stack() -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match="nested more than 16 deep"):
        read("a: " + "[" * 1_000_000)
    assert time.monotonic() - began < 5


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than 100000 values"):
        read("[" + "1," * (MAX_NODES + 1) + "]")


def test_a_problem_is_rendered_with_file_line_and_key() -> None:
    assert str(Problem("models/demo.yaml", 12, "upstream.url", "is odd")) == "models/demo.yaml:12: upstream.url: is odd"
    assert str(Problem("models/demo.yaml", 12, "", "is odd")) == "models/demo.yaml:12: is odd"
    assert str(Problem("models", 0, "", "is missing")) == "models: is missing"


def test_a_place_below_a_known_one_has_the_line_of_the_known_one() -> None:
    document = read("a:\n  b: 1\n")
    assert document.problem(("a", "c", 3), "is odd") == Problem("f.yaml", 1, "a.c[3]", "is odd")


def test_an_odd_key_is_quoted_in_a_path() -> None:
    assert path_text(("a", "x\ny", 0, "")) == "a.'x\\ny'[0].''"
    assert len(path_text(("k" * 5000,))) < 200


def test_an_error_keeps_its_problems_in_order_and_each_once() -> None:
    first, second = Problem("a", 1, "", "x"), Problem("b", 1, "", "x")
    assert ConfigError([second, first, second]).problems == (first, second)
