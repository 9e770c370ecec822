"""Answers of Anthropic messages: channels, marks, order of blocks, and what may never pass.

In one file, as the source is: streamed and whole answers are held to the same claims.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wire.anthropic_answer import MAX_BLOCKS, Seen, StreamReader, WholeReader
from guard.wire.dialect import Request
from guard.wire.sse import BadStream
from safeguards.exchange import ChannelId, ChannelKind
from tests.guard.wire.anthropic_streams import (
    FULL,
    LEAK,
    NAMING,
    begin,
    delta,
    ending,
    helper,
    raw_events,
    read,
    sse,
    start,
    stop,
    streaming,
    texts,
    whole,
)
from tests.parts.llama import LlamaServer
from tests.parts.scripted_model import SCRIPTS, script_text

TEXT = start(0, type="text", text="")


def _joined(data: bytes) -> bytes:
    return b"".join(event.data for event in read(data)[1])


def _types(data: bytes) -> list[str]:
    return [line[7:].decode() for line in data.split(b"\n") if line.startswith(b"event: ")]


def test_each_block_s_text_goes_into_its_own_channel() -> None:
    reader, _ = read(FULL)
    assert texts(reader) == {
        "reasoning[0]": "Let me see… yes",
        "content[0.1]": "Grüße 🌞",
        "tool_name[0.2]": "weather",
        "tool_arguments[0.2]": '{"city":"Berlin","days":[1,2]}',
        "tool_name[0.3]": "now",
    }
    assert all(channel.complete for channel in reader.channels.values())
    assert reader.done
    assert reader.finish() == []


def test_texts_of_one_kind_are_judged_apart_and_from_the_second_on_as_one() -> None:
    def block(index: int, text: str) -> bytes:
        return start(index, type="text", text=text) + delta(index, "text_delta", text="-") + stop(index)

    call = start(1, type="tool_use", name="f", input={}) + stop(1)
    expected = {"content[0]": "a-", "tool_name[0.1]": "f", "content[0.2]": "b-", "content[0.3]": "c-"}
    reader, events = read(begin() + block(0, "a") + call + block(2, "b") + block(3, "c") + ending())
    assert texts(reader) == expected | {"content[1]": "a-b-c-"}
    assert all(channel.complete for channel in reader.channels.values())
    joined = reader.channels[ChannelId(1, ChannelKind.CONTENT)]
    assert [dict(event.more)[joined] for event in events if joined in dict(event.more)] == [3, 4, 5, 6]
    use = {"type": "tool_use", "name": "f", "input": {}}
    blocks = [{"type": "text", "text": "a-"}, use, *({"type": "text", "text": text} for text in ("b-", "c-"))]
    once, event = whole({"content": blocks})
    assert texts(once) == expected | {"content[1]": "a-b-c-"}
    assert dict(event.more)[once.channels[ChannelId(1, ChannelKind.CONTENT)]] == 6


def test_an_end_that_comes_twice_completes_nothing_twice() -> None:
    reader = StreamReader(streaming(), NAMING)
    end = sse("message_delta", {"delta": {"stop_reason": "end_turn"}})
    reader.feed(begin() + TEXT + stop(0) + start(1, type="text", text="a") + stop(1) + end)
    reader.touched.clear()
    reader.feed(end + sse("message_stop"))
    assert reader.touched == []


def test_the_real_sdk_reads_what_the_reader_writes() -> None:
    message = helper(_joined(FULL))
    assert message.id == "msg_0a1b"
    assert message.model == "fable"
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    blocks: list[Any] = list(message.content)
    assert (blocks[0].thinking, blocks[0].signature, blocks[1].text) == ("Let me see… yes", "", "Grüße 🌞")
    assert (blocks[2].id, blocks[2].input) == ("toolu_0a1b_2", {"city": "Berlin", "days": [1, 2]})
    assert blocks[3].input == {}
    assert len(raw_events(_joined(FULL))) == len(_types(_joined(FULL)))


def test_nothing_of_the_upstream_s_own_words_passes() -> None:
    assert LEAK.encode() not in _joined(FULL)
    body = {"id": LEAK, "type": "message", "role": LEAK, "model": LEAK, "stop_reason": LEAK, "stop_sequence": LEAK}
    content = [
        {"type": "thinking", "thinking": "t", "signature": LEAK},
        {"type": "redacted_thinking", "data": LEAK},
        {"type": "text", "text": "x", "citations": [{"cited_text": LEAK}], "surprise": LEAK},
        {"type": "tool_use", "id": LEAK, "name": "f", "input": {"a": "\u00e9"}, "caller": {"type": LEAK}},
    ]
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": LEAK}
    reader, event = whole(body | {"content": content, "usage": usage, "container": {"id": LEAK}, "extra": LEAK})
    assert LEAK.encode() not in event.data
    answer = json.loads(event.data)
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    assert answer["content"][2] == {"type": "tool_use", "id": "toolu_0a1b_2", "name": "f", "input": {"a": "é"}}
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    # the redacted block, the two unknown keys, the unknown stop reason, the foreign stop sequence
    assert reader.dropped == 5
    assert {"tool_arguments[0.2]": '{"a":"é"}', "content[0.1]": "x"}.items() <= texts(reader).items()


def test_every_event_is_marked_with_the_text_it_carries() -> None:
    reader, events = read(FULL)
    carried: dict[ChannelId, int] = {}
    for event in events:
        for channel, end in [(event.channel, event.end), *event.more]:
            if channel is not None:
                assert carried.get(channel.id, 0) < end
                carried[channel.id] = end
        if b"text_delta" in event.data:
            assert event.channel is reader.channels[ChannelId(0, ChannelKind.CONTENT, 1)]
        if b'"name"' in event.data:
            assert event.channel is not None
            assert event.channel.id.kind is ChannelKind.TOOL_NAME
    assert carried == {channel.id: channel.end for channel in reader.channels.values() if channel.end}
    _, event = whole(
        {"content": [{"type": "text", "text": "abc"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]}
    )
    marks = [(event.channel, event.end), *event.more]
    assert [(str(channel.id), end) for channel, end in marks if channel] == [
        ("content[0]", 3),
        ("tool_name[0.1]", 1),
        ("tool_arguments[0.1]", 7),
    ]


def test_touched_names_channels_with_fresh_text_or_completeness_once() -> None:
    reader, _ = read(begin() + TEXT + delta(0, "text_delta", text="a") + delta(0, "text_delta", text="b"))
    (channel,) = reader.touched
    assert (channel.fresh, channel.complete) == ("ab", False)
    channel.settle()
    reader.touched.clear()
    reader.feed(stop(0))
    assert reader.touched == [channel]
    assert (channel.fresh, channel.complete) == ("", True)


def test_blocks_that_stop_late_are_stopped_when_the_next_begins() -> None:
    late = start(1, type="tool_use", id="c", name="f")
    late += delta(1, "input_json_delta", partial_json="{}")
    late += delta(0, "signature_delta", signature="") + stop(0) + stop(1)
    data = _joined(begin() + TEXT + delta(0, "text_delta", text="a") + late + ending())
    kinds = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert _types(data) == ["message_start", *kinds, *kinds, "message_delta", "message_stop"]
    assert helper(data).content[1].type == "tool_use"
    with pytest.raises(BadStream):
        read(begin() + TEXT + late + delta(0, "text_delta", text="late"))


def test_a_block_that_begins_again_is_the_same_block() -> None:
    again = begin() + TEXT + delta(0, "text_delta", text="a") + TEXT + delta(0, "text_delta", text="b") + stop(0)
    reader, _ = read(again + ending())
    assert texts(reader) == {"content[0]": "ab"}
    for other in (start(0, type="thinking", thinking=""), start(0, type="text", text="x")):
        with pytest.raises(BadStream, match="twice"):
            read(begin() + TEXT + other)


def test_text_that_comes_with_a_block_s_start_is_text_like_any_other() -> None:
    data = begin() + start(0, type="text", text="Hello") + delta(0, "text_delta", text="!") + stop(0)
    reader, events = read(data + start(1, type="tool_use", name="f", input={"a": "b"}) + stop(1) + ending())
    assert texts(reader) == {"content[0]": "Hello!", "tool_name[0.1]": "f", "tool_arguments[0.1]": '{"a":"b"}'}
    message: Any = helper(b"".join(event.data for event in events))
    assert (message.content[0].text, message.content[1].input) == ("Hello!", {"a": "b"})
    with pytest.raises(BadStream):
        read(
            begin()
            + start(0, type="tool_use", name="f", input={"a": 1})
            + delta(0, "input_json_delta", partial_json="{}")
        )


def test_a_redacted_block_is_left_out_and_the_others_are_numbered_without_it() -> None:
    data = begin() + start(0, type="redacted_thinking", data=LEAK) + stop(0)
    data += start(1, type="text", text="") + delta(1, "text_delta", text="a") + stop(1) + ending()
    reader, _ = read(data)
    assert texts(reader) == {"content[0]": "a"}
    assert reader.dropped == 1
    assert LEAK.encode() not in _joined(data)


def test_a_stop_sequence_is_named_only_if_the_caller_sent_it() -> None:
    data = begin() + ending("stop_sequence", "END")
    assert b'"stop_sequence":"END"' in read(data, "END")[1][1].data
    reader, events = read(data, "STOP")
    assert b'"stop_sequence":null' in events[1].data
    assert reader.dropped == 1


def test_cached_tokens_count_as_input_and_are_not_told_apart() -> None:
    reader, events = read(FULL)
    assert (reader.prompt_tokens, reader.completion_tokens) == (22, 7)
    assert b'"usage":{"input_tokens":22,"output_tokens":1}' in events[0].data
    assert b'"usage":{"input_tokens":22,"output_tokens":7}' in events[-2].data
    assert b"cache" not in b"".join(event.data for event in events)
    silent, _ = read(begin())
    assert silent.prompt_tokens is None


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        begin() + begin(),
        begin() + sse("error", {"error": {"type": "overloaded_error", "message": LEAK}}),
        sse("error", {"error": {}}),
        begin() + sse("surprise"),
        begin() + b"data: {}\n\n",
        begin() + b"event: content_block_stop\ndata: {\n\n",
        begin() + b'event: content_block_stop\ndata: {"type":"message_stop"}\n\n',
        begin() + delta(0, "text_delta", text="x"),
        begin() + TEXT + delta(1, "text_delta", text="x"),
        begin() + TEXT + delta(0, "thinking_delta", thinking="x"),
        begin() + TEXT + delta(0, "surprise_delta", text="x"),
        begin() + TEXT + delta(0, "text_delta"),
        begin() + TEXT + delta(0, "text_delta", text=3),
        begin() + TEXT + stop(0) + delta(0, "text_delta", text="x"),
        begin() + stop(0),
        begin() + TEXT + ending(),
        begin() + sse("message_stop"),
        begin() + ending() + ending(),
        begin() + start(0, type="server_tool_use", name="web_search"),
        begin() + start(0, type="tool_use", name=""),
        begin() + start(-1, type="text", text=""),
        begin() + b"".join(start(index, type="text", text="") for index in range(MAX_BLOCKS + 1)),
        begin(input_tokens=-1),
        begin(input_tokens=10**12),
        begin() + sse("message_delta", {"delta": {"stop_reason": "end_turn"}}) + TEXT,
    ],
)
def test_what_the_dialect_does_not_have_ends_the_stream(data: bytes) -> None:
    with pytest.raises(BadStream) as caught:
        read(data)
    assert LEAK not in str(caught.value)


def test_a_stream_that_ends_early_is_no_answer() -> None:
    for data in (b"", begin(), begin() + TEXT, FULL[: FULL.rindex(b"event:")]):
        reader, _ = read(data)
        with pytest.raises(BadStream):
            reader.finish()


def test_openai_s_terminator_after_the_end_is_ignored_and_nothing_else_is() -> None:
    reader, events = read(begin() + ending() + b"data: [DONE]\n\n")
    assert reader.done
    assert len(events) == 3
    with pytest.raises(BadStream):
        reader.feed(sse("ping"))


@pytest.mark.parametrize(
    "body",
    [
        {"type": "error", "error": {"message": LEAK}},
        {"content": [{"type": "server_tool_use", "name": "x"}]},
        {"content": [{"type": "tool_use", "input": {}}]},
        {"content": [{"type": "tool_use", "name": "f", "input": [1]}]},
        {"content": "text"},
        {"content": [{"type": "text", "text": ""}] * (MAX_BLOCKS + 1)},
        {},
        [],
    ],
)
def test_a_whole_answer_that_is_no_message_is_refused(body: object) -> None:
    with pytest.raises(BadStream):
        whole(body)


def test_a_whole_answer_is_bounded() -> None:
    reader = WholeReader(Request("fable", False, (), {}), NAMING, max_body=10)
    reader.feed(b"x" * 10)
    with pytest.raises(BadStream):
        reader.feed(b"x")


def test_deep_nesting_in_a_tool_s_input_is_a_bad_stream_at_worst() -> None:
    for depth in (10, 600, 980, 1000, 5000, 200_000):
        nested = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        data = b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
        data += b'{"type":"tool_use","name":"f","input":' + nested + b"}}\n\n"
        try:
            reader, _ = read(begin() + data)
        except BadStream:
            assert depth > 600
        else:
            assert texts(reader)["tool_arguments[0]"].encode() == nested


@given(st.lists(st.integers(0, len(FULL)), max_size=8))
def test_any_cut_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    reader = StreamReader(streaming(), NAMING)
    at = 0
    events = []
    for cut in [*sorted(cuts), len(FULL)]:
        events += reader.feed(FULL[at:cut])
        at = cut
    assert [(event.data, event.end, event.seen) for event in events] == [
        (event.data, event.end, event.seen) for event in read(FULL)[1]
    ]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_TYPE = st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking", "x"])
_DELTA_TYPE = st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "signature_delta"])
_EVENT = st.one_of(
    st.just(begin(input_tokens=1)),
    st.just(ending()),
    st.just(sse("ping")),
    st.builds(lambda i, t, x: start(i, type=t, name="f", text=x), st.integers(0, 3), _TYPE, st.sampled_from(["", "a"])),
    st.builds(
        lambda i, t, x: delta(i, t, text=x, thinking=x, partial_json=x), st.integers(0, 3), _DELTA_TYPE, st.text()
    ),
    st.builds(stop, st.integers(0, 3)),
    st.builds(
        lambda name, value: f"event: {name}\ndata: {json.dumps(value)}\n\n".encode(),
        st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta"]),
        _JSON,
    ),
    st.binary(max_size=30),
)


@settings(max_examples=300)
@given(st.lists(_EVENT, max_size=14))
def test_feeding_raises_nothing_but_bad_stream_and_what_passes_is_balanced(pieces: list[bytes]) -> None:
    reader = StreamReader(streaming(), NAMING)
    events = []
    for piece in [begin(), *pieces]:
        try:
            events += reader.feed(piece)
        except BadStream:
            break
    opened: int | None = None
    count = 0
    for line in b"".join(event.data for event in events).split(b"\n"):
        value = json.loads(line[6:]) if line.startswith(b"data: ") else {}
        match value.get("type"):
            case "content_block_start":
                assert (opened, value["index"]) == (None, count)
                opened, count = count, count + 1
            case "content_block_delta":
                assert value["index"] == opened
            case "content_block_stop":
                assert value["index"] == opened
                opened = None
    last = events[-1].seen if events else None
    assert not isinstance(last, Seen) or last.open == opened


@given(st.binary() | _JSON.map(lambda value: json.dumps({"content": value}).encode()))
def test_a_whole_body_raises_nothing_but_bad_stream(body: bytes) -> None:
    reader = WholeReader(Request("fable", False, (), {}), NAMING)
    reader.feed(body)
    try:
        (event,) = reader.finish()
    except BadStream:
        return
    assert json.loads(event.data)["id"] == "msg_0a1b"


def test_a_real_server_s_answers_are_read_streamed_and_whole(tmp_path: Path) -> None:
    with LlamaServer(tmp_path) as server:
        url = f"{server.url}/v1/messages"  # a connection each: it closes them after a stream
        for script in ("hello", "unicode", "marker"):
            ask = {"max_tokens": 60, "messages": [{"role": "user", "content": f"script:{script}"}]}
            streamed = httpx.post(url, json={**ask, "stream": True, "stop_sequences": [" and"]}, timeout=60).content
            reader, events = read(streamed, " and")
            assert reader.finish() == []
            text = script_text(SCRIPTS[script]).split(" and")[0]
            assert texts(reader) == {"content[0]": text}
            assert reader.dropped == 0
            message: Any = helper(b"".join(event.data for event in events))
            assert message.content[0].text == text
            assert message.stop_sequence == (" and" if script == "marker" else None)
            assert message.usage.input_tokens == reader.prompt_tokens != 0
            once, event = whole(httpx.post(url, json=ask, timeout=60).json())
            assert texts(once) == {"content[0]": script_text(SCRIPTS[script])}
            assert once.dropped == 0
            assert json.loads(event.data)["stop_reason"] == "end_turn"
