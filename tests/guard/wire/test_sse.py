"""Server-sent events are read as the standard says, whatever the cuts between reads."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.sse import BadStream, EventReader, ServerEvent

Read = list[tuple[bytes, bytes]]
FIELDS = (b"data", b"data: ", b"event: ", b"id: 7", b"retry: 9", b":", b": comment", b" ")
LINE_ENDS = (b"\r", b"\n", b"\r\n", b"\n\n")
OTHERS = (b"x", b"{}", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\x1c", b"\x00", b"\xff")
TOKENS = st.sampled_from(FIELDS + LINE_ENDS + OTHERS)
LINES = st.tuples(st.sampled_from(FIELDS), st.sampled_from([b"", *OTHERS]), st.sampled_from(LINE_ENDS)).map(b"".join)
STREAMS = st.lists(st.one_of(TOKENS, LINES, LINES), max_size=30).map(b"".join)


def read_at_once(stream: bytes) -> Read:
    """Follow the standard's own steps over the whole stream."""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    events: Read = []
    name, data = b"", b""
    for line in lines[:-1]:  # what follows the last line end is not a line
        if not line:
            if data:
                events.append((name, data[:-1]))
            name, data = b"", b""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value[1:] if value[:1] == b" " else value
            if field == b"data":
                data += value + b"\n"
            elif field == b"event":
                name = value
    return events


def read_in_pieces(pieces: list[bytes], max_event: int = 1_048_576) -> Read | None:
    """Feed the pieces; None when the reader refuses."""
    reader = EventReader(max_event)
    events: Read = []
    try:
        for piece in pieces:
            events += [(event.name, event.data) for event in reader.feed(piece)]
    except BadStream:
        return None
    return events


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


@given(STREAMS, st.lists(st.integers(0, 200)))
def test_every_cut_reads_as_the_standard_reads_the_whole(stream: bytes, places: list[int]) -> None:
    expected = read_at_once(stream)
    assert read_in_pieces([stream]) == expected
    assert read_in_pieces(cut(stream, places)) == expected
    assert read_in_pieces([bytes([byte]) for byte in stream]) == expected


@given(STREAMS, st.lists(st.integers(0, 200)), st.integers(1, 30))
def test_whether_an_event_is_too_large_does_not_depend_on_the_cuts(
    stream: bytes, places: list[int], limit: int
) -> None:
    expected = read_in_pieces([stream], limit)
    assert read_in_pieces(cut(stream, places), limit) == expected
    assert read_in_pieces([bytes([byte]) for byte in stream], limit) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_all_three_line_ends_end_lines(end: bytes) -> None:
    stream = end.join([b"event: e", b"data: a", b"data: b", b"", b"data:c", b"", b""])
    expected = [(b"e", b"a\nb"), (b"", b"c")]
    assert read_in_pieces([stream]) == expected
    assert read_in_pieces([bytes([byte]) for byte in stream]) == expected


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_other_separators_are_text(separator: str) -> None:
    assert read_in_pieces([f"data: a{separator}b\n\n".encode()]) == [(b"", f"a{separator}b".encode())]


def test_a_byte_order_mark_is_dropped_at_the_beginning_only() -> None:
    mark = b"\xef\xbb\xbf"
    assert read_in_pieces([mark + b"data: a\n\n" + mark + b"data: b\n\n"]) == [(b"", b"a")]
    assert read_in_pieces([mark[:1], mark[1:2], b"", mark[2:], b"data: a\n\n"]) == [(b"", b"a")]


def test_comments_ids_and_retries_carry_nothing() -> None:
    assert read_in_pieces([b": secret\nid: secret\nretry: 5\nother: secret\n\n"]) == []


def test_an_event_without_its_blank_line_is_none() -> None:
    assert read_in_pieces([b"data: a\n\ndata: b\n"]) == [(b"", b"a")]


@pytest.mark.parametrize("line", [b": c\n", b"data: x\n", b"data: xxxxxxxx"])
def test_an_endless_event_is_refused_at_the_bound_however_small_its_pieces(line: bytes) -> None:
    reader = EventReader(max_event=1000)
    for _ in range(1000 // len(line)):
        reader.feed(line)
    with pytest.raises(BadStream, match="larger"):
        reader.feed(line + b"xx")


def test_endless_small_comments_that_end_hold_nothing() -> None:
    reader = EventReader(max_event=100)
    for _ in range(1000):
        assert reader.feed(b": keep-alive\n\n\n") == []
    assert not reader._buffer


def test_a_large_event_in_small_reads_costs_its_length_and_not_its_square() -> None:
    reader = EventReader(max_event=4_000_000)
    reader.feed(b"data: ")
    for _ in range(200_000):
        reader.feed(b"0123456789")
    assert len(reader.feed(b"\n\n")[0].data) == 2_000_000


@given(st.binary(max_size=12).map(lambda end: b"data: " + end), st.integers(1, 18))
def test_an_event_that_comes_alone_is_read_as_it_is_between_others(line: bytes, limit: int) -> None:
    whole = line + b"\n\n"

    def read(*pieces: bytes) -> list[ServerEvent] | str:
        reader, found = EventReader(limit), list[ServerEvent]()
        try:
            for piece in pieces:
                found += reader.feed(piece)
        except BadStream as problem:
            return str(problem)
        return found

    assert read(b":\n\n", whole) == read(b":\n\n" + whole) == read(b":\n\n", whole[:3], whole[3:])
