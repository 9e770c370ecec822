"""Answers are written anew from what was understood: the model's text in watched channels, all else the guard's own.

It is one file because every way in which an answer may be odd is held against the same few parts.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wire.dialect import Event, Naming
from guard.wire.openai_answer import MAX_CALLS, MAX_CHOICES, StreamReader, WholeReader
from guard.wire.sse import BadStream
from safeguards.exchange import ChannelId, ChannelKind

NAMING: Final = Naming("0123abcd", "demo", 1_700_000_000)
HEAD: Final = {"id": "chatcmpl-0123abcd", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "demo"}
LEAK: Final = "LEAK-OF-THE-UPSTREAM"
DONE: Final = b"data: [DONE]\n\n"


def sse(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def chunk(delta: object, index: int = 0, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": {"content": [{"token": LEAK}]}}
    return {
        "id": LEAK,
        "object": LEAK,
        "created": 1,
        "model": LEAK,
        "system_fingerprint": LEAK,
        "choices": [choice],
    } | more


def parse(events: list[Event]) -> list[Any]:
    """Read events as a caller does."""
    parsed = []
    for event in events:
        assert event.data.startswith(b"data: ")
        assert event.data.endswith(b"\n\n")
        assert event.data.count(b"\n") == 2
        assert b"\r" not in event.data
        inner = event.data[6:-2]
        parsed.append("[DONE]" if inner == b"[DONE]" else json.loads(inner))
    return parsed


def texts(reader: StreamReader | WholeReader) -> dict[str, str]:
    return {str(channel.id): channel.text for channel in reader.channels.values()}


def feed(*chunks: object) -> tuple[StreamReader, list[Any]]:
    reader = StreamReader(NAMING)
    return reader, parse(reader.feed(sse(*chunks)))


def whole(answer: object) -> tuple[WholeReader, Any, Event]:
    reader = WholeReader(NAMING)
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    for byte in raw[:20]:
        assert reader.feed(bytes([byte])) == []
    reader.feed(raw[20:])
    (event,) = reader.finish()
    return reader, json.loads(event.data), event


# Streams


def test_a_plain_text_chunk_is_written_anew() -> None:
    reader, (event,) = feed(chunk({"content": 'say "hi"\n\u2028'}))
    assert event == HEAD | {"choices": [{"index": 0, "delta": {"content": 'say "hi"\n\u2028'}, "finish_reason": None}]}
    assert texts(reader) == {"content[0]": 'say "hi"\n\u2028'}
    assert [channel.id for channel in reader.touched] == [ChannelId(0, ChannelKind.CONTENT)]


def test_the_role_is_our_word() -> None:
    reader, (event,) = feed(chunk({"role": LEAK, "content": ""}))
    assert event["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert reader.dropped == 0


def test_every_text_goes_into_its_own_channel() -> None:
    call = {"index": 2, "id": LEAK, "type": LEAK, "function": {"name": "f", "arguments": "{"}}
    reader, events = feed(
        chunk({"content": "c", "refusal": "r", "reasoning_content": "t", "tool_calls": [call]}, index=1),
        chunk({"tool_calls": [{"index": 2, "function": {"arguments": "}"}}]}, index=1),
    )
    assert texts(reader) == {
        "content[1]": "c",
        "refusal[1]": "r",
        "reasoning[1]": "t",
        "tool_name[1.2]": "f",
        "tool_arguments[1.2]": "{}",
    }
    assert events[0]["choices"][0]["delta"]["tool_calls"] == [
        {"index": 2, "id": "call_0123abcd_1_2", "type": "function", "function": {"name": "f", "arguments": "{"}}
    ]
    assert events[1]["choices"][0]["delta"]["tool_calls"] == [{"index": 2, "function": {"arguments": "}"}}]


def test_the_id_of_a_call_is_said_once_also_without_a_name() -> None:
    _, events = feed(
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "a"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "b"}}]}),
    )
    assert ["id" in event["choices"][0]["delta"]["tool_calls"][0] for event in events] == [True, False]


def test_an_event_is_marked_with_all_of_its_texts() -> None:
    reader = StreamReader(NAMING)
    (event,) = reader.feed(sse(chunk({"content": "abc", "refusal": "de"})))
    marks = {str(channel.id): end for channel, end in ((event.channel, event.end), *event.more) if channel}
    assert marks == {"content[0]": 3, "refusal[0]": 2}


def test_the_end_of_a_choice_cannot_overtake_its_text() -> None:
    reader = StreamReader(NAMING)
    (event,) = reader.feed(sse(chunk({"content": "abc"}), chunk({"content": "x"}, index=1), chunk({}, finish="stop")))[
        2:
    ]
    assert event.channel is reader.channels[ChannelId(0, ChannelKind.CONTENT)]
    assert event.end == 3
    assert not event.more
    assert event.channel.complete
    assert not reader.channels[ChannelId(1, ChannelKind.CONTENT)].complete


def test_choices_may_interleave() -> None:
    reader, _ = feed(
        *(chunk({"content": letter}, index=index % 3) for index, letter in enumerate("abcdef")),
        chunk({}, index=1, finish="length"),
        chunk({"content": "g"}, index=0),
    )
    assert texts(reader) == {"content[0]": "adg", "content[1]": "be", "content[2]": "cf"}


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_a_known_finish_reason_passes(reason: str) -> None:
    reader, (event,) = feed(chunk({}, finish=reason))
    assert event["choices"][0]["finish_reason"] == reason
    assert reader.dropped == 0


@pytest.mark.parametrize("reason", ["eos", LEAK, "function_call", ""])
def test_an_unknown_finish_reason_becomes_stop_and_is_counted(reason: str) -> None:
    reader, (event,) = feed(chunk({}, finish=reason))
    assert event["choices"][0]["finish_reason"] == "stop"
    assert reader.dropped == 1


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_upstream_gave_up_is_not_whole(reason: str) -> None:
    with pytest.raises(BadStream, match="gave the answer up"):
        feed(chunk({"content": "half of it"}, finish=reason))
    whole = WholeReader(NAMING)
    choice = {"index": 0, "message": {"content": "half of it"}, "finish_reason": reason}
    whole.feed(json.dumps({"choices": [choice]}).encode())
    with pytest.raises(BadStream, match="gave the answer up"):
        whole.finish()


def test_reasoning_keeps_the_first_of_its_two_names() -> None:
    # Else "FORBIDDEN-" and "MARKER" under one name, with "x" under the other between, would be judged as one text.
    reader, events = feed(
        chunk({"reasoning": "FORBIDDEN-"}), chunk({"reasoning_content": "x"}), chunk({"reasoning": "MARKER"})
    )
    assert [event["choices"][0]["delta"] for event in events] == [
        {"reasoning": "FORBIDDEN-"},
        {"reasoning": "x"},
        {"reasoning": "MARKER"},
    ]
    assert texts(reader) == {"reasoning[0]": "FORBIDDEN-xMARKER"}


@pytest.mark.parametrize(
    ("delta", "written"),
    [
        ({"reasoning": "a", "reasoning_content": "a"}, "a"),
        ({"reasoning": "", "reasoning_content": "a"}, "a"),
        ({"reasoning": "a", "reasoning_content": ""}, "a"),
        ({"reasoning": None, "reasoning_content": ""}, ""),
    ],
)
def test_reasoning_under_both_names_at_once_is_one_text(delta: dict[str, Any], written: str) -> None:
    reader, (event,) = feed(chunk(delta))
    assert event["choices"][0]["delta"] == {"reasoning_content": written}
    assert texts(reader) == {"reasoning[0]": written}
    assert reader.dropped == (None not in delta.values())


def test_usage_passes_as_three_numbers() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 99, "prompt_tokens_details": {"x": LEAK}}
    reader, (event,) = feed({"choices": [], "usage": usage})
    assert event == HEAD | {
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }
    assert (reader.prompt_tokens, reader.completion_tokens) == (7, 5)


@pytest.mark.parametrize("count", [-1, 10**9 + 1, 10**40, 1.5, "5", None, True])
def test_usage_that_is_no_count_is_refused(count: object) -> None:
    with pytest.raises(BadStream):
        feed({"choices": [], "usage": {"prompt_tokens": count}})


@pytest.mark.parametrize(
    ("unknown", "dropped"),
    [
        ({"surprise": LEAK}, 1),
        ({"surprise": {"deep": LEAK}, "other": [LEAK]}, 2),
        ({"choices": [{"index": 0, "delta": {"content": "a"}, "surprise": LEAK}]}, 1),
        ({"choices": [{"index": 0, "delta": {"content": "a", "thinking": LEAK, "x": 1}}]}, 2),
        ({"choices": [{"delta": {"tool_calls": [{"index": 0, "x": LEAK, "function": {"name": "a", "x": LEAK}}]}}]}, 2),
        ({"choices": [{"delta": {"content": "a"}, "message": {"content": LEAK}}]}, 1),
        ({"surprise": LEAK, "choices": [{"delta": {"content": "a", "annotations": [LEAK]}, "logprobs": LEAK}]}, 1),
    ],
)
def test_unknown_fields_are_dropped_and_counted_at_every_depth(unknown: dict[str, object], dropped: int) -> None:
    reader = StreamReader(NAMING)
    events = reader.feed(sse(chunk({"content": "a"}) | unknown))
    assert LEAK.encode() not in events[0].data
    assert reader.dropped == dropped
    assert parse(events)[0]["choices"][0]["delta"]


KNOWN: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "timings", "metadata")
RARE: Final = ("prompt_logprobs", "prompt_token_ids", "kv_transfer_params", "sglext")


@pytest.mark.parametrize("key", KNOWN + RARE)
@pytest.mark.parametrize("value", [LEAK, {"a": LEAK}, [LEAK], None, 5])
def test_side_fields_of_real_servers_never_pass(key: str, value: object) -> None:
    reader, (event,) = feed(chunk({"content": "a"}) | {key: value})
    assert event == HEAD | {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    assert reader.dropped == 0


@pytest.mark.parametrize("key", ["logprobs", "stop_reason", "matched_stop", "token_ids"])
def test_side_fields_of_choices_never_pass(key: str) -> None:
    choice = {"index": 0, "delta": {"content": "a"}, key: {"token": LEAK}}
    _, (event,) = feed({"choices": [choice]})
    assert set(event["choices"][0]) == {"index", "delta", "finish_reason"}


@pytest.mark.parametrize("more", ["", ',"surprise":1'])
@pytest.mark.parametrize(
    ("named", "passes"),
    [
        (b'"served"', True),
        (b'"s\\u0065rved"', True),
        (b'"Served"', False),
        (b"null", False),
        (b'["served"]', False),
        (b'"\xff"', False),
        (b"[" * 900 + b"]" * 900, False),
    ],
)
def test_an_upstream_that_must_name_its_model_names_it_in_every_event(named: bytes, passes: bool, more: str) -> None:
    reader = StreamReader(Naming("0123abcd", "demo", 1_700_000_000, expect_model="served"))
    raw = b'data: {"model":' + named + more.encode() + b',"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    if passes:
        (event,) = parse(reader.feed(raw))
        assert event["model"] == "demo"
    else:
        with pytest.raises(BadStream):
            reader.feed(raw)
    with pytest.raises(BadStream, match="does not name"):
        reader.feed(sse({"choices": []}))


@pytest.mark.parametrize("error", [{"message": LEAK}, LEAK, 0, [], {}])
@pytest.mark.parametrize("more", [{}, {"surprise": 1}])
def test_an_error_of_the_upstream_ends_the_stream_without_its_words(error: object, more: dict[str, object]) -> None:
    with pytest.raises(BadStream, match="reports an error") as bad:
        feed({"error": error} | more)
    assert LEAK not in str(bad.value)


@pytest.mark.parametrize("more", [{}, {"surprise": 1}])
def test_an_error_that_is_null_is_none(more: dict[str, object]) -> None:
    _, (event,) = feed(chunk({"content": "a"}) | {"error": None} | more)
    assert event["choices"][0]["delta"] == {"content": "a"}


def test_the_terminator_completes_every_channel() -> None:
    reader = StreamReader(NAMING)
    events = reader.feed(sse(chunk({"content": "a"}), chunk({"refusal": "b"}, index=3)) + DONE)
    assert events[-1].data == DONE
    assert reader.done
    assert all(channel.complete for channel in reader.channels.values())
    assert reader.finish() == []


def test_a_stream_without_its_terminator_is_no_answer() -> None:
    reader, _ = feed(chunk({"content": "a"}, finish="stop"))
    with pytest.raises(BadStream, match="terminator"):
        reader.finish()


@pytest.mark.parametrize("after", [sse(chunk({"content": "a"})), DONE, b"data: x\n\n"])
@pytest.mark.parametrize("together", [True, False])
def test_nothing_may_follow_the_terminator(after: bytes, together: bool) -> None:
    reader = StreamReader(NAMING)
    if together:
        with pytest.raises(BadStream, match="after the end"):
            reader.feed(DONE + after)
    else:
        reader.feed(DONE)
        with pytest.raises(BadStream, match="after the end"):
            reader.feed(after)


@pytest.mark.parametrize(
    "delta",
    [{"content": "b"}, {"refusal": "b", "content": "c"}, {"role": "x", "content": "b"}],
)
def test_text_after_the_end_of_its_choice_is_refused(delta: dict[str, str]) -> None:
    reader, _ = feed(chunk({"content": "a", "refusal": "a"}), chunk({}, finish="stop"))
    with pytest.raises(BadStream, match="after the end"):
        reader.feed(sse(chunk(delta)))


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"",
        b" [DONE]x",
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[5]}',
        b'{"choices":[[]]}',
        b'{"choices":[{"index":-1,"delta":{"content":"a"}}]}',
        b'{"choices":[{"index":8,"delta":{"content":"a"}}]}',
        b'{"choices":[{"index":8,"delta":{}}]}',
        b'{"choices":[{"index":1e99,"delta":{}}]}',
        b'{"choices":[{"index":99999999999999999999999,"delta":{}}]}',
        b'{"choices":[{"index":true,"delta":{}}]}',
        b'{"choices":[{"index":"0","delta":{}}]}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"delta":{"content":{"text":"a"}}}]}',
        b'{"choices":[{"delta":"a"}]}',
        b'{"choices":[{"finish_reason":5,"delta":{}}]}',
        b'{"choices":[{"delta":{"audio":{"data":"a"}}}]}',
        b'{"choices":[{"delta":{"function_call":{"name":"a"}}}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":-1,"function":{}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":128,"function":{}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":5}}]}}]}',
        b'{"choices":[{"delta":{"content":"\\ud800"}}]}',
        b'{"surprise":"\\ud800","choices":[]}',
        b'{"surprise":"\xff","choices":[]}',
        b'{"surprise":1e999,"choices":[]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"surprise":' + b"[" * 100_000 + b"}",
        b'{"id":' + b"[" * 100_000 + b"}",
        b'{"usage":5}',
        b'{"usage":[]}',
    ],
)
def test_what_is_not_of_this_dialect_ends_the_stream(broken: bytes) -> None:
    with pytest.raises(BadStream) as bad:
        StreamReader(NAMING).feed(b"data: " + broken + b"\n\n")
    assert len(str(bad.value)) < 60


def test_an_event_with_a_name_ends_the_stream() -> None:
    with pytest.raises(BadStream, match="kind"):
        StreamReader(NAMING).feed(b"event: error\n" + sse(chunk({"content": "a"})))


def test_an_event_beyond_the_bound_ends_the_stream() -> None:
    with pytest.raises(BadStream, match="larger"):
        StreamReader(NAMING).feed(sse(chunk({"content": "x" * 1_048_577})))


def test_the_number_of_channels_is_bounded() -> None:
    reader = StreamReader(NAMING)
    for choice in range(MAX_CHOICES):
        calls = [{"index": part, "function": {"name": "f", "arguments": "a"}} for part in range(MAX_CALLS)]
        reader.feed(sse(chunk({"tool_calls": calls}, index=choice)))
    with pytest.raises(BadStream):
        reader.feed(sse(chunk({"content": "a"}, index=MAX_CHOICES)))
    assert len(reader.channels) == MAX_CHOICES * MAX_CALLS * 2


def test_fresh_text_makes_its_channel_touched_in_every_batch() -> None:
    reader = StreamReader(NAMING)
    for piece in ("a", "b", "", "c"):
        reader.feed(sse(chunk({"content": piece}), chunk({"role": "x", "content": piece})))
        (channel,) = reader.touched
        assert channel.fresh == piece * 2
        channel.settle()
        reader.touched.clear()
    assert texts(reader) == {"content[0]": "aabbcc"}


# Whole answers


def answer(*messages: object, **more: object) -> dict[str, object]:
    choices = [
        {"index": index, "message": message, "finish_reason": "stop", "logprobs": LEAK}
        for index, message in enumerate(messages)
    ]
    return {"id": LEAK, "object": LEAK, "created": 1, "model": LEAK, "choices": choices} | more


def test_a_whole_answer_is_written_anew_and_waits_for_all_of_its_text() -> None:
    call = {"id": LEAK, "type": LEAK, "function": {"name": "f", "arguments": "{}"}}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 99, "x": LEAK}
    message = {"role": LEAK, "content": "hi", "tool_calls": [call], "reasoning": "hm", "annotations": [LEAK]}
    reader, body, event = whole(answer(message, {"content": None, "refusal": "no"}, usage=usage))
    assert body == HEAD | {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hi",
                    "reasoning": "hm",
                    "tool_calls": [
                        {
                            "id": "call_0123abcd_0_0",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                "finish_reason": "stop",
            },
            {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "no"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    marks = {str(channel.id): end for channel, end in ((event.channel, event.end), *event.more) if channel}
    assert marks == {"content[0]": 2, "reasoning[0]": 2, "tool_name[0]": 1, "tool_arguments[0]": 2, "refusal[1]": 2}
    assert reader.done
    assert all(channel.complete for channel in reader.channels.values())
    assert set(reader.touched) == set(reader.channels.values())


def test_a_whole_answer_without_any_text_passes() -> None:
    _, body, event = whole(answer({"content": None}))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None}
    assert event.channel is None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b"", "not JSON"),
        (b"[DONE]", "not JSON"),
        ({}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": [{"index": 0}]}, "no message"),
        ({"choices": [{"index": 0, "delta": {"content": "a"}}]}, "no message"),
        ({"choices": [{"index": 0, "message": {}}, {"index": 0, "message": {}}]}, "twice"),
        ({"choices": [{"message": {}}, {"message": {}}]}, "twice"),
        ({"choices": [{"index": 8, "message": {}}]}, "range"),
        ({"error": {"message": LEAK}}, "reports an error"),
        (answer({"content": 5}), "wrong type"),
        (answer({"tool_calls": [{"index": 1, "function": {"name": "a"}}]}), "out of place"),
        (
            answer({"tool_calls": [{"function": {"name": "a"}}, {"index": 0, "function": {"name": "b"}}]}),
            "out of place",
        ),
        (answer({"tool_calls": [{"function": {}}] * 129}), "not understood"),
    ],
)
def test_a_whole_answer_that_is_none_is_refused(broken: object, why: str) -> None:
    with pytest.raises(BadStream, match=why) as bad:
        whole(broken)
    assert LEAK not in str(bad.value)


def test_a_whole_answer_is_bounded() -> None:
    reader = WholeReader(NAMING, max_body=10)
    reader.feed(b"x" * 10)
    with pytest.raises(BadStream, match="larger"):
        reader.feed(b"x")


def test_unknown_fields_of_a_whole_answer_are_dropped_and_counted() -> None:
    reader, body, _ = whole(answer({"content": "a", "surprise": LEAK}, other=LEAK))
    assert reader.dropped == 2
    assert LEAK not in json.dumps(body)
    reader, _, _ = whole({"choices": [{"message": {"content": "a"}, "delta": {"content": LEAK}}]})
    assert reader.dropped == 1


# Whatever comes

TOP_KEYS: Final = (*KNOWN, *RARE, "choices", "usage", "prompt_tokens", "completion_tokens", "error", LEAK)
TEXT_KEYS: Final = (
    "content",
    "reasoning",
    "reasoning_content",
    "refusal",
    "tool_calls",
    "function",
    "name",
    "arguments",
)
SIDE_KEYS: Final = ("delta", "message", "index", "finish_reason", "role", "logprobs", "annotations", "audio")
KEYS: Final = st.sampled_from(TOP_KEYS + TEXT_KEYS + SIDE_KEYS)
LEAVES: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.integers(),
    st.floats(),
    st.sampled_from([LEAK, "stop", "", "a", "\ud800", "b" + LEAK]),
)
JUNK: Final = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=15,
)
TEXT: Final = st.sampled_from(["", "a", "text", LEAK, None])
CALL: Final = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({}, optional={"name": TEXT, "arguments": TEXT, "x": JUNK})},
    optional={"index": st.integers(0, 2), "id": JUNK, "type": JUNK, LEAK: JUNK},
)
DELTA: Final = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT,
        "refusal": TEXT,
        "reasoning": TEXT,
        "reasoning_content": TEXT,
        "tool_calls": st.lists(CALL, max_size=2),
        "role": JUNK,
        "annotations": JUNK,
        LEAK: JUNK,
    },
)
CHOICE: Final = st.fixed_dictionaries(
    {"delta": DELTA, "message": DELTA},
    optional={"index": st.integers(0, 2), "finish_reason": TEXT, "logprobs": JUNK, "stop_reason": JUNK, "x": JUNK},
)
ANSWER: Final = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)},
    optional={"id": JUNK, "model": JUNK, "created": JUNK, "object": JUNK, "timings": JUNK, LEAK: JUNK},
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [each for item in value for each in strings(item)]
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in [key, *strings(item)]]
    return []


OURS: Final = (
    {"id", "object", "created", "model", "choices", "index", "delta", "message", "finish_reason", "role", "assistant"}
    | {"content", "refusal", "reasoning", "reasoning_content", "tool_calls", "type", "function", "name", "arguments"}
    | {"usage", "prompt_tokens", "completion_tokens", "total_tokens", "stop", "length", "content_filter"}
    | {"chatcmpl-0123abcd", "chat.completion", "chat.completion.chunk", "demo"}
)


def check_only_channels_pass(reader: StreamReader | WholeReader, parsed: list[Any]) -> None:
    """All that is not our own word is a text of a channel, and the texts of each channel are its whole text."""
    said = [each for event in parsed for each in strings(event)]
    foreign = [each for each in said if each not in OURS and not each.startswith("call_0123abcd_") and each]
    pieces = [piece for channel in reader.channels.values() for piece in channel.pieces]
    for each in foreign:
        assert each in pieces
    assert sum(each.count(LEAK) for each in said) == sum(piece.count(LEAK) for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(ANSWER, ANSWER, JUNK), max_size=4))
def test_whatever_a_stream_holds_only_watched_text_passes(chunks: list[Any]) -> None:
    reader = StreamReader(NAMING)
    events: list[Event] = []
    for each in chunks:
        try:
            events += reader.feed(sse(each))
        except BadStream:
            return
    for event in events:
        for channel, end in ((event.channel, event.end), *event.more):
            assert channel is None or end <= channel.end
    check_only_channels_pass(reader, parse(events))


@settings(max_examples=200, deadline=None)
@given(st.one_of(ANSWER, ANSWER, JUNK))
def test_whatever_a_whole_answer_holds_only_watched_text_passes(value: Any) -> None:
    reader = WholeReader(NAMING)
    reader.feed(json.dumps(value).encode())
    try:
        (event,) = reader.finish()
    except BadStream:
        return
    check_only_channels_pass(reader, [json.loads(event.data)])


@given(st.lists(st.one_of(st.binary(max_size=30), st.just(b"data: "), st.just(b"\n\n"), JUNK.map(sse)), max_size=8))
def test_whatever_bytes_come_are_events_or_a_bad_stream(pieces: list[bytes]) -> None:
    for reader in (StreamReader(NAMING), WholeReader(NAMING)):
        try:
            for piece in pieces:
                parse(reader.feed(piece))
            reader.finish()
        except BadStream:
            pass


@given(st.lists(ANSWER, max_size=4), st.lists(st.integers(0, 4000)))
def test_a_stream_reads_the_same_whatever_the_cuts(chunks: list[Any], places: list[int]) -> None:
    raw = sse(*chunks) + DONE

    def run(pieces: list[bytes]) -> tuple[list[bytes], dict[str, str], int] | None:
        reader = StreamReader(NAMING)
        try:
            events = [event.data for piece in pieces for event in reader.feed(piece)]
        except BadStream:
            return None
        return events, texts(reader), reader.dropped

    bounds = sorted({0, len(raw), *(min(place, len(raw)) for place in places)})
    expected = run([raw])
    assert run([raw[a:b] for a, b in pairwise(bounds)]) == expected
    assert run([bytes([byte]) for byte in raw]) == expected


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 0, "delta": {"content": "FORB"}}, {"index": 0, "delta": {"content": "IDDEN"}}],
        [{"index": 1, "delta": {"content": "FORB"}}],
        [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {"index": 0, "function": {"name": "f", "arguments": "FORB"}},
                        {"index": 0, "function": {"arguments": "IDDEN"}},
                    ]
                },
            }
        ],
    ],
    ids=["a choice twice", "a choice beyond n", "a call twice"],
)
def test_an_event_in_which_texts_judged_apart_would_be_read_as_one_is_refused(choices: list[Any]) -> None:
    with pytest.raises(BadStream):
        StreamReader(NAMING, 1).feed(sse({"choices": choices}))


def test_an_event_that_names_its_text_twice_is_read_as_the_last_says_and_remembered_by_nobody() -> None:
    reader = StreamReader(NAMING, 1)
    twice = b'data: {"choices":[{"index":0,"delta":{},"delta":{"content":"hello"}}]}\n\n'
    for _ in range(3):
        (event,) = reader.feed(twice)
        assert b'"hello"' in event.data
