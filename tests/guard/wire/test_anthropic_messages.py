"""Requests, errors and endings of Anthropic messages, judged by the real SDK where it is the reader.

In one file, as the source is; a third of it is the table of what is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.anthropic_answer import Seen
from guard.wire.anthropic_messages import AnthropicMessages
from guard.wire.dialect import TOLD, Grants, Request
from guard.wire.strict_json import BadField, parse_object
from safeguards.verdict import Code
from tests.guard.wire.anthropic_streams import FULL, NAMING, begin, client, delta, helper, raw_events, read, start
from tests.parts.llama import LlamaServer

DIALECT: Final = AnthropicMessages()
SECRET: Final = "SECRET-OF-THE-CALLER"
FILLED: Final[dict[str, Any]] = {
    "model": "fable",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "they greet", "signature": ""},
                {"type": "text", "text": "hi", "citations": None},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"key": ['"quoted"\n', 7, True, None]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "plain", "is_error": False},
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "listed"}]},
                {"type": "tool_result", "tool_use_id": "toolu_1", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "and?"},
            ],
        },
        {"role": "system", "content": "stay kind"},
    ],
    "tools": [
        {
            "name": "f",
            "description": "does it",
            "input_schema": {"type": "object", "properties": {"key": {"description": "deep"}}},
            "input_examples": [{"key": "example"}],
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "custom", "name": "g", "input_schema": {}, "strict": True},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "metadata": {"user_id": "somebody"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"title": "shape"}}},
    "stream": True,
    "cache_control": {"type": "ephemeral"},
}


def _read(fields: dict[str, Any], *keys: str, kind: str = "") -> Request:
    return DIALECT.read_request(parse_object(json.dumps(fields).encode()), Grants(kind, frozenset(keys)))


def _asked(**more: Any) -> dict[str, Any]:
    return {"model": "fable", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], **more}


def _said(role: str, *blocks: Any) -> dict[str, Any]:
    return _asked(messages=[{"role": role, "content": list(blocks)}])


def test_every_text_is_inspected_in_the_voice_that_speaks_it() -> None:
    request = _read(FILLED)
    assert (request.model, request.streamed) == ("fable", True)
    found = {passage.place: (passage.role, passage.text) for passage in request.passages}
    assert found == {
        "system[0].text": ("system", "be kind"),
        "messages[0].content": ("user", "hello"),
        "messages[1].content[0].thinking": ("assistant", "they greet"),
        "messages[1].content[1].text": ("assistant", "hi"),
        "messages[1].content[2].id": ("control", "toolu_1"),
        "messages[1].content[2].name": ("control", "f"),
        "messages[1].content[2].input": ("assistant", 'key\n"quoted"\n\n7'),
        "messages[2].content[0].tool_use_id": ("control", "toolu_1"),
        "messages[2].content[0].content": ("tool", "plain"),
        "messages[2].content[1].tool_use_id": ("control", "toolu_1"),
        "messages[2].content[1].content[0].text": ("tool", "listed"),
        "messages[2].content[2].tool_use_id": ("control", "toolu_1"),
        "messages[2].content[3].text": ("user", "and?"),
        "messages[3].content": ("system", "stay kind"),
        "tools[0].name": ("control", "f"),
        "tools[0].description": ("control", "does it"),
        "tools[0].input_schema": ("control", "type\nobject\nproperties\nkey\ndescription\ndeep"),
        "tools[0].input_examples[0]": ("control", "key\nexample"),
        "tools[1].name": ("control", "g"),
        "tool_choice.name": ("control", "f"),
        "stop_sequences[0]": ("control", "END"),
        "metadata.user_id": ("control", "somebody"),
        "output_config.format.schema": ("control", "title\nshape"),
    }


def test_what_is_sent_is_what_was_read_without_cache_control() -> None:
    sent = json.loads(DIALECT.write_request(_read(FILLED), "upstream"))
    expected = json.loads(json.dumps(FILLED)) | {"model": "upstream"}
    for place in (expected, expected["system"][0], expected["tools"][0], expected["messages"][2]["content"][2]):
        del place["cache_control"]
    del expected["messages"][1]["content"][1]["citations"]
    assert sent == expected


def test_what_the_guard_answers_may_be_sent_back_to_it() -> None:
    message = helper(b"".join(event.data for event in read(FULL)[1]))
    sent: list[Any] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        return httpx2.Response(400, json={})

    http = httpx2.Client(transport=httpx2.MockTransport(keep))
    sdk = anthropic.Anthropic(api_key="k", base_url="http://guard", http_client=http, max_retries=0)
    history: Any = [{"role": "user", "content": "x"}, {"role": "assistant", "content": message.content}]
    with pytest.raises(anthropic.BadRequestError):
        sdk.messages.create(model="fable", max_tokens=5, messages=history)
    texts = [passage.text for passage in _read(sent[0]).passages if passage.role == "assistant"]
    assert texts == ["Let me see… yes", "Grüße 🌞", "city\nBerlin\ndays\n1\n2"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        (_asked(container="c"), "container"),
        (_asked(mcp_servers=[]), "mcp_servers"),
        (_asked(service_tier="auto"), "service_tier"),
        (_asked(context_management={}), "context_management"),
        (_asked(chat_template=SECRET), "chat_template"),
        (_asked(surprise=SECRET), "surprise"),
        (_asked(max_tokens=0), "max_tokens"),
        (_asked(max_tokens=None), "max_tokens"),
        (_asked(temperature=3), "temperature"),
        (_asked(top_k=1.5), "top_k"),
        (_asked(stream="true"), "stream"),
        (_asked(metadata={"user_id": "u", "email": SECRET}), "metadata.email"),
        (_asked(cache_control={"type": "ephemeral", "ttl": "2h"}), "cache_control.ttl"),
        (_asked(thinking={"type": "enabled"}), "thinking.budget_tokens"),
        (_asked(thinking={"type": SECRET}), "thinking.type"),
        (_asked(thinking="on"), "thinking"),
        (_asked(tool_choice={"type": "tool"}), "tool_choice.name"),
        (_asked(tool_choice={"type": "auto", "name": "f"}), "tool_choice.name"),
        (_asked(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "tools[0].type"),
        (_asked(tools=[{"name": "f"}]), "tools[0].input_schema"),
        (_asked(tools=[{"name": "f", "input_schema": {}, "defer_loading": True}]), "tools[0].defer_loading"),
        (_asked(system=[{"type": "image", "source": {}}]), "system[0].type"),
        (_asked(messages=[]), "messages"),
        (_asked(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (_asked(messages=[{"role": ["user"], "content": "x"}]), "messages[0].role"),
        (_asked(messages=[{"role": "user"}]), "messages[0].content"),
        (_asked(messages=[{"role": "user", "content": {"type": "text"}}]), "messages[0].content"),
        (_asked(messages=[{"role": "user", "content": "x", "name": "n"}]), "messages[0].name"),
        (_said("user", {"type": "image", "source": {"type": "url", "url": SECRET}}), "messages[0].content[0].type"),
        (_said("user", {"type": "document", "source": {}}), "messages[0].content[0].type"),
        (_said("user", {"type": "container_upload", "file_id": "f"}), "messages[0].content[0].type"),
        (_said("user", {"type": "tool_use", "id": "i", "name": "f", "input": {}}), "messages[0].content[0]"),
        (_said("user", {"type": "thinking", "thinking": "x"}), "messages[0].content[0].type"),
        (_said("assistant", {"type": "tool_result", "tool_use_id": "i"}), "messages[0].content[0].type"),
        (_said("assistant", {"type": "redacted_thinking", "data": "AAAA"}), "messages[0].content[0]"),
        (
            _said("assistant", {"type": "thinking", "thinking": "x", "signature": "AA"}),
            "messages[0].content[0].signature",
        ),
        (
            _said("assistant", {"type": "tool_use", "id": "i", "name": "f", "input": "{}"}),
            "messages[0].content[0].input",
        ),
        (_said("user", "x"), "messages[0].content[0]"),
        (
            _said("user", {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "image"}]}),
            "messages[0].content[0].content[0].type",
        ),
        (_said("user", {"type": "text", "text": "x", "citations": [{}]}), "messages[0].content[0].citations"),
    ],
)
def test_what_is_not_served_is_refused_by_name_and_never_quoted(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(BadField) as caught:
        _read(fields)
    assert caught.value.place == place
    assert SECRET not in str(caught.value)


def test_opaque_parts_pass_only_if_the_model_s_file_grants_them_and_are_inspected() -> None:
    signed = _said("assistant", {"type": "thinking", "thinking": "x", "signature": "QUJD+/_-="})
    request = _read(signed, "signature")
    assert ("messages[0].content[0].signature", "QUJD+/_-=") in {(p.place, p.text) for p in request.passages}
    redacted = _said("assistant", {"type": "redacted_thinking", "data": "QUJD"})
    assert (
        json.loads(DIALECT.write_request(_read(redacted, "redacted_thinking"), "m"))["messages"] == redacted["messages"]
    )
    for fields, key in ((signed, "redacted_thinking"), (redacted, "signature")):
        with pytest.raises(BadField):
            _read(fields, key)
    prose = _said("assistant", {"type": "thinking", "thinking": "x", "signature": "some prose"})
    with pytest.raises(BadField, match="base64"):
        _read(prose, "signature")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(FILLED)), _JSON)
def test_any_value_under_any_key_is_understood_or_a_bad_field(key: str, value: Any) -> None:
    try:
        request = DIALECT.read_request({**FILLED, key: value}, Grants())
    except BadField:
        return
    assert json.loads(DIALECT.write_request(request, "m"))["model"] == "m"


@given(st.text(min_size=1, max_size=30), st.sampled_from(["user", "assistant", "tool", "input"]))
def test_no_text_reaches_the_model_that_is_not_a_passage(text: str, where: str) -> None:
    fields = {
        "user": _said("user", {"type": "text", "text": text}),
        "assistant": _said("assistant", {"type": "text", "text": text}),
        "tool": _said("user", {"type": "tool_result", "tool_use_id": "i", "content": text}),
        "input": _said("assistant", {"type": "tool_use", "id": "i", "name": "f", "input": {text: {"k": [text]}}}),
    }[where]
    assert any(text in passage.text for passage in _read(fields).passages)


# Errors

_RAISED: Final = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
}


@pytest.mark.parametrize("code", list(Code))
def test_an_error_is_the_sdk_s_own_and_names_the_code(code: Code) -> None:
    told = TOLD[code]
    body = DIALECT.error(code, "0a1b", "messages[0]: is odd")
    with pytest.raises(_RAISED.get(told.status, anthropic.APIStatusError)) as caught:
        client(body, told.status).messages.create(model="m", max_tokens=1, messages=[])
    assert caught.value.error_code == code.value
    assert caught.value.api_message == f"{told.sentence} messages[0]: is odd"
    answer = json.loads(body)
    assert (answer["type"], answer["request_id"]) == ("error", "0a1b")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.BAD_REQUEST, "invalid_request_error"),
        (Code.METHOD_NOT_ALLOWED, "invalid_request_error"),
        (Code.UNAUTHENTICATED, "authentication_error"),
        (Code.CONTENT_BLOCKED, "permission_error"),
        (Code.UNKNOWN_MODEL, "not_found_error"),
        (Code.TOO_LARGE, "request_too_large"),
        (Code.RATE_LIMITED, "rate_limit_error"),
        (Code.UPSTREAM_TIMEOUT, "timeout_error"),
        (Code.STOPPED, "api_error"),
        (Code.INTERNAL, "api_error"),
        (Code.OVERLOADED, "overloaded_error"),
    ],
)
def test_an_error_s_type_follows_its_status(code: Code, kind: str) -> None:
    assert json.loads(DIALECT.error(code, "r"))["error"]["type"] == kind


# Endings

_PREFIXES: Final = range(len(read(FULL)[1]) + 1)


def _released(count: int) -> tuple[bytes, object]:
    events = read(FULL)[1][:count]
    return b"".join(event.data for event in events), events[-1].seen if events else None


@pytest.mark.parametrize("count", _PREFIXES)
def test_a_blocked_stream_ends_cleanly_wherever_it_is_cut(count: int) -> None:
    data, seen = _released(count)
    data += DIALECT.end_blocked(NAMING, seen)
    message = helper(data)
    over = count == len(_PREFIXES) - 1
    assert message.stop_reason == ("tool_use" if over else "refusal")
    assert message.id == "msg_0a1b"
    names = [event.type for event in raw_events(data)]
    assert names.count("content_block_start") == names.count("content_block_stop") == len(message.content)
    assert names.count("message_stop") == names.count("message_start") == 1
    assert names[-1] == "message_stop"


@pytest.mark.parametrize("count", _PREFIXES)
def test_a_failed_stream_raises_the_sdk_s_own_error_wherever_it_is_cut(count: int) -> None:
    data, seen = _released(count)
    data += DIALECT.end_failed(NAMING, seen, Code.STOPPED)
    for reading in (helper, raw_events):
        with pytest.raises(anthropic.APIStatusError) as caught:
            reading(data)
        assert caught.value.error_code == "stopped"
        assert caught.value.type == "api_error"
    assert data.endswith(b"\n\n")
    assert data.count(b"event: error\n") == 1


_ARGUMENTS: Final = '{"a":{"b":[1,-2.5e3,true,"\\u00e9\\n"]},"c":null}'


@pytest.mark.parametrize("count", range(len(_ARGUMENTS) + 1))
def test_a_tool_call_cut_anywhere_never_breaks_the_sdk(count: int) -> None:
    sent = begin() + start(0, type="tool_use", id="i", name="f", input={})
    events = read(sent + b"".join(delta(0, "input_json_delta", partial_json=each) for each in _ARGUMENTS[:count]))[1]
    data = b"".join(event.data for event in events)
    assert helper(data + DIALECT.end_blocked(NAMING, events[-1].seen)).stop_reason == "refusal"
    with pytest.raises(anthropic.APIStatusError):
        helper(data + DIALECT.end_failed(NAMING, events[-1].seen, Code.UPSTREAM_FAILED))


def test_what_is_over_is_not_ended_twice_and_what_never_began_begins() -> None:
    assert DIALECT.end_blocked(NAMING, Seen(over=True)) == b""
    message = helper(DIALECT.end_blocked(NAMING, None))
    assert (message.content, message.stop_reason, message.model) == ([], "refusal", "fable")


def test_the_blocked_ending_repeats_the_count_that_was_told_last() -> None:
    (event,) = read(begin(input_tokens=5, output_tokens=3))[1]
    usage = helper(event.data + DIALECT.end_blocked(NAMING, event.seen)).usage
    assert (usage.input_tokens, usage.output_tokens) == (5, 3)


def test_a_real_server_takes_what_the_dialect_sends(tmp_path: Path) -> None:
    with LlamaServer(tmp_path) as server:
        asked = {**FILLED, "messages": [*FILLED["messages"][:3], {"role": "user", "content": "script:hello"}]}
        del asked["output_config"]
        del asked["tool_choice"]
        body = DIALECT.write_request(_read(asked, kind="llamacpp"), "tiny")
        answer = httpx.post(server.url + DIALECT.upstream_path.decode(), content=body, timeout=60)
        reader, _ = read(answer.content)
        assert reader.done, answer.text
