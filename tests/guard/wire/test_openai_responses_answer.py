"""Answers of the Responses API: everything is written anew, no event leaves before its text, and differences end it.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.valve import Valve
from guard.wire.dialect import Event, Naming
from guard.wire.openai_responses_answer import WholeReader
from guard.wire.openai_responses_output import MAX_ITEMS, MAX_PARTS
from guard.wire.openai_responses_stream import StreamReader
from guard.wire.sse import BadStream
from safeguards.exchange import ChannelId, ChannelKind
from tests.parts import responses_server as upstream
from tests.parts.responses_server import Call, Item, Message, Reasoning

NAMING: Final = Naming("0123abcd", "demo", 1_700_000_000)
EVERYTHING: Final[tuple[Item, ...]] = (
    Reasoning(summaries=("First thoughts.", "Then more."), texts=("the raw chain",)),
    Message(texts=("Grüße, 世界 🌞!", "and a second part"), refusal="but not that"),
    Call("look_up", '{"city": "Zürich"}'),
    Call("noop", ""),
    Message(texts=("After the call.",)),
)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
ITEMS: Final = st.lists(
    st.builds(Message, st.lists(_TEXT.filter(bool), max_size=3), _TEXT)
    | st.builds(Call, _NAME, _TEXT)
    | st.builds(Reasoning, st.lists(_TEXT.filter(bool), max_size=2), st.lists(_TEXT.filter(bool), max_size=2)),
    max_size=4,
)


def read(body: bytes, cuts: Sequence[int] = ()) -> tuple[StreamReader, list[Event]]:
    """Read a stream, cut at these places, to its end."""
    reader = StreamReader(NAMING, {})
    events = []
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        events += reader.feed(body[start:end])
    return reader, events + reader.finish()


def decoded(events: Sequence[Event]) -> list[dict[str, Any]]:
    """The events as a caller's client parses them; their names must be their types."""
    found = []
    for event in events:
        name, data, *rest = event.data.split(b"\n")
        assert rest == [b"", b""]
        parsed = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + parsed["type"].encode()
        found.append(parsed)
    return found


def plain(output: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What an output says, without ids."""
    said: list[tuple[Any, ...]] = []
    for item in output:
        if item["type"] == "function_call":
            said.append(("call", item["name"], item["arguments"]))
        else:
            parts = [*item.get("summary", ()), *item.get("content", ())]
            said.append((item["type"], [(part["type"], part.get("text", part.get("refusal"))) for part in parts]))
    return said


def changed(events: list[dict[str, Any]], kind: str, **fields: Any) -> bytes:
    """The stream with these fields in the first event of this kind."""
    place = next(n for n, event in enumerate(events) if event["type"] == kind)
    return upstream.written([*events[:place], {**events[place], **fields}, *events[place + 1 :]])


def test_the_events_come_in_the_order_of_the_service_with_our_own_names_and_numbers() -> None:
    theirs = upstream.events(EVERYTHING)
    reader, events = read(upstream.written(theirs))
    ours = decoded(events)
    assert [event["type"] for event in ours] == [event["type"] for event in theirs]
    assert [event["sequence_number"] for event in ours] == list(range(len(ours)))
    assert ours[-1]["response"]["output"] == [
        event["item"] for event in ours if event["type"] == "response.output_item.done"
    ]
    assert plain(ours[-1]["response"]["output"]) == plain(theirs[-1]["response"]["output"])
    for our, their in zip(ours, theirs, strict=True):
        assert {"type", "sequence_number"} <= set(our) <= set(their)
        assert our.get("delta") == their.get("delta")
        assert our.get("output_index") == their.get("output_index")
        assert our.get("content_index") == their.get("content_index")
        assert our.get("summary_index") == their.get("summary_index")
    data = b"".join(event.data for event in events)
    for foreign in (b"upstream", b"opaque", b"obfuscation", b"1111111111", b"billing", b"secret"):
        assert foreign not in data
    assert ours[-1]["response"]["id"] == "resp_0123abcd"
    assert [item["id"] for item in ours[-1]["response"]["output"]] == [
        "rs_0123abcd_0",
        "msg_0123abcd_1",
        "fc_0123abcd_2",
        "fc_0123abcd_3",
        "msg_0123abcd_4",
    ]
    assert ours[-1]["response"]["output"][2]["call_id"] == "call_0123abcd_2"
    assert (reader.prompt_tokens, reader.completion_tokens, reader.dropped) == (11, 7, 0)
    assert ours[-1]["response"]["usage"] == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 18,
    }


def test_each_text_has_a_channel_and_the_texts_of_a_kind_one_more_together() -> None:
    reader, _ = read(upstream.written(upstream.events(EVERYTHING)))
    assert {str(key): channel.text for key, channel in reader.channels.items()} == {
        "reasoning[0]": "First thoughts.",
        "reasoning[0.1]": "Then more.",
        "reasoning[0.2]": "the raw chain",
        "reasoning[1]": "First thoughts.Then more.the raw chain",
        "content[0]": "Grüße, 世界 🌞!",
        "content[0.1]": "and a second part",
        "content[0.2]": "After the call.",
        "content[1]": "Grüße, 世界 🌞!and a second partAfter the call.",
        "refusal[0]": "but not that",
        "tool_name[0.2]": "look_up",
        "tool_arguments[0.2]": '{"city": "Zürich"}',
        "tool_name[0.3]": "noop",
        "tool_arguments[0.3]": "",
    }
    assert all(channel.complete for channel in reader.channels.values())


def test_a_text_is_complete_when_its_part_ends_and_not_only_at_the_end_of_the_answer() -> None:
    events = upstream.events((Reasoning(summaries=("thought",)), Message(texts=("text",))))
    reader = StreamReader(NAMING, {})
    for event in events:
        reader.feed(upstream.written([event]))
        if event["type"] == "response.reasoning_summary_text.done":
            break
    thought = reader.channels[ChannelId(0, ChannelKind.REASONING)]
    assert thought.complete
    assert thought in reader.touched


@settings(deadline=None)
@given(ITEMS, st.booleans())
def test_a_whole_answer_says_what_the_stream_says(items: list[Item], incomplete: bool) -> None:
    status, reason = ("incomplete", "max_output_tokens") if incomplete else ("completed", None)
    stream, events = read(upstream.written(upstream.events(items, status=status, reason=reason)))
    whole = WholeReader(NAMING, {})
    body = json.dumps(upstream.response(items, status=status, reason=reason)).encode()
    assert whole.feed(body[:40]) + whole.feed(body[40:]) == []
    (event,) = whole.finish()
    assert json.loads(event.data) == decoded(events)[-1]["response"]
    texts = {key: channel.text for key, channel in whole.channels.items()}
    assert texts == {key: channel.text for key, channel in stream.channels.items()}
    marks = [] if event.channel is None else [(event.channel, event.end), *event.more]
    assert dict(marks) == {channel: channel.end for channel in whole.channels.values()}
    assert (whole.done, whole.prompt_tokens, whole.completion_tokens) == (True, 11, 7)


@settings(deadline=None, max_examples=60)
@given(ITEMS, st.data())
@example([Message(texts=("🌞é",))], None)
def test_where_the_bytes_are_cut_does_not_matter(items: list[Item], data: st.DataObject | None) -> None:
    body = upstream.written(upstream.events(items))
    places = st.integers(0, len(body))
    cuts = sorted(data.draw(st.lists(places, max_size=8))) if data else range(len(body))
    once, cut = read(body), read(body, list(cuts))
    assert [event.data for event in cut[1]] == [event.data for event in once[1]]
    assert {k: c.text for k, c in cut[0].channels.items()} == {k: c.text for k, c in once[0].channels.items()}


@settings(deadline=None, max_examples=100)
@given(ITEMS, st.data())
def test_no_event_leaves_before_all_text_in_it_is_cleared(items: list[Item], data: st.DataObject) -> None:
    """The watermarks rise as they like; what has left at any time holds no text above them, and in the end all does."""
    reader, events = read(upstream.written(upstream.events(items)))
    valve = Valve()
    valve.put(events)
    released: list[Event] = []
    for channel in reader.channels.values():
        for upto in sorted(data.draw(st.lists(st.integers(0, channel.end), max_size=2))):
            valve.clear(channel, upto)
            leaving = valve.release()
            valve.left(leaving)
            released += leaving
            said = dict.fromkeys(reader.channels, "")
            for event in decoded(released):
                assert event["type"] != "response.completed" or all(
                    valve.released.get(each, 0) == each.end for each in reader.channels.values()
                )
                if event["type"].endswith("text.delta") or event["type"].endswith("refusal.delta"):
                    said[_own(reader, event)] += event["delta"]
            for key, text in said.items():
                assert len(text) <= valve.released.get(reader.channels[key], 0)
    for channel in reader.channels.values():
        valve.clear(channel, channel.end)
    released += valve.release()
    assert [event.data for event in released] == [event.data for event in events]


@settings(deadline=None)
@given(ITEMS)
@example(list(EVERYTHING))
def test_every_event_is_marked_with_all_text_in_it(items: list[Item]) -> None:
    """Not the order of events alone keeps a text back: what repeats it has its marks too."""
    reader, events = read(upstream.written(upstream.events(items)))
    for event, ours in zip(events, decoded(events), strict=True):
        marks = {} if event.channel is None else {event.channel: event.end, **dict(event.more)}
        if ours["type"] == "response.completed":
            assert marks == {channel: channel.end for channel in reader.channels.values()}
        elif ours["type"].endswith(("_text.done", "_part.done", "refusal.done", "arguments.done")):
            channel = reader.channels[_own(reader, ours)]
            assert marks[channel] == channel.end
        elif ours["type"] == "response.output_item.done":
            item = reader.output.items[ours["output_index"]]
            assert all(marks[channel] >= channel.end for part in item.parts for channel in part.channels[:1])
        elif ours["type"] == "response.output_item.added" and ours["item"]["type"] == "function_call":
            assert [(channel.text, end) for channel, end in marks.items()] == [
                (ours["item"]["name"], len(ours["item"]["name"]))
            ]


def _own(reader: StreamReader, event: dict[str, Any]) -> ChannelId:
    """The own channel of the text that an event belongs to."""
    place: int = event["output_index"]
    item = reader.output.items[place]
    summary = "summary_index" in event
    index: int = event.get("summary_index", event.get("content_index", 0))
    parts = [part for part in item.parts if part.summary is summary]
    return parts[index].channels[0].id


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("response.output_text.done", {"text": "Hello!!"}),
        ("response.output_text.done", {"text": ""}),
        ("response.content_part.done", {"part": {"type": "output_text", "text": "Hell"}}),
        ("response.content_part.done", {"part": {"type": "refusal", "refusal": "Hello"}}),
        ("response.refusal.done", {"refusal": "other"}),
        ("response.reasoning_text.done", {"text": "other"}),
        ("response.reasoning_summary_text.done", {"text": "other"}),
        ("response.reasoning_summary_part.done", {"part": {"type": "summary_text", "text": "other"}}),
        ("response.function_call_arguments.done", {"arguments": "{}"}),
        ("response.output_item.done", {"item": {"type": "reasoning", "summary": [], "content": []}}),
        ("response.output_item.done", {"item": {"type": "message", "content": []}}),
        ("response.completed", {"response": upstream.response(())}),
        ("response.completed", {"response": upstream.response((Message(texts=("Hello!",)),))}),
        ("response.completed", {"response": {"status": "in_progress"}}),
        ("response.completed", {"response": None}),
    ],
)
def test_what_differs_from_the_deltas_ends_the_stream(kind: str, fields: dict[str, Any]) -> None:
    items = (Reasoning(("why",), ("because",)), Message(("Hello",), "never"), Call("f", '{"a": 1}'))
    with pytest.raises(BadStream):
        read(changed(upstream.events(items), kind, **fields))


def test_the_last_response_must_name_the_function_that_was_called() -> None:
    events = upstream.events((Call("safe", "{}"),))
    for kind, key in (("response.output_item.done", "item"), ("response.completed", "response")):
        other = json.loads(json.dumps(events[-1 if key == "response" else -2][key]).replace('"safe"', '"other"'))
        with pytest.raises(BadStream, match="differs"):
            read(changed(events, kind, **{key: other}))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "message": "leaked", "code": "x", "param": None},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "leaked"}}},
        {"type": "response.in_progress", "response": {"error": {"message": "leaked"}}},
        {"type": "response.in_progress", "error": {"message": "leaked"}, "unheard_of": 1},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "x", "error": {"message": "leaked"}},
        {"type": "response.queued", "response": {}},
        {"type": "response.created", "response": {}},
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws"},
        {"type": "response.output_text.annotation.added", "output_index": 0, "annotation": {"url": "leaked"}},
        {"type": "response.output_item.added", "output_index": 9, "item": {"type": "web_search_call", "id": "ws"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
        {"type": "response.output_item.added", "output_index": 9, "item": {"type": "function_call", "name": ""}},
        {"type": "response.output_item.added", "output_index": 9},
        {"type": "response.output_item.done", "output_index": 0},
        {"type": "response.content_part.added", "output_index": 0, "part": {"type": "output_audio"}},
        {"type": "response.content_part.added", "output_index": 0, "part": {"type": "reasoning_text"}},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"type": "output_text"}},
        {"type": "response.content_part.added", "output_index": 0},
        {"type": "response.output_text.delta", "output_index": 7, "content_index": 0, "delta": "leaked"},
        {"type": "response.output_text.delta", "item_id": "msg_unknown", "content_index": 0, "delta": "leaked"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": {"text": "leaked"}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "leaked"},
        {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "leaked"},
        {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 3, "delta": "leaked"},
        {"type": "response.refusal.done", "output_index": 0, "content_index": 0, "refusal": "leaked"},
        {"delta": "leaked"},
        ["leaked"],
    ],
)
def test_what_is_not_served_or_out_of_place_ends_the_stream_without_quoting_it(event: Any) -> None:
    reader = StreamReader(NAMING, {})
    opening = upstream.events((Message(("Hello",)),))[:5]
    assert reader.feed(upstream.written(opening))
    with pytest.raises(BadStream) as raised:
        reader.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert "leaked" not in str(raised.value)


@pytest.mark.parametrize("first", [b'{"type":"response.in_progress"}', b"[DONE]", b"{", b'{"type":"\xff"}'])
def test_a_stream_begins_with_its_response(first: bytes) -> None:
    with pytest.raises(BadStream):
        StreamReader(NAMING, {}).feed(b"data: " + first + b"\n\n")


def test_an_event_whose_name_is_not_its_type_ends_the_stream() -> None:
    with pytest.raises(BadStream, match="two names"):
        StreamReader(NAMING, {}).feed(b'event: response.completed\ndata: {"type":"response.created"}\n\n')


def test_a_stream_that_stops_before_its_end_is_no_answer() -> None:
    body = upstream.written(upstream.events((Message(("Hello",)),))[:-1])
    with pytest.raises(BadStream, match="terminator"):
        read(body)


def test_after_the_end_one_done_is_allowed_and_nothing_else() -> None:
    body = upstream.written(upstream.events((Message(("Hello",)),)))
    with_done = read(body + b"data: [DONE]\n\n")
    assert [event.data for event in with_done[1]] == [event.data for event in read(body)[1]]
    for more in (b"data: [DONE]\n\ndata: [DONE]\n\n", b'data: {"type":"response.in_progress"}\n\n'):
        with pytest.raises(BadStream, match="after the end"):
            read(body + more)


def test_unknown_fields_are_dropped_and_counted_at_every_depth() -> None:
    events = upstream.events((Message(("Hello",)),))
    events[3]["part"]["smuggled"] = "leaked"
    events[4]["smuggled"] = "leaked"
    events[-2]["item"]["smuggled"] = ["leaked"]
    events[-1]["response"]["smuggled"] = {"text": "leaked"}
    events[-1]["response"]["output"][0]["content"][0]["smuggled"] = "leaked"
    reader, found = read(upstream.written(events))
    assert reader.dropped == 5
    assert b"leaked" not in b"".join(event.data for event in found)


@pytest.mark.parametrize(("reason", "told", "dropped"), [("content_filter",) * 2 + (0,), ("leaked", None, 1)])
def test_why_an_answer_is_incomplete_is_one_of_a_closed_list(reason: str, told: str | None, dropped: int) -> None:
    items = (Message(("Hello",)),)
    reader, events = read(upstream.written(upstream.events(items, status="incomplete", reason=reason)))
    last = decoded(events)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": told}
    assert reader.dropped == dropped


def test_the_response_repeats_the_settings_of_the_request_and_nothing_else_of_it() -> None:
    reader = StreamReader(NAMING, {"temperature": 0.5, "tools": [{"type": "function", "name": "f"}]})
    begun = decoded(reader.feed(upstream.written(upstream.events(())[:1])))
    assert [event["type"] for event in begun] == ["response.created", "response.in_progress"]
    assert begun[0]["response"]["temperature"] == 0.5
    assert begun[0]["response"]["tools"] == [{"type": "function", "name": "f"}]
    assert begun[0]["response"]["instructions"] is None


def test_servers_that_announce_less_are_understood() -> None:
    """llama.cpp: no indexes, items that end only after the next has begun, a call named by its call's id."""
    sent: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs", "summary": [], "content": []}},
        {"type": "response.reasoning_text.delta", "item_id": "rs", "delta": "think"},
        {"type": "response.output_item.added", "item": {"type": "message", "id": "msg", "content": []}},
        {"type": "response.content_part.added", "item_id": "msg", "part": {"type": "output_text", "text": ""}},
        {"type": "response.output_text.delta", "item_id": "msg", "delta": "say"},
        {
            "type": "response.output_item.added",
            "item": {"type": "function_call", "call_id": "fc_1", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{}"},
        {
            "type": "response.output_item.done",
            "item": {"type": "reasoning", "id": "rs", "content": [{"type": "reasoning_text", "text": "think"}]},
        },
        {"type": "response.output_text.done", "item_id": "msg", "text": "say"},
        {"type": "response.content_part.done", "item_id": "msg", "part": {"type": "output_text", "text": "say"}},
        {
            "type": "response.output_item.done",
            "item": {"type": "message", "id": "msg", "content": [{"type": "output_text", "text": "say"}]},
        },
        {
            "type": "response.output_item.done",
            "item": {"type": "function_call", "call_id": "fc_1", "name": "f", "arguments": "{}"},
        },
        {"type": "response.completed", "response": {"status": "completed"}},
    ]
    _, events = read(upstream.written(sent))
    same = upstream.events((Reasoning(texts=("think",)), Message(("say",)), Call("f", "{}")))
    assert [event["type"] for event in decoded(events)] == [event["type"] for event in same]


def test_a_text_that_comes_only_when_it_is_done_is_a_text_all_the_same() -> None:
    """Some servers send arguments, or whole parts and items, without deltas; they go through their channels too."""
    items = (Reasoning(("why",)), Message(("Hello",), "no"), Call("f", '{"a":1}'))
    sent = [event for event in upstream.events(items) if "delta" not in event]
    fewer = [event for event in sent if event["type"].rpartition(".")[0].endswith(("output_item", "created", "eted"))]
    shortest = [sent[0], *fewer, sent[-1]]
    whole, _ = read(upstream.written(upstream.events(items)))
    for kept in (sent, shortest):
        reader, events = read(upstream.written(kept))
        assert {k: c.text for k, c in reader.channels.items()} == {k: c.text for k, c in whole.channels.items()}
        assert "Hello" in [event.get("delta") for event in decoded(events)]


def test_vllm_names_of_the_parts_of_a_reasoning_are_understood() -> None:
    body = upstream.written(upstream.events((Reasoning(texts=("think",)),)))
    _, events = read(body.replace(b"response.content_part", b"response.reasoning_part"))
    assert [event.data for event in events] == [event.data for event in read(body)[1]]


def test_an_item_that_has_ended_takes_no_more_text() -> None:
    events = upstream.events((Message(("first",)), Message(("second",))))
    late = next(event for event in events if event["type"] == "response.output_text.delta")
    with pytest.raises(BadStream, match="after the end of its item"):
        read(upstream.written([*events[:-1], late, events[-1]]))


@pytest.mark.parametrize("items", [[Message()] * (MAX_ITEMS + 1), [Message(("x",) * (MAX_PARTS + 1))]])
def test_items_and_parts_are_bounded(items: list[Item]) -> None:
    with pytest.raises(BadStream):
        read(upstream.written(upstream.events(items)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"status":"completed"}',
        b'{"status":"failed","output":[]}',
        b'{"status":"queued","output":[]}',
        b'{"status":"completed","output":[],"error":{"message":"leaked"}}',
        b'{"status":"completed","output":[{"type":"web_search_call","id":"ws"}]}',
        b'{"status":"completed","output":[{"type":"message","content":[{"type":"output_audio"}]}]}',
        b'{"status":"completed","output":[{"type":"message","content":[{"type":"reasoning_text","text":"x"}]}]}',
        b'{"status":"completed","output":[{"type":"function_call","arguments":"{}"}]}',
        b'{"status":"completed","output":[],"usage":{"input_tokens":1e30}}',
    ],
)
def test_a_whole_answer_that_is_none_is_refused(body: bytes) -> None:
    reader = WholeReader(NAMING, {})
    reader.feed(body)
    with pytest.raises(BadStream) as raised:
        reader.finish()
    assert "leaked" not in str(raised.value)


def test_a_whole_answer_is_bounded() -> None:
    reader = WholeReader(NAMING, {}, max_body=10)
    reader.feed(b"x" * 10)
    with pytest.raises(BadStream, match="larger"):
        reader.feed(b"x")


_WORD = st.sampled_from(
    [*"abc", "message", "reasoning", "function_call", "output_text", "summary_text", "reasoning_text", "completed"]
)
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | _WORD | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "content", "summary", "name", "output"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
_KINDS = sorted({event["type"] for event in upstream.events(EVERYTHING)})


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(_KINDS),
            st.dictionaries(
                st.sampled_from(
                    [
                        *("item", "part", "response", "delta", "text", "refusal", "arguments"),
                        *("output_index", "content_index", "summary_index", "item_id", "unheard_of"),
                    ]
                ),
                _VALUE,
                max_size=4,
            ),
        ),
        max_size=8,
    ),
    st.binary(max_size=20),
)
def test_whatever_comes_feeding_raises_nothing_but_bad_stream(
    sent: list[tuple[str, dict[str, Any]]], rest: bytes
) -> None:
    reader = StreamReader(NAMING, {})
    body = upstream.written([{"type": "response.created"}, *({"type": kind, **fields} for kind, fields in sent)])
    try:
        decoded(reader.feed(body))
        decoded(reader.feed(rest + b"\n\n"))
        reader.finish()
    except BadStream:
        pass
    whole = WholeReader(NAMING, {})
    for _, fields in sent:
        whole.feed(json.dumps(fields).encode())
    try:
        whole.finish()
    except BadStream:
        return
    assert whole.done
