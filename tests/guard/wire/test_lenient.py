"""An event of a kind that the dialect does not have: the end at ASL-3, dropped and counted below (law 2)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from guard.wire.dialect import NOTHING_GRANTED, AnswerReader, Dialect, Naming
from guard.wire.routes import ROUTES
from guard.wire.sse import BadStream

USER: Final = {"role": "user", "content": "hi"}
# Route -> a request, the beginning of its stream, and an event that the dialect does not have.
STREAMS: Final[dict[bytes, tuple[dict[str, Any], bytes, bytes]]] = {
    b"/v1/chat/completions": (
        {"messages": [USER]},
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
        b"event: surprise\ndata: FORBIDDEN-MARKER\n\n",
    ),
    b"/v1/completions": (
        {"prompt": "hi"},
        b'data: {"choices":[{"index":0,"text":"a"}]}\n\n',
        b"event: surprise\ndata: FORBIDDEN-MARKER\n\n",
    ),
    b"/v1/responses": (
        {"input": "hi"},
        b'data: {"type":"response.created","response":{"status":"in_progress","output":[]}}\n\n',
        b'data: {"type":"response.surprise","delta":"FORBIDDEN-MARKER"}\n\n',
    ),
    b"/v1/messages": (
        {"max_tokens": 9, "messages": [USER]},
        b'event: message_start\ndata: {"type":"message_start","message":{"content":[],"usage":{"input_tokens":1}}}\n\n',
        b'event: surprise\ndata: {"type":"surprise","text":"FORBIDDEN-MARKER"}\n\n',
    ),
}


def reading(route: bytes, *, lenient: bool) -> tuple[AnswerReader, bytes, bytes]:
    dialect: Dialect = ROUTES[route]
    fields, begin, surprise = STREAMS[route]
    request = dialect.read_request({"model": "demo", "stream": True, **fields}, NOTHING_GRANTED)
    return dialect.reader(request, Naming("r1", "demo", 0, lenient=lenient)), begin, surprise


@pytest.mark.parametrize("route", STREAMS)
def test_it_ends_the_answer_where_nothing_is_lenient(route: bytes) -> None:
    reader, begin, surprise = reading(route, lenient=False)
    reader.feed(begin)
    with pytest.raises(BadStream, match="of a kind this dialect does not have"):
        reader.feed(surprise)


@pytest.mark.parametrize("route", STREAMS)
def test_it_is_dropped_and_counted_below(route: bytes) -> None:
    reader, begin, surprise = reading(route, lenient=True)
    reader.feed(begin)
    before = reader.dropped
    assert reader.feed(surprise) == []
    assert reader.dropped == before + 1
    assert not reader.done


@pytest.mark.parametrize("route", [b"/v1/chat/completions", b"/v1/completions"])
def test_an_error_is_never_dropped(route: bytes) -> None:
    reader, begin, _ = reading(route, lenient=True)
    reader.feed(begin)
    with pytest.raises(BadStream):
        reader.feed(b'event: error\ndata: {"message":"x"}\n\n')
