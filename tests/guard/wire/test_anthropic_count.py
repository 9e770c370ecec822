"""Counting tokens: the prompt is inspected like a message's, and the answer is one number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.anthropic_count import MAX_BODY, AnthropicCount
from guard.wire.dialect import Event, Grants, Request
from guard.wire.sse import BadStream
from guard.wire.strict_json import BadField
from tests.guard.wire.anthropic_streams import ASK, LEAK, NAMING, client
from tests.parts.llama import LlamaServer

DIALECT: Final = AnthropicCount()
PROMPT: Final[dict[str, Any]] = {
    "model": "fable",
    "system": "be kind",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
    "thinking": {"type": "disabled"},
}


def _read(**more: Any) -> Request:
    return DIALECT.read_request({**PROMPT, **more}, Grants())


def _answer(body: bytes) -> Event:
    reader = DIALECT.reader(_read(), NAMING)
    for at in range(len(body)):
        assert reader.feed(body[at : at + 1]) == []
    (event,) = reader.finish()
    assert reader.done
    assert not reader.channels
    return event


def test_the_prompt_is_inspected_and_sent_as_read() -> None:
    request = _read(cache_control={"type": "ephemeral"})
    assert {passage.text for passage in request.passages} == {"be kind", "hello", "f", "type\nobject"}
    assert not request.streamed
    assert json.loads(DIALECT.write_request(request, "up")) == {**PROMPT, "model": "up"}


@pytest.mark.parametrize("key", ["max_tokens", "stream", "temperature", "stop_sequences", "metadata", "mcp_servers"])
def test_what_does_not_belong_to_a_prompt_is_refused(key: str) -> None:
    with pytest.raises(BadField, match=key):
        _read(**{key: ASK.get(key, 1)})


def test_the_real_sdk_reads_the_number_and_nothing_else_passes() -> None:
    event = _answer(json.dumps({"input_tokens": 20, "context_management": {"x": LEAK}, "more": LEAK}).encode())
    assert event.data == b'{"input_tokens":20}'
    assert event.channel is None
    counted = client(event.data).messages.count_tokens(model="fable", messages=ASK["messages"])
    assert counted.input_tokens == 20


def test_unknown_fields_are_counted_as_dropped() -> None:
    reader = DIALECT.reader(_read(), NAMING)
    reader.feed(json.dumps({"input_tokens": 1, "context_management": {}, "more": 1}).encode())
    reader.finish()
    assert reader.dropped == 1
    assert (reader.prompt_tokens, reader.completion_tokens) == (None, None)


@given(
    st.binary()
    | st.sampled_from([b"{}", b"[]", b'{"input_tokens":-1}', b'{"input_tokens":"9"}', b'{"input_tokens":1.5}'])
    | st.just(b'{"input_tokens":99999999999}')
)
def test_what_is_no_count_is_a_bad_stream(body: bytes) -> None:
    with pytest.raises(BadStream):
        _answer(body)


def test_the_answer_is_bounded() -> None:
    reader = DIALECT.reader(_read(), NAMING)
    with pytest.raises(BadStream):
        reader.feed(b" " * (MAX_BODY + 1))


def test_a_real_server_counts_what_the_dialect_sends(tmp_path: Path) -> None:
    with LlamaServer(tmp_path) as server:
        url = server.url + DIALECT.upstream_path.decode()
        short, long = (
            json.loads(
                _answer(httpx.post(url, content=DIALECT.write_request(request, "tiny"), timeout=60).content).data
            )
            for request in (_read(), _read(system="be very kind"))
        )
    assert long["input_tokens"] == short["input_tokens"] + len("very ")
