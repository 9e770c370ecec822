"""Answers of an upstream with bytes turned, lines doubled, bodies cut and others glued on, to the running guard.

Whatever comes, the caller gets no text that a strict reading of HTTP and of the event stream does not find at that
place; a whole answer only if it is whole; and the next caller on the same connections gets his own answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.strict_http import answered
from tests.parts.upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    ScriptedUpstream,
    answer,
    chunk,
    completion,
    says,
    sends,
    stream_body,
    text,
)

TOKENS: Final = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b"0",
        b"5",
        b"f",
        b"\x80",
        b"\xef\xbb\xbf",
    ),
    *(
        b"Content-Length: 5\r\n",
        b"content-length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"transfer-encoding: gzip\r\n",
    ),
    *(
        b"content-encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Trailer: x\r\n",
        b" folded\r\n",
        b"5;ext=1\r\nhello\r\n",
    ),
    *(
        b"0\r\n\r\n",
        b"0\r\nx: y\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
    ),
    *(
        b"data: [DONE]\n\n",
        b"event: x\n",
        b": c\n",
        b"data:",
        b"\xe2\x80\xa8",
        text("inserted "),
        chunk(text("chunked ")),
    ),
)
STREAMS: Final = (
    STREAM_HEAD + chunk(text("one "), text("two "), text("three ")) + chunk(stream_body("four")) + LAST_CHUNK,
    STREAM_HEAD
    + b"".join(chunk(each) for each in re.findall(rb".{1,40}", stream_body("one ", "two"), re.DOTALL))
    + LAST_CHUNK,
    answer(stream_body("one ", "two ", "three"), content_type="text/event-stream"),
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + answer(stream_body("one "), content_type="text/event-stream"),
)
WHOLES: Final = (
    answer(completion("one two three")),
    answer(completion("one two three"), more="x: y\r\nconnection: keep-alive\r\n"),
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunk(completion("one two three")[:50], completion("one two three")[50:])
    + LAST_CHUNK,
)


@st.composite
def mangled(draw: st.DrawFn, good: tuple[bytes, ...]) -> bytes:
    """A good answer, perhaps with another behind it, with a few things done to it."""
    data = b"".join(draw(st.lists(st.sampled_from(good), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(("turn", "insert", "delete", "double", "cut")))
        if what == "turn" and at < len(data):
            data = data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]
        elif what == "insert":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + draw(st.integers(1, 12)) :]
        elif what == "double":
            data = data[:at] + data[at : at + draw(st.integers(1, 80))] + data[at:]
        else:
            data = data[:at]
    return data


def texts(body: bytes) -> str:
    """The text of the first choice that a stream spells, up to its terminator or to what is no event of it."""
    lines = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = ""
    for block in lines.split(b"\n\n")[:-1]:
        data = b"\n".join(
            line.partition(b":")[2].removeprefix(b" ")
            for line in block.split(b"\n")
            if line.partition(b":")[0] == b"data"
        )
        try:
            parsed = json.loads(data.decode(errors="replace")) if data else {}  # of what is dropped, not all is read
            # A choice without this key has another in its place, which is dropped: it says nothing.
            found += "".join(each.get("delta", {}).get("content") or "" for each in parsed.get("choices", ()))
        except (ValueError, TypeError, KeyError, AttributeError):
            return found
    return found


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard that keeps its connections without a rest, and its upstream."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str
    numbers: Iterator[int]

    def ask(self, *, stream: bool) -> Whole:
        """Ask, and read the whole answer."""
        with RawCaller(self.guard.port, self.key) as caller:
            caller.ask(stream=stream)
            return caller.answer()

    def next_is_served(self) -> None:
        """The next caller gets what the upstream says to him."""
        own = f"own answer {next(self.numbers)}"
        self.upstream.script = says(own)
        got = self.ask(stream=True)
        if got.status == 504:  # the machine was too busy for the short times of this upstream
            got = self.ask(stream=True)
        assert got.texts == own


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("answers")
    times = {"idle_seconds": 0.3, "first_byte_seconds": 0.3, "total_seconds": 2.0, "rest_seconds": 0.02}
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(directory, models=[ModelSpec(asl=3, upstream=upstream.url, times=times)])
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key, count())


FUZZ: Final = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in as many pieces."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@FUZZ
@given(data=mangled(STREAMS), cuts=st.lists(st.integers(0, 4096), max_size=3), close=st.booleans())
@example(data=STREAMS[0] * 2, cuts=[], close=False)
@example(data=STREAMS[0].replace(b"OK", b"\0OK", 1), cuts=[], close=False)
def test_a_stream_tells_no_more_than_a_strict_reading_finds(
    bench: Bench, data: bytes, cuts: list[int], close: bool
) -> None:
    bench.upstream.script = sends(*pieces(data, cuts), close=close)
    got = bench.ask(stream=True)
    read = answered(data)
    if got.status == 200:
        event("text was passed on")
        assert read is not None, data
        assert texts(read[1]).startswith(got.texts), (data, read[1], got.texts)
    else:
        assert got.status in {400, 502, 503, 504}
        assert got.json["error"]["code"] in {"bad_request", "upstream_failed", "upstream_timeout", "overloaded"}
    bench.next_is_served()


@FUZZ
@given(data=mangled(WHOLES), cuts=st.lists(st.integers(0, 4096), max_size=3), close=st.booleans())
@example(data=WHOLES[0] * 2, cuts=[], close=False)
def test_a_whole_answer_is_passed_on_only_if_it_is_whole(
    bench: Bench, data: bytes, cuts: list[int], close: bool
) -> None:
    bench.upstream.script = sends(*pieces(data, cuts), close=close)
    got = bench.ask(stream=False)
    read = answered(data)
    if got.status == 200:
        event("it was passed on")
        assert read is not None, data
        status, body, whole = read
        assert (status, whole) == (200, True)
        said = json.loads(body.decode(errors="replace"))["choices"][0]["message"].get("content")
        assert got.json["choices"][0]["message"]["content"] == said
    else:
        assert got.status in {400, 502, 503, 504}
    bench.next_is_served()
