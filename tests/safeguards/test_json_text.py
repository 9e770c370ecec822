"""Escapes are undone however a text is cut, and no character of a hidden match is cleared."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from safeguards.json_text import LEVELS, JsonTextSession, Unescaper, readings, unescape
from safeguards.ports import Hit

PIECES = st.sampled_from(
    [
        "a",
        "é",
        "\U0001f600",
        "\\",
        "\\\\",
        "\\n",
        "\\u",
        "u0041",
        "\\u0041",
        "\\ud83d",
        "\\ude00",
        "\\uD83D\\uDE00",
        "0",
        '"',
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


class Looking:
    """Looks for BAD in a growing text, and holds back what may become one."""

    def __init__(self) -> None:
        """Begin."""
        self.text = ""

    def feed(self, text: str, *, final: bool) -> Hit | int:
        """Judge all so far."""
        self.text += text
        if "BAD" in self.text:
            return Hit("rule", "other", self.text.index("BAD"))
        held = next((size for size in (2, 1) if self.text.endswith("BAD"[:size])), 0)
        return len(self.text) - (0 if final else held)


def cut(text: str, at: list[int]) -> list[str]:
    edges = [0, *sorted(point % (len(text) + 1) for point in at), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("plain", "plain"),
        ("\\u0046ORBIDDEN", "FORBIDDEN"),
        ("\\\\u0046", "\\u0046"),
        ('a\\nb\\tc\\/d\\"e', 'a\nb\tc/d"e'),
        ("\\ud83d\\ude00", "\U0001f600"),
        ("\\ud83d!", "\N{REPLACEMENT CHARACTER}!"),
        ("\\ude00\\ud83d", "\N{REPLACEMENT CHARACTER}" * 2),
        ("\\u00zz", "u00zz"),
        ("end\\", "end\\"),
        ("\\q", "q"),
    ],
)
def test_escapes_are_undone_once(text: str, plain: str) -> None:
    assert unescape(text) == plain


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_what_json_escapes_is_undone(text: str, ascii_only: bool) -> None:
    assert unescape(json.dumps(text, ensure_ascii=ascii_only)[1:-1]) == text


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12))
@example("\\ud83d\\ude00", list(range(12)))
@example("\\\\u0041", list(range(8)))
def test_cuts_do_not_matter_and_every_character_leads_back(text: str, at: list[int]) -> None:
    unescaper = Unescaper()
    plain = ""
    *pieces, last = cut(text, at)
    for piece in pieces:
        plain += unescaper.feed(piece, final=False)
        assert text.startswith(text[: unescaper.raw])
        assert unescape(text[: unescaper.raw]) == plain
    plain += unescaper.feed(last, final=True)
    assert plain == unescape(text)
    assert unescaper.raw == len(text)
    before = -1
    for index in range(len(plain)):
        raw = unescaper.raw_offset(index)
        assert before < raw < len(text)
        assert unescape(text[:raw]) == plain[:index]
        before = raw
    assert unescaper.raw_offset(len(plain)) == len(text)


@given(
    TEXTS, TEXTS, st.sampled_from(["BAD", "\\u0042AD", "B\\u0041D", "BA\\u0044", "\\u0042\\u0041\\u0044"]), st.data()
)
def test_nothing_of_a_match_is_cleared_in_either_view(before: str, after: str, bad: str, data: st.DataObject) -> None:
    if before.endswith(("\\", "u")):
        before += " "
    text = before + bad + after
    start = len(before)
    assume(unescape(before) + "BAD" in unescape(text))  # what stands before may make it another text
    session = JsonTextSession(Looking)
    pieces = cut(text, data.draw(st.lists(st.integers(0, 200), max_size=12)))
    cleared = 0
    for index, piece in enumerate(pieces):
        found = session.feed(piece, final=index == len(pieces) - 1)
        if isinstance(found, Hit):
            assert found.rule == "rule"
            return
        assert cleared <= found <= start
        cleared = found
    raise AssertionError("it was not found")


def nested(text: str, levels: int) -> str:
    """The text with its first letter escaped, in a document in a string of a document, so many times."""
    written = f"\\u{ord(text[0]):04x}{text[1:]}"
    for _ in range(levels - 1):
        written = json.dumps({"a": f'"{written}"'})
    return written


@pytest.mark.parametrize("levels", range(1, LEVELS + 1))
@given(st.lists(st.integers(0, 200), max_size=12))
def test_a_match_in_a_document_within_a_document_is_found_and_nothing_of_it_is_cleared(
    levels: int, at: list[int]
) -> None:
    text = nested("BAD", levels)
    session = JsonTextSession(Looking)
    *pieces, last = cut(text, at)
    for piece in pieces:
        found = session.feed(piece, final=False)
        if isinstance(found, Hit):
            return
        assert found <= text.index("u0042")
    assert isinstance(session.feed(last, final=True), Hit)


def test_what_is_nested_deeper_than_the_levels_is_another_code() -> None:
    text = nested("BAD", LEVELS + 1)
    assert JsonTextSession(Looking).feed(text, final=True) == len(text)
    assert not any("BAD" in reading for reading in readings(text))


@given(TEXTS)
def test_the_readings_of_a_text_are_its_escapes_undone_level_by_level(text: str) -> None:
    found = readings(text)
    assert len(found) <= LEVELS
    for before, after in pairwise([text, *found]):
        assert "\\" in before
        assert after == unescape(before)
    assert len(found) == LEVELS or "\\" not in [text, *found][-1]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12))
def test_a_harmless_text_is_cleared_to_its_end(text: str, at: list[int]) -> None:
    session = JsonTextSession(Looking)
    found: Hit | int = 0
    *pieces, last = cut(text, at)
    seen = 0
    for piece in pieces:
        found = session.feed(piece, final=False)
        seen += len(piece)
        assert isinstance(found, int)
        assert seen - 12 * 6 ** (LEVELS - 1) <= found <= seen  # at most one unfinished pair is held, of the last level
    assert session.feed(last, final=True) == len(text)


def test_the_second_view_begins_with_the_first_backslash() -> None:
    begun: list[Looking] = []

    def begin() -> Looking:
        begun.append(Looking())
        return begun[-1]

    session = JsonTextSession(begin)
    assert session.feed("a B", final=False) == 2
    assert len(begun) == 1
    assert session.feed("\\u0041", final=False) == 2
    assert [each.text for each in begun] == ["a B\\u0041", "a BA"]
    assert session.feed("D", final=False) == Hit("rule", "other", -1)
