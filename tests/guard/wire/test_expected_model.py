"""The model that an upstream must name: in every place where its dialect names one, or nothing more is passed on."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from guard.wire.dialect import NOTHING_GRANTED, AnswerReader, Event, Naming
from guard.wire.routes import ROUTES
from guard.wire.sse import BadStream
from tests.parts.answer_places import CHAT, COMPLETIONS, COUNT, RESPONSES, encode, everything, everything_whole
from tests.parts.model_names import GONE, REQUESTS, STREAMED, naming, places

WRONG: Final = ["other", "served ", "SERVED", "", None, 7, ["served"], {"served": 1}, GONE]


def reader(path: bytes, *, streamed: bool, lenient: bool = False) -> AnswerReader:
    fields = {"model": "demo", **REQUESTS[path], **({"stream": True} if streamed else {})}
    request = ROUTES[path].read_request(fields, NOTHING_GRANTED)
    return ROUTES[path].reader(request, Naming("r1", "demo", 0, expect_model="served", lenient=lenient))


def text_in(given: AnswerReader) -> str:
    return "".join(channel.text for channel in given.channels.values())


def feed(given: AnswerReader, path: bytes, events: list[Any]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        found += given.feed(encode(path, event))
    return [*found, *given.finish()]


def test_every_dialect_says_whether_its_answers_name_a_model() -> None:
    assert {path for path, dialect in ROUTES.items() if dialect.names_model} == set(REQUESTS)
    assert {path for path, dialect in ROUTES.items() if not dialect.names_model} == {COUNT}
    for path in REQUESTS:
        assert next(places(everything_whole(path)), None) is not None


@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_names_it_everywhere_is_read(path: bytes) -> None:
    given = reader(path, streamed=True)
    assert feed(given, path, naming(everything(path)))
    assert given.done
    assert text_in(given)


@pytest.mark.parametrize("path", REQUESTS)
def test_a_whole_answer_that_names_it_is_read(path: bytes) -> None:
    given = reader(path, streamed=False)
    body = naming(everything_whole(path))
    given.feed(json.dumps({**body, "unknown_key": 1}).encode())
    (event,) = given.finish()
    assert b"served" not in event.data
    assert given.dropped >= 1


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: "gone" if wrong is GONE else json.dumps(wrong))
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_names_another_anywhere_ends_there(path: bytes, lenient: bool, wrong: object) -> None:
    events = everything(path)
    count = sum(1 for _ in places(events))
    assert count >= 1
    for at in range(count):
        given = reader(path, streamed=True, lenient=lenient)
        lying = naming(events, wrong, at)
        before = next(number for number, event in enumerate(lying) if _lies(event, events[number]))
        for event in lying[:before]:
            given.feed(encode(path, event))
        text = text_in(given)
        assert at > 0 or text == ""
        with pytest.raises(BadStream, match="does not name the model"):
            given.feed(encode(path, lying[before]))
        assert text_in(given) == text
        assert not given.done


def _lies(event: Any, honest: Any) -> bool:
    return bool(event != naming(honest))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: "gone" if wrong is GONE else json.dumps(wrong))
@pytest.mark.parametrize("path", REQUESTS)
def test_a_whole_answer_that_names_another_is_none(path: bytes, wrong: object) -> None:
    given = reader(path, streamed=False)
    given.feed(json.dumps(naming(everything_whole(path), wrong, 0)).encode())
    with pytest.raises(BadStream, match="does not name the model"):
        given.finish()
    assert text_in(given) == ""


@pytest.mark.parametrize("path", STREAMED)
def test_text_that_comes_before_the_model_is_named_is_not_read(path: bytes) -> None:
    events = naming(everything(path))
    for skipped in range(1, len(events)):
        if next(places(events[skipped:]), None) is None or next(places(events[skipped]), None) is not None:
            continue
        given = reader(path, streamed=True)
        with pytest.raises(BadStream):
            feed(given, path, events[skipped:])
        assert text_in(given) == ""


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_a_terminator_alone_names_no_model(path: bytes) -> None:
    with pytest.raises(BadStream, match="does not name the model"):
        reader(path, streamed=True).feed(b"data: [DONE]\n\n")


def test_a_response_that_begins_without_its_object_names_no_model() -> None:
    with pytest.raises(BadStream, match="does not name the model"):
        reader(RESPONSES, streamed=True).feed(encode(RESPONSES, {"type": "response.created"}))


def test_an_object_that_comes_with_a_delta_is_looked_at_too() -> None:
    given = reader(RESPONSES, streamed=True)
    events = naming(everything(RESPONSES))
    at = next(number for number, event in enumerate(events) if event["type"].endswith(".delta"))
    for event in events[:at]:
        given.feed(encode(RESPONSES, event))
    with pytest.raises(BadStream, match="does not name the model"):
        given.feed(encode(RESPONSES, {**events[at], "response": {"model": "other"}}))
    assert text_in(given) == ""


@pytest.mark.parametrize("named", [b'"s\\u0065rved"', b'"served"'])
def test_an_escape_in_the_name_changes_nothing(named: bytes) -> None:
    given = reader(CHAT, streamed=True)
    (event,) = given.feed(b'data: {"model":' + named + b',"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    assert b'"model":"demo"' in event.data
