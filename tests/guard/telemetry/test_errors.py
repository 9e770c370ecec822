"""Errors are told by their types and places, never by their text."""

from __future__ import annotations

from guard.telemetry.errors import FRAMES, frames, place, types


def parse() -> None:
    nothing: dict[str, str] = {}
    try:
        nothing["PLANTED"]
    except KeyError as error:
        raise ValueError("PLANTED") from error


def dive(depth: int) -> None:
    if depth:
        dive(depth - 1)
    parse()


def caught(depth: int = 0) -> ValueError:
    try:
        dive(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_an_error_is_told_with_what_caused_it_and_without_any_text() -> None:
    assert types(caught()) == ["ValueError", "KeyError"]


def test_a_ring_of_causes_comes_to_an_end() -> None:
    one, other = ValueError("a"), TypeError("b")
    one.__cause__, other.__cause__ = other, one
    assert types(one) == ["ValueError", "TypeError", "ValueError", "TypeError"]


def test_frames_are_files_and_lines_and_the_innermost_is_last() -> None:
    found = frames(caught().__traceback__)
    assert all(frame.startswith("telemetry/test_errors.py:") for frame in found)
    assert int(found[-1].rpartition(":")[2]) == parse.__code__.co_firstlineno + 5


def test_a_deep_traceback_keeps_its_innermost_frames() -> None:
    found = frames(caught(depth=100).__traceback__)
    assert len(found) == FRAMES
    assert int(found[-1].rpartition(":")[2]) == parse.__code__.co_firstlineno + 5


def test_a_place_does_not_tell_where_the_product_is_installed() -> None:
    assert place("/opt/secret/venv/guard/proxy.py", 7) == "guard/proxy.py:7"
    assert len(place("/x/" + "y" * 500, 7)) < 100
