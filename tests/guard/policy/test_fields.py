"""The scalar types: what each accepts and what it refuses."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from guard.policy.fields import Alias, Day, Host, Line, Pathname, Prose, Url


def refused(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8081",
        "https://models.example/",
        "http://vllm-0.vllm:8000/v1",
        "http://[::1]:80",
        "http://a/b/c/",
    ],
)
def test_a_plain_url_is_accepted_as_it_is(url: str) -> None:
    assert TypeAdapter(Url).validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8081",
        "ftp://a",
        "http://",
        "http://a:0",
        "http://a:65536",
        "http://a:x",
        "http://u@a",
        "http://u:p@a",
        "http://a?x=1",
        "http://a?",
        "http://a#x",
        "http://a/..",
        "http://a/.x",
        "http://a//b",
        "http://a/%2e",
        "http://a b",
        "http://a/\n",
        "http://ä",
        "http://[::1",
        "http://-a",
        "http://a\\b",
        "http://" + "a" * 300,
    ],
)
def test_a_url_that_means_two_things_or_nothing_is_refused(url: str) -> None:
    assert refused(Url, url)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=40) | st.text(st.sampled_from("http://[]:@?#%.a0\\"), max_size=30).map("http://".__add__))
def test_no_text_makes_the_url_check_crash(text: str) -> None:
    assert isinstance(refused(Url, text), bool)


@pytest.mark.parametrize("day", ["2000-01-01", "2028-02-29", "2999-12-31"])
def test_a_day_is_a_day_of_the_calendar(day: str) -> None:
    assert TypeAdapter(Day).validate_python(day) == date.fromisoformat(day)


@pytest.mark.parametrize(
    "day",
    ["1999-12-31", "3000-01-01", "2027-02-29", "20270101", "2027-W01-1", "2027-1-1", "٢٠٢٧-01-01", 20270101, 2027.0],
)
def test_any_other_day_is_refused(day: object) -> None:
    assert refused(Day, day)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Alias, ["gpt-4.1", "Qwen2.5_7B", "a" * 128], ["", ".", "..", "-a", "a/b", "a b", "a\n", "ä", "a" * 129]),
        (Host, ["127.0.0.1", "::1", "localhost", "0.0.0.0"], ["", " ", "a b", "a/b", "-a"]),  # noqa: S104 - only a text
        (Line, ["one team", "équipe"], ["", "a\nb", "a\x1bb", "a\x7f", "a\x9b", "a" * 257]),
        (Prose, ["two\nlines"], ["", "a\x1b[31m", "a\x9b", "a" * 2001]),
        (Pathname, ["secrets/pepper", "/run/secrets/x", "a..b"], ["", "..", "a/../b", "../a", "a/", "a\x00b"]),
    ],
)
def test_a_text_has_its_form(kind: Any, good: list[str], bad: list[str]) -> None:
    assert [each for each in good if refused(kind, each)] == []
    assert [each for each in bad if not refused(kind, each)] == []
