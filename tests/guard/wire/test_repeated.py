"""What is read by the shape of an earlier event reads as it does in full, or is left to be read in full."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.wire.dialect import Naming
from guard.wire.openai_answer import StreamReader
from guard.wire.repeated import LONGEST, MAX_TRIES, MOST_AROUND, Repeated
from guard.wire.sse import BadStream

BEFORE, AFTER = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":', b'},"finish_reason":null}]}'
END = b"\n\n"
PIECES = (
    '"',
    "\\",
    "\n",
    "\r",
    " ",
    "{",
    "}",
    ",",
    ":",
    "a",
    "é",
    "\0",
    "\\u00e9",
    "\\ud83d",
    '","content":"b',
    "null",
)


def event(string: bytes, end: bytes = END) -> bytes:
    return BEFORE + string + AFTER + end


def learnt(string: bytes = b'"once"') -> Repeated:
    repeated = Repeated()
    repeated.learn(event(string), string)
    return repeated


def read(*reads: bytes) -> tuple[list[bytes], list[str], int, str]:
    """What leaves a reader, what its channels then hold, what was dropped, and what was wrong."""
    reader = StreamReader(Naming("r", "demo", 1))
    sent: list[bytes] = []
    wrong = ""
    for data in reads:
        try:
            sent += [each.data for each in reader.feed(data)]
        except BadStream as bad:
            wrong = str(bad)
            break
        for channel in reader.touched:
            channel.settle()
        reader.touched.clear()
    return sent, [channel.text for channel in reader.channels.values()], reader.dropped, wrong


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_a_text_in_the_known_shape_is_what_json_says(text: str, ascii_only: bool) -> None:
    assert learnt().texts(event(json.dumps(text, ensure_ascii=ascii_only).encode())) == [text]


@pytest.mark.parametrize(
    "between",
    [b"null", b'""x', b'"a" ', b' "a"', b'"a"\n\n', b'"a","content":"b"', b'"\\', b'"', b"", b'"a\nb"', b'"\xff"'],
)
def test_what_is_no_string_alone_is_left_to_be_read_in_full(between: bytes) -> None:
    assert learnt().texts(event(between)) is None


def test_another_shape_is_left_to_be_read_in_full() -> None:
    assert learnt().texts(event(b'"a"').replace(b'"index":0', b'"index":1')) is None
    assert learnt().texts(event(b'"a"').replace(b"null", b'"stop"')) is None
    assert learnt().texts(event(b'"a"') + b": hello\n\n" + event(b'"b"')) is None


def test_several_events_of_one_read_are_read_each_by_itself() -> None:
    assert learnt().texts(event(b'"a"') + event(b'""') + event(b'"\\""')) == ["a", "", '"']
    assert learnt().texts(event(b'"a"') + event(b'"b","c"')) is None
    # The one loses its end to an escape and the other has one too many: together they would count right.
    assert learnt().texts(event(b'"a\\"') + event(b'"b","c"')) is None


def test_a_read_of_any_length_up_to_the_longest_is_taken() -> None:
    room = LONGEST - len(event(b'""'))
    assert learnt().texts(event(b'"%b"' % (b"a" * room))) == ["a" * room]
    assert learnt().texts(event(b'"%b"' % (b"a" * (room + 1)))) is None


def test_a_text_that_stands_in_its_event_twice_teaches_nothing() -> None:
    assert learnt(b'"x"').texts(event(b'"a"')) is None
    assert Repeated().texts(event(b'"a"')) is None


def test_what_is_long_around_its_text_is_not_remembered() -> None:
    for room, expected in ((MOST_AROUND, ["a"]), (MOST_AROUND + 1, None)):
        padding = b" " * (room - len(event(b"")))
        repeated = Repeated()
        repeated.learn(padding + event(b'"once"'), b'"once"')
        assert repeated.texts(padding + event(b'"a"')) == expected


def test_shapes_that_never_come_again_are_soon_not_learnt_any_more() -> None:
    repeated = Repeated()
    for _ in range(MAX_TRIES):
        assert repeated.learns
        repeated.learn(event(b'"a"'), b'"a"')
    assert not repeated.learns
    assert repeated.texts(event(b'"b"')) == ["b"]
    assert repeated.learns


_STRINGS = st.one_of(
    st.text(max_size=4).map(lambda text: json.dumps(text).encode()),
    st.lists(st.sampled_from(PIECES), max_size=5).map(lambda some: f'"{"".join(some)}"'.encode()),
    st.lists(st.sampled_from(PIECES), max_size=5).map(lambda some: "".join(some).encode()),
)
_EVENTS = st.builds(event, _STRINGS, st.sampled_from([END, END, b"\r\n\r\n", b"\n", b"\n\n\n", b""]))


@example([event(b'"a"'), event(b'"b"\n\n'), event(b'"c"')])
@example([event(b'"a"', b"\r\n\r\n"), event(b'"b"', b"\r\n\r\n"), event(b'"c"', b"\r")])
@example([event(b'"a"'), event(b'"b"')[:-1], b"\n", event(b'"c"')])
@example([event(b'"a"'), b"data: [DONE]\n\n", event(b'"b"')])
@given(st.lists(_EVENTS, max_size=6))
def test_a_stream_reads_the_same_whether_each_event_comes_alone_or_byte_by_byte(events: list[bytes]) -> None:
    stream = [event(b'"first"'), *events]
    assert read(*stream) == read(*[bytes([byte]) for byte in b"".join(stream)])


@given(st.lists(_EVENTS, max_size=6))
def test_a_stream_of_which_many_events_come_in_one_read_holds_the_same_texts(events: list[bytes]) -> None:
    sent, texts, dropped, wrong = read(event(b'"first"'), b"".join(events))
    slow = read(*[bytes([byte]) for byte in event(b'"first"') + b"".join(events)])
    assert wrong == slow[3]
    if not wrong:  # else what came before it in the same read is not sent either
        assert (sent, texts, dropped) == slow[:3]


def test_a_stream_is_read_by_its_shape_from_the_second_event_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StreamReader(Naming("r", "demo", 1))
    stream = [b": hello\n\n", event(b'"a"'), *(event(b'"b%d"' % n) for n in range(9))]
    for data in stream[:2]:
        reader.feed(data)
    monkeypatch.setattr(StreamReader, "_answer", None)
    for data in (*stream[2:6], b"".join(stream[6:])):
        reader.feed(data)
    assert [channel.text for channel in reader.channels.values()] == ["a" + "".join(f"b{n}" for n in range(9))]
