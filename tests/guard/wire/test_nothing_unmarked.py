"""Whatever an upstream writes, and wherever: a word of its own leaves only in an event that waits for that word.

Real answers are taken apart and put together wrongly: leaves become words that nothing else has, events are doubled,
swapped, left out, taken from another dialect, renamed and renumbered. It rests on no classifier: every such word in
what a reader writes must stand in a channel's text below a mark of the same event, or of one before it: the valve lets
events leave in their order, so what waits behind another waits for its marks too.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from guard.wire.dialect import NOTHING_GRANTED, Event, Naming, Request
from guard.wire.routes import ROUTES
from guard.wire.sse import BadStream
from tests.parts.answer_places import FORMS, TEXTLESS, encode, everything, everything_whole
from tests.parts.model_names import REQUESTS, STREAMED

WORD: Final = re.compile(r"zq[0-9]{3}qz")
PATHS: Final = tuple(REQUESTS)
TYPES: Final = sorted(
    {each["type"] for path in STREAMED for each in everything(path) if isinstance(each, dict) and "type" in each}
    | {"text", "thinking", "tool_use", "redacted_thinking", "message", "reasoning", "function_call", "signature_delta"}
)
STREAMS: Final = {
    path: [everything(path), *(form.streamed(["zq001qz ", "zq002qz"]) for form in FORMS[path].values())]
    for path in STREAMED
}
WHOLES: Final = {
    path: [everything_whole(path), *(form.whole("zq001qz zq002qz") for form in FORMS.get(path, {}).values())]
    for path in PATHS
}


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value, the root's apart."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*where, key)
        yield from places(each, (*where, key))


def words(start: int) -> Iterator[str]:
    """Words that nothing else has."""
    return (f"zq{number:03}qz" for number in range(start, 1000))


@st.composite
def mangled(draw: st.DrawFn, values: list[Any], others: list[Any]) -> list[Any]:
    """A list of values with up to eight things done to it."""
    made: list[Any] = copy.deepcopy(values)
    fresh = words(100)
    for _ in range(draw(st.integers(1, 8))):
        if not made:
            break
        at = draw(st.integers(0, len(made) - 1))
        what = draw(
            st.sampled_from(
                ("leaf", "leaf", "leaf", "key", "number", "type", "null", "swap", "double", "drop", "other")
            )
        )
        if what == "swap":
            other = draw(st.integers(0, len(made) - 1))
            made[at], made[other] = made[other], made[at]
        elif what == "double":
            made.insert(draw(st.integers(0, len(made))), copy.deepcopy(made[at]))
        elif what == "drop":
            del made[at]
        elif what == "other":
            made.insert(at, copy.deepcopy(draw(st.sampled_from(others))))
        else:
            where = list(places(made[at]))
            if not where:
                continue
            *way, last = draw(st.sampled_from(where))
            inner = made[at]
            for key in way:
                inner = inner[key]
            if what == "leaf":
                inner[last] = next(fresh)
            elif what == "null":
                inner[last] = None
            elif what == "number":
                inner[last] = draw(st.integers(-1, 3))
            elif what == "type":
                inner[last] = draw(st.sampled_from(TYPES))
            elif isinstance(inner, dict):
                inner[draw(st.sampled_from(("content", "text", "name", "refusal", next(fresh))))] = next(fresh)
    return made


def uncovered(data: bytes, marks: dict[Any, int]) -> list[str]:
    """The words in written bytes that stand in no channel below its mark."""
    texts = [channel.text[:end] for channel, end in marks.items()]
    return [word for word in WORD.findall(data.decode()) if not any(word in text for text in texts)]


def marks_of(written: Event) -> dict[Any, int]:
    """How far each channel must be cleared before this event leaves."""
    found = {} if written.channel is None else {written.channel: written.end}
    return found | dict(written.more)


def request(path: bytes, *, streamed: bool) -> Request:
    """What the answers are to."""
    fields = {"model": "demo", **REQUESTS[path], **({"stream": True} if streamed else {})}
    return ROUTES[path].read_request(fields, NOTHING_GRANTED)


FUZZ: Final = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("path", STREAMED)
@FUZZ
@given(data=st.data(), lenient=st.booleans())
def test_of_a_mangled_stream_no_word_leaves_without_its_mark(path: bytes, data: st.DataObject, lenient: bool) -> None:
    others = [each for other in STREAMED for each in everything(other)]
    events = data.draw(mangled(data.draw(st.sampled_from(STREAMS[path])), others))
    dialect, naming = ROUTES[path], Naming("r1", "demo", 0, lenient=lenient)
    reader = dialect.reader(request(path, streamed=True), naming)
    written: list[Event] = []
    try:
        for each in events:
            written += reader.feed(encode(path, each))
        reader.finish()
        event("read to its end")
    except BadStream:
        event("ended")
    cut = data.draw(st.integers(0, len(written)))
    released: dict[Any, int] = {}
    seen: object = None
    for number, each in enumerate([*written, Event(b"")]):
        if number == cut:
            assert uncovered(dialect.end_blocked(naming, seen), released) == []
        for channel, end in marks_of(each).items():
            released[channel] = max(end, released.get(channel, 0))
        assert uncovered(each.data, released) == [], each.data
        seen = each.seen


@pytest.mark.parametrize("path", PATHS)
@FUZZ
@given(data=st.data())
def test_of_a_mangled_whole_answer_no_word_leaves_without_its_mark(path: bytes, data: st.DataObject) -> None:
    others = [each for each, *_ in WHOLES.values()]
    bodies = data.draw(mangled([data.draw(st.sampled_from(WHOLES[path]))], others))
    reader = ROUTES[path].reader(request(path, streamed=False), Naming("r1", "demo", 0))
    written: list[Event] = []
    try:
        for body in bodies[:1]:
            reader.feed(json.dumps(body).encode())
        written = reader.finish()
        event("read to its end")
    except BadStream:
        event("ended")
    for each in written:
        assert uncovered(each.data, marks_of(each)) == [], each.data
        assert path not in TEXTLESS or not WORD.search(each.data.decode())
