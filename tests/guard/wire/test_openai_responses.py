"""A Responses request, and both endings of its stream as the real SDK reads them at every place they can come.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseCompletedEvent, ResponseIncompleteEvent, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from guard.wire.dialect import TOLD, Event, Grants, Naming, Request
from guard.wire.openai_responses import REQUEST, OpenAIResponses
from guard.wire.strict_json import BadField, parse_object
from guard.wire.table import Refused
from safeguards.verdict import Code
from tests.parts import responses_server as upstream
from tests.parts.llama import LlamaServer
from tests.parts.responses_server import Call, Message, Reasoning
from tests.parts.scripted_model import SCRIPTS, script_text
from tests.parts.upstream import ScriptedUpstream

RESPONSES: Final = OpenAIResponses()
PLAIN: Final = Grants()
MARK: Final = "Marker 42!"
NAMING: Final = Naming("0123abcd", "demo", 1_700_000_000)
ITEMS: Final[tuple[upstream.Item, ...]] = (
    Reasoning(summaries=("Think first.",), texts=("chain",)),
    Message(texts=("Grüße, 世界!", " And more."), refusal="Not that."),
    Call("look_up", '{"city": "Zürich"}'),
    Message(texts=("After the call.",)),
)
_INDEXES: Final = ("content", "summary")
_FUNCTION: Final = {"type": "function", "name": MARK, "description": MARK, "strict": True}

# What each key of the table may be, with the marker wherever it takes the caller's own text.
ROWS: Final[dict[str, list[Any]]] = {
    "model": [MARK],
    "input": [
        MARK,
        [{"role": "user", "content": MARK}],
        [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": MARK}], "id": MARK}],
        [{"type": "message", "role": "developer", "content": MARK, "status": "completed"}],
        [
            {
                "type": "message",
                "id": MARK,
                "role": "assistant",
                "status": "completed",
                "phase": "final_answer",
                "content": [
                    {"type": "output_text", "text": MARK, "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": MARK},
                ],
            },
            {"role": "assistant", "content": MARK},
            {
                "type": "reasoning",
                "id": MARK,
                "summary": [{"type": "summary_text", "text": MARK}],
                "content": [{"type": "reasoning_text", "text": MARK}],
            },
            {
                "type": "function_call",
                "id": MARK,
                "call_id": MARK,
                "name": MARK,
                "arguments": MARK,
                "status": "completed",
            },
            {"type": "function_call_output", "id": MARK, "call_id": MARK, "output": MARK, "status": "completed"},
            {"type": "function_call_output", "call_id": MARK, "output": [{"type": "input_text", "text": MARK}]},
        ],
    ],
    "instructions": [MARK],
    "tools": [[{**_FUNCTION, "parameters": {"type": "object", "properties": {MARK: {"enum": [MARK, 5]}}}}], []],
    "tool_choice": ["none", "auto", "required", {"type": "function", "name": MARK}],
    "text": [
        {"format": {"type": "text"}, "verbosity": "low"},
        {"format": {"type": "json_object"}},
        {
            "format": {
                "type": "json_schema",
                "name": MARK,
                "description": MARK,
                "schema": {"title": MARK},
                "strict": True,
            }
        },
    ],
    "user": [MARK],
    "stream": [True, False],
    "stream_options": [{"include_obfuscation": False}],
    "temperature": [0, 2, 0.5],
    "top_p": [0, 1],
    "max_output_tokens": [1, 1_000_000],
    "parallel_tool_calls": [True, False],
    "reasoning": [{"effort": "high", "summary": "auto"}, {}],
    "truncation": ["disabled"],
    "store": [False],
    "background": [False],
    "include": [[]],
}

# What is refused, and the place that the answer names.
REFUSED: Final[list[tuple[dict[str, Any], str]]] = [
    ({"store": True}, "store"),
    ({"background": True}, "background"),
    ({"truncation": "auto"}, "truncation"),
    ({"include": ["reasoning.encrypted_content"]}, "include"),
    ({"include": ["message.output_text.logprobs"]}, "include"),
    ({"include": "x"}, "include"),
    ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ({"reasoning": {"generate_summary": "auto"}}, "reasoning.generate_summary"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": True}, "max_output_tokens"),
    ({"unheard_of": 1}, "unheard_of"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "file_search", "vector_store_ids": ["vs"]}]}, "tools[0].type"),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0].type"),
    ({"tools": [{"type": "computer_use_preview"}]}, "tools[0].type"),
    ({"tools": [{"type": "mcp", "server_url": "https://example.org"}]}, "tools[0].type"),
    ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
    ({"tools": [{"type": "local_shell"}]}, "tools[0].type"),
    ({"tools": [{"type": "custom", "name": "f"}]}, "tools[0].type"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"),
    ({"tools": ["web_search"]}, "tools[0]"),
    ({"tools": [{"type": "function", "name": "f", "defer_loading": True}]}, "tools[0].defer_loading"),
    ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.type"),
    ({"text": {"format": {"type": "grammar", "definition": "x"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"input": []}, "input"),
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": [5]}, "input[0]"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
    ({"input": [{"content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": []}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": "x", "phase": "commentary"}]}, "input[0].phase"),
    ({"input": [{"type": {}, "role": "user", "content": "x"}]}, "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
    ({"input": [{"type": "web_search_call", "id": "ws"}]}, "input[0].type"),
    ({"input": [{"type": "mcp_approval_response", "approve": True}]}, "input[0].type"),
    ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
    ({"input": [{"type": "unheard_of"}]}, "input[0].type"),
    ({"input": [{"type": "reasoning", "encrypted_content": "gAAAA"}]}, "input[0].encrypted_content"),
    ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": {}}]}, "input[0].output"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]}]},
        "input[0].content[0].type",
    ),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
    (
        {"input": [{"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [{}]}]}]},
        "input[0].content[0].annotations",
    ),
    (
        {"input": [{"role": "assistant", "content": [{"type": "output_text", "text": "x", "logprobs": [{}]}]}]},
        "input[0].content[0].logprobs",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
        "input[0].output[0].type",
    ),
    ({"guided_json": {}}, "guided_json"),
    *(({key: {}}, key) for key, spec in REQUEST.items() if isinstance(spec, Refused)),
]


def request(grants: Grants = PLAIN, **fields: Any) -> Request:
    """Read a request with these fields, as the journey does."""
    body = json.dumps({"model": "demo", "input": "hello", **fields}).encode()
    return RESPONSES.read_request(parse_object(body), grants)


def marks(value: Any) -> int:
    """How often the marker stands in a value."""
    return json.dumps(value).count(MARK)


def test_the_rows_cover_the_table() -> None:
    assert set(ROWS) == {key for key, spec in REQUEST.items() if not isinstance(spec, Refused)}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ROWS.items() for value in values])
def test_every_text_is_inspected_and_what_is_inspected_is_what_is_sent(key: str, value: Any) -> None:
    read = request(**{key: value})
    sent = json.loads(RESPONSES.write_request(read, "at-the-upstream"))
    assert sent == {"input": "hello", key: value, "model": "at-the-upstream", "store": False}
    inspected = sum(passage.text.count(MARK) for passage in read.passages)
    assert inspected == (0 if key == "model" else marks(value))
    assert read.model == (MARK if key == "model" else "demo")


@pytest.mark.parametrize(("fields", "place"), REFUSED)
def test_what_is_not_served_is_refused_by_name_and_never_quoted(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(BadField) as raised:
        request(**fields)
    assert raised.value.place == place
    assert "example.org" not in str(raised.value)
    assert "gAAAA" not in str(raised.value)


def test_the_upstream_is_always_told_to_keep_nothing() -> None:
    assert json.loads(RESPONSES.write_request(request(), "m"))["store"] is False
    assert json.loads(RESPONSES.write_request(request(store=None), "m"))["store"] is False


def test_every_text_has_the_voice_of_its_item() -> None:
    read = request(
        instructions="be kind",
        input=[
            {"role": "user", "content": "ask"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thought"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "\\u0062"}'},
            {"type": "function_call_output", "call_id": "c", "output": "result"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "said"}]},
        ],
    )
    voices = {(passage.role, passage.text) for passage in read.passages}
    assert voices == {
        ("system", "be kind"),
        ("user", "ask"),
        ("assistant", "thought"),
        ("control", "c"),
        ("control", "f"),
        ("assistant", '{"a": "\\u0062"}'),
        ("assistant", '{"a": "b"}'),
        ("tool", "result"),
        ("assistant", "said"),
    }
    assert [passage.place for passage in read.passages][:2] == ["input[0].content", "input[1].summary[0].text"]


def test_a_kind_of_server_adds_its_own_keys() -> None:
    assert request(Grants(kind="vllm"), top_k=5).fields["top_k"] == 5
    with pytest.raises(BadField):
        request(top_k=5)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "name", "output", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([*REQUEST, "x"]), _JSON, max_size=4))
def test_whatever_a_request_holds_it_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        read = RESPONSES.read_request({"model": "m", "input": "x", **copy.deepcopy(fields)}, Grants())
    except BadField:
        return
    sent = json.loads(RESPONSES.write_request(read, "m"))
    assert sent["store"] is False
    assert RESPONSES.read_request(copy.deepcopy(sent), Grants()).passages == read.passages


def test_an_error_is_the_envelope_of_the_family() -> None:
    error = json.loads(RESPONSES.error(Code.BAD_REQUEST, "0123abcd", "store: must be one of false"))["error"]
    assert error["code"] == "bad_request"
    assert error["param"] == "store"
    assert "0123abcd" in error["message"]


# The stream's endings, as the SDK reads them.


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(upstream.responds()) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(server: ScriptedUpstream) -> Iterator[openai.OpenAI]:
    # The scripted upstream knows header names only as the guard writes them.
    http = openai.DefaultHttpxClient(event_hooks={"request": [_lower]})
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0, http_client=http) as calling:
        yield calling


def _lower(sent: Any) -> None:
    sent.headers = type(sent.headers)([(name.lower(), value) for name, value in sent.headers.raw])


def through_the_guard(items: tuple[upstream.Item, ...]) -> list[Event]:
    """The events that a caller gets of a stream with these items."""
    reader = RESPONSES.reader(request(stream=True), NAMING)
    return reader.feed(upstream.written(upstream.events(items))) + reader.finish()


def said(events: list[Any]) -> dict[tuple[Any, ...], str]:
    """What the deltas said, by item and part; a function call's name stands in its item."""
    texts: dict[tuple[Any, ...], str] = {}
    for event in events:
        if event.type.endswith(".delta"):
            index = getattr(event, "content_index", getattr(event, "summary_index", None))
            key = (event.output_index, event.type.removesuffix(".delta"), index)
            texts[key] = texts.get(key, "") + event.delta
    return texts


def said_by(output: list[Any]) -> dict[tuple[Any, ...], str]:
    """The same of an output."""
    texts: dict[tuple[Any, ...], str] = {}
    for place, item in enumerate(output):
        if item.type == "function_call":
            texts[place, "response.function_call_arguments", None] = item.arguments
        for index, part in enumerate(getattr(item, "summary", None) or []):
            texts[place, "response.reasoning_summary_text", index] = part.text
        for index, part in enumerate(getattr(item, "content", None) or []):
            text = part.refusal if part.type == "refusal" else part.text
            texts[place, f"response.{part.type}", index] = text
    return {key: text for key, text in texts.items() if text}


def test_every_event_also_of_an_ending_has_the_published_shape() -> None:
    shape: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    events = through_the_guard(ITEMS)
    for count in range(len(events) + 1):
        seen = events[count - 1].seen if count else None
        endings = [RESPONSES.end_blocked(NAMING, seen), RESPONSES.end_failed(NAMING, seen, Code.UPSTREAM_FAILED)]
        for data in [*(event.data for event in events[:count][-1:]), *endings]:
            for line in data.splitlines():
                if line.startswith(b"data: "):
                    shape.validate_json(line.removeprefix(b"data: "))


def test_the_sdk_reads_a_stream_to_its_final_response(server: ScriptedUpstream, client: openai.OpenAI) -> None:
    events = through_the_guard(ITEMS)
    server.script = upstream.sends_body(b"".join(event.data for event in events))
    with client.responses.stream(model="demo", input="hello") as stream:
        got = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in got] == list(range(len(got)))
    assert final.output_text == "Grüße, 世界! And more.After the call."
    assert (final.id, final.model, final.status) == ("resp_0123abcd", "demo", "completed")
    assert said(got) == said_by(final.output)
    with client.responses.create(model="demo", input="hello", stream=True) as plain:
        raw = list(plain)
    assert isinstance(raw[-1], ResponseCompletedEvent)
    assert [event.type for event in raw] == [event["type"] for event in upstream.events(ITEMS)]


def test_the_sdk_reads_a_whole_response_and_may_send_it_back(server: ScriptedUpstream, client: openai.OpenAI) -> None:
    reader = RESPONSES.reader(request(), NAMING)
    reader.feed(json.dumps(upstream.response(ITEMS)).encode())
    (event,) = reader.finish()
    Response.model_validate_json(event.data)
    server.script = upstream.sends_body(event.data)
    got = client.responses.create(model="demo", input="hello")
    assert got.output_text == "Grüße, 世界! And more.After the call."
    assert got.usage is not None
    assert got.usage.total_tokens == 18
    again = client.responses.create(model="demo", input=[*got.output, {"role": "user", "content": "go on"}])  # type: ignore[list-item] # the SDK's own documentation sends outputs back
    assert again.id == got.id
    sent = RESPONSES.read_request(parse_object(server.requests[-1].body), Grants())
    assert {"chain", "Think first.", "Not that.", "go on"} <= {passage.text for passage in sent.passages}


class City(BaseModel):
    """What a structured answer is parsed into."""

    name: str


def test_the_sdk_parses_a_structured_answer(server: ScriptedUpstream, client: openai.OpenAI) -> None:
    server.script = upstream.sends_body(
        b"".join(event.data for event in through_the_guard((Message(('{"name": "Zürich"}',)),)))
    )
    with client.responses.stream(model="demo", input="hello", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == City(name="Zürich")
    assert request(**server.requests[-1].json).streamed


@pytest.mark.parametrize("helper", [False, True])
def test_after_any_released_event_a_block_ends_the_stream_with_exactly_what_was_released(
    server: ScriptedUpstream, client: openai.OpenAI, *, helper: bool
) -> None:
    events = through_the_guard(ITEMS)
    for count in range(len(events)):
        released = events[:count]
        seen = released[-1].seen if released else None
        ending = RESPONSES.end_blocked(NAMING, seen)
        server.script = upstream.sends_body(b"".join(event.data for event in released) + ending)
        got = _events(client, helper=helper)
        last = got[-1]
        assert isinstance(last, ResponseIncompleteEvent)
        assert last.response.status == "incomplete"
        assert last.response.incomplete_details is not None
        assert last.response.incomplete_details.reason == "content_filter"
        assert [event.sequence_number for event in got] == list(range(len(got)))
        assert said_by(last.response.output) == said(got)
        done = [event.item for event in got if event.type == "response.output_item.done"]
        assert [item.to_dict() for item in last.response.output] == [item.to_dict() for item in done]
        assert _balance(got) == 0
        assert "in_progress" not in [getattr(item, "status", None) for item in last.response.output]
    assert RESPONSES.end_blocked(NAMING, events[-1].seen) == b""


@pytest.mark.parametrize("helper", [False, True])
def test_after_any_released_event_a_failure_is_the_sdks_own_error(
    server: ScriptedUpstream, client: openai.OpenAI, *, helper: bool
) -> None:
    events = through_the_guard(ITEMS)
    for count in range(len(events)):
        released = events[:count]
        ending = RESPONSES.end_failed(NAMING, released[-1].seen if released else None, Code.STOPPED)
        parsed = json.loads(ending.split(b"data: ")[1])
        assert (parsed["type"], parsed["sequence_number"]) == ("error", count)
        assert (parsed["code"], parsed["param"]) == ("stopped", None)
        server.script = upstream.sends_body(b"".join(event.data for event in released) + ending)
        with pytest.raises(openai.APIError) as raised:
            _events(client, helper=helper)
        assert raised.value.code == "stopped"
        assert TOLD[Code.STOPPED].sentence in raised.value.message
    assert RESPONSES.end_failed(NAMING, events[-1].seen, Code.STOPPED) == b""


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_ending_knows_what_left_also_when_the_reader_is_far_ahead(data: st.DataObject) -> None:
    """The note of an event does not change with what comes after it."""
    body = upstream.written(upstream.events(ITEMS))
    ahead = RESPONSES.reader(request(stream=True), NAMING)
    events = ahead.feed(body)
    count = data.draw(st.integers(1, len(events) - 1))
    just = RESPONSES.reader(request(stream=True), NAMING)
    until: list[Event] = []
    for event in upstream.events(ITEMS):
        until += just.feed(upstream.written([event]))
        if len(until) >= count:
            break
    assert RESPONSES.end_blocked(NAMING, until[count - 1].seen) == RESPONSES.end_blocked(NAMING, events[count - 1].seen)


def _events(client: openai.OpenAI, *, helper: bool) -> list[Any]:
    if helper:
        with client.responses.stream(model="demo", input="hello") as stream:
            return list(stream)
    with client.responses.create(model="demo", input="hello", stream=True) as plain:
        return list(plain)


def _balance(events: list[Any]) -> int:
    """How many beginnings have no end; nothing but a delta may come twice."""
    steps = [
        (event.type, getattr(event, "output_index", None), *(getattr(event, f"{at}_index", None) for at in _INDEXES))
        for event in events
        if not event.type.endswith(".delta")
    ]
    assert len(set(steps)) == len(steps)
    kinds = [kind for kind, *_ in steps]
    begun: int = sum(kind.endswith(".added") for kind in kinds)
    ended: int = sum(kind.endswith(("_item.done", "_part.done")) for kind in kinds)
    return begun - ended


# A real server.


def test_llama_cpp_is_understood_streamed_and_whole(
    tmp_path_factory: pytest.TempPathFactory, server: ScriptedUpstream, client: openai.OpenAI
) -> None:
    folder: Path = tmp_path_factory.mktemp("llama")
    with LlamaServer(folder) as llama, httpx.Client(base_url=llama.url, timeout=30, trust_env=False) as direct:
        for name in ("hello", "unicode"):
            read = request(input=f"script:{name}", stream=True, max_output_tokens=64)
            reader = RESPONSES.reader(read, NAMING)
            events = []
            body = RESPONSES.write_request(read, "tiny")
            with direct.stream("POST", RESPONSES.upstream_path.decode(), content=body) as answer:
                for piece in answer.iter_bytes(chunk_size=7):
                    events += reader.feed(piece)
            events += reader.finish()
            server.script = upstream.sends_body(b"".join(event.data for event in events))
            with client.responses.stream(model="demo", input="hello") as stream:
                assert stream.get_final_response().output_text == script_text(SCRIPTS[name])
            whole = RESPONSES.reader(request(), NAMING)
            body = RESPONSES.write_request(request(input=f"script:{name}", max_output_tokens=64), "tiny")
            whole.feed(direct.post(RESPONSES.upstream_path.decode(), content=body).content)
            (event,) = whole.finish()
            assert Response.model_validate_json(event.data).output_text == script_text(SCRIPTS[name])
            assert (reader.dropped, whole.dropped) == (0, 0)
