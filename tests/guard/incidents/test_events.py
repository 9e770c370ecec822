"""Events are read as strictly as they are written, and nothing else is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.incidents.events import MAX_EVENT_BYTES, MAX_WORDS, EventError, Imminent, decode, encode
from tests.guard.incidents.stories import Story


def every_kind() -> list[Any]:
    story = Story()
    opened = story.opened(requests=("r1", "r2"), severity=3)
    return [
        opened,
        story.triaged(imminent=Imminent.YES),
        story.mitigated(),
        story.reported(),
        story.stepped(),
        story.closed(),
    ]


@pytest.mark.parametrize("event", every_kind(), ids=lambda event: type(event).__name__)
def test_what_is_written_is_read_back(event: Any) -> None:
    raw = encode(event)
    assert decode(raw) == event
    assert encode(decode(raw)) == raw
    assert raw.count(b"\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extra": 1}, "unknown field"),
        ({"kind": "reopened"}, "Invalid value"),
        ({"severity": 5}, "severity"),
        ({"severity": True}, "severity"),
        ({"summary": ""}, "summary"),
        ({"summary": "x" * (MAX_WORDS + 1)}, "summary"),
        ({"summary": "two\nlines"}, "summary: at most"),
        ({"who": "\u202edlo"}, "who: at most"),
        ({"at": -1}, "at"),
        ({"id": "nothing"}, "id, incident"),
        ({"id": "7" + "Z" * 25}, "id: made before the year 3000"),
        ({"incident": "0" * 26}, "its first event gives it its id"),
        ({"requests": ["r"] * 101}, "requests"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_its_name(change: dict[str, Any], words: str) -> None:
    raw = json.loads(encode(Story().opened()))
    with pytest.raises(EventError, match=words):
        decode(json.dumps({**raw, **change}).encode())


def test_a_missing_field_is_refused_by_its_name() -> None:
    raw = json.loads(encode(Story().opened()))
    del raw["discovered"]
    with pytest.raises(EventError, match="discovered"):
        decode(json.dumps(raw).encode())


def test_what_is_too_large_is_not_read() -> None:
    with pytest.raises(EventError, match="bytes"):
        decode(b" " * (MAX_EVENT_BYTES + 1))


def test_an_event_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(EventError, match="summary"):
        encode(Story().opened(summary=""))


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(raw: bytes) -> None:
    with pytest.raises(EventError):
        decode(raw)
