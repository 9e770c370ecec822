"""Answers of text completions: every text in its channel, nothing else of the upstream's words, any cut the same."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wire.dialect import AnswerReader, Event
from guard.wire.openai_completions_answer import MAX_CHOICES, Seen, StreamReader, WholeReader
from guard.wire.sse import BadStream
from guard.wire.typed_answer import MAX_BODY
from safeguards.exchange import ChannelId, ChannelKind
from tests.guard.wire.between import NAMING, cut, fed

DONE = b"data: [DONE]\n\n"


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def chunk(text: str | None, *, index: int = 0, finish: str | None = None, **more: object) -> bytes:
    return event({"choices": [{"index": index, "text": text, "finish_reason": finish, **more}]})


def texts(reader: AnswerReader) -> dict[int, str]:
    return {channel.id.choice: channel.text for channel in reader.channels.values()}


def shown(events: list[Event]) -> dict[int, str]:
    """What a caller reads, by choice."""
    found: dict[int, str] = {}
    for each in events:
        for line in each.data.decode().splitlines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
    return found


def read(*pieces: bytes, choices: int = 1) -> tuple[StreamReader, list[Event]]:
    reader = StreamReader(NAMING, choices)
    return reader, fed(reader, *pieces)


CHOICE = st.fixed_dictionaries(
    {"index": st.integers(0, 2), "text": st.none() | st.text(max_size=6)},
    optional={"finish_reason": st.none() | st.just("length"), "logprobs": st.none(), "odd": st.text(max_size=3)},
)
CHUNK = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=3)},
    optional={"usage": st.none() | st.just({"prompt_tokens": 3}), "surprise": st.text(max_size=3)},
)


@settings(deadline=None)
@given(st.lists(CHUNK, max_size=6), st.lists(st.integers(0, 4000), max_size=6))
def test_any_cut_gives_the_same_answer_or_the_same_refusal(chunks: list[Any], places: list[int]) -> None:
    data = b"".join(map(event, chunks)) + DONE
    results: list[object] = []
    for pieces in ([data], cut(data, places)):
        try:
            reader, events = read(*pieces, choices=3)
        except BadStream as bad:
            results.append(str(bad))
            continue
        assert shown(events) == texts(reader)
        assert all(channel.complete for channel in reader.channels.values())
        results.append((texts(reader), reader.dropped, b"".join(each.data for each in events)))
    assert results[0] == results[1]


@settings(deadline=None)
@given(st.lists(CHUNK, max_size=6))
def test_an_event_is_marked_for_all_the_text_it_carries(chunks: list[Any]) -> None:
    try:
        _, events = read(b"".join(map(event, chunks)) + DONE, choices=3)
    except BadStream:
        return
    before: dict[int, int] = {}
    for each in events:
        marks = [(each.channel, each.end), *each.more]
        for index, text in shown([each]).items():
            before[index] = before.get(index, 0) + len(text)
            assert max(end for channel, end in marks if channel and channel.id.choice == index) == before[index]


SCRAPS = st.sampled_from(
    [b"data: ", b"\n", b"\r", b"{", b"}", DONE, b"null", chunk("x"), b'{"choices":[', b"]", b"\xff", b"event: x\n"]
)


@given(st.binary(max_size=200) | st.lists(SCRAPS).map(b"".join))
def test_whatever_comes_only_a_bad_stream_is_raised(data: bytes) -> None:
    for reader in (StreamReader(NAMING, 2), WholeReader(NAMING, 2)):
        with suppress(BadStream):
            fed(reader, data)


@pytest.mark.parametrize("text", ["a\u2028b", "\u2029", "\x85x", "\x0b\x0c\x1c\x1d\x1e", "“quoted” \u2027\u202a\r\n\n"])
def test_a_line_end_of_any_kind_in_the_text_is_none_in_the_stream(text: str) -> None:
    _, events = read(chunk(text) + chunk(text, finish="stop") + DONE)
    assert shown(events) == {0: text + text}
    assert [len(each.data.decode().splitlines()) for each in events] == [2, 2, 2]


def test_nothing_of_the_upstreams_own_words_passes() -> None:
    words = {
        "id": "WORD",
        "object": "WORD",
        "created": 7,
        "model": "WORD",
        "system_fingerprint": "WORD",
        "service_tier": "WORD",
        "timings": {"WORD": 1},
        "metrics": {"WORD": "WORD"},
        "kv_transfer_params": {"WORD": "WORD"},
        "ec_transfer_params": {"WORD": "WORD"},
        "metadata": {"WORD": "WORD"},
        "sglext": {"WORD": "WORD"},
        "error": None,
    }
    choice = {
        "index": 0,
        "text": "kept",
        "finish_reason": "stop",
        "logprobs": {"tokens": ["WORD"]},
        "stop_reason": "WORD",
        "matched_stop": "WORD",
        "token_ids": [1],
        "prompt_token_ids": [1],
        "prompt_logprobs": [{"1": {"decoded_token": "WORD"}}],
        "hidden_states": ["WORD"],
        "routed_experts": "WORD",
        "weight_versions": ["WORD"],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": {"WORD": 1}}
    known = {**words, "choices": [choice], "usage": usage}
    odd = {**known, "WORD": "WORD", "choices": [{**choice, "WORD": {"WORD": "WORD"}}]}
    for content, dropped in ((known, 0), (odd, 2)):
        stream, events = read(event(content) + DONE)
        whole = WholeReader(NAMING, 1)
        events += fed(whole, json.dumps(content).encode())
        written = b"".join(each.data for each in events)
        assert b"WORD" not in written
        assert b"kept" in written
        assert stream.dropped == whole.dropped == dropped
        assert stream.prompt_tokens == whole.prompt_tokens == 1


@pytest.mark.parametrize(
    "broken",
    [
        chunk("x", index=2),
        chunk("x", index=-1),
        chunk("x", finish="stop") + chunk("y"),
        chunk("x", finish="stop") + chunk("", finish="stop"),
        chunk("x", finish="abort"),
        chunk("x", finish="error"),
        event({"error": {"message": "up"}}),
        event({"choices": [], "error": "up"}),
        event([1]),
        event({"choices": [{"index": 0, "text": ["x"]}]}),
        event({"choices": [{"index": 0, "text": "x", "finish_reason": 7}]}),
        event({"choices": [], "usage": {"prompt_tokens": 10**12}}),
        event({"choices": [], "usage": {"prompt_tokens": "3"}}),
        b'data: {"choices":[{"index":0,"text":"\\ud800"}]}\n\n',
        b"event: completion\ndata: {}\n\n",
        b"data: {\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"choices":[],"x":' + b"[" * 100_000 + b"\n\n",
        DONE + chunk("x"),
    ],
)
def test_what_is_not_an_answer_of_this_dialect_ends_it(broken: bytes) -> None:
    with pytest.raises(BadStream):
        read(broken + DONE, choices=2)


def test_a_stream_without_its_terminator_is_no_answer() -> None:
    with pytest.raises(BadStream, match="before its terminator"):
        read(chunk("x", finish="stop"))


def test_a_finish_reason_of_the_servers_own_becomes_a_plain_stop() -> None:
    reader, events = read(chunk("x", finish="eos_token") + DONE)
    assert reader.dropped == 1
    assert b'"finish_reason":"stop"' in events[0].data
    assert b"eos_token" not in events[0].data


def test_an_empty_event_before_the_first_is_dropped_and_counted() -> None:
    reader, events = read(b"data: null\n\n" + chunk("x") + DONE)
    assert reader.dropped == 1
    assert [each.data for each in events] == [events[0].data, DONE]


def test_each_event_tells_what_the_caller_still_waits_for() -> None:
    _, events = read(chunk("a", index=1), chunk("b", index=1, finish="stop"), chunk("c"), DONE, choices=3)
    waiting = [each.seen.unfinished for each in events if isinstance(each.seen, Seen)]
    assert waiting == [(0, 1, 2), (0, 2), (0, 2), ()]


def test_a_batch_tells_which_channels_have_fresh_text() -> None:
    reader = StreamReader(NAMING, 3)
    reader.feed(chunk("a", index=1) + chunk("b", index=1) + chunk("c", index=2, finish="stop"))
    assert [str(channel.id) for channel in reader.touched] == ["content[1]", "content[2]"]
    assert [channel.fresh for channel in reader.touched] == ["ab", "c"]
    assert [channel.complete for channel in reader.touched] == [False, True]


def test_a_choice_that_ends_without_text_is_a_complete_empty_channel() -> None:
    reader, events = read(chunk("", finish="length") + DONE)
    channel = reader.channels[ChannelId(0, ChannelKind.CONTENT)]
    assert channel.complete
    assert (events[0].channel, events[0].end) == (channel, 0)


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [{"index": 0, "text": "a"}, {"index": 0, "text": "b"}],
        [{"index": 2, "text": "a"}],
        [{"index": -1, "text": "a"}],
        [{"index": 0}],
        [{"index": 0, "text": None}],
        [{"index": 0, "text": "a", "finish_reason": "abort"}],
    ],
)
def test_a_whole_answer_that_is_not_one_is_refused(choices: list[object]) -> None:
    with pytest.raises(BadStream):
        fed(WholeReader(NAMING, 2), json.dumps({"choices": choices}).encode())


def test_a_whole_answer_is_bounded() -> None:
    reader = WholeReader(NAMING, 1)
    reader.feed(b" " * MAX_BODY)
    with pytest.raises(BadStream, match="larger"):
        reader.feed(b" ")


@given(st.lists(st.text(), min_size=1, max_size=MAX_CHOICES), st.lists(st.integers(0, 9999), max_size=4))
def test_a_whole_answers_texts_are_its_channels_wherever_it_is_cut(given_texts: list[str], places: list[int]) -> None:
    choices = [{"index": index, "text": text, "finish_reason": "stop"} for index, text in enumerate(given_texts)]
    reader = WholeReader(NAMING, len(choices))
    (whole,) = fed(reader, *cut(json.dumps({"choices": choices[::-1]}).encode(), places))
    assert texts(reader) == dict(enumerate(given_texts))
    assert [each["text"] for each in json.loads(whole.data)["choices"]] == given_texts
    marks = dict([(whole.channel, whole.end), *whole.more])
    assert marks == {channel: len(channel.text) for channel in reader.channels.values()}
