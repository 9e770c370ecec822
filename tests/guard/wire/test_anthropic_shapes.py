"""The fields that real servers send are known: none of them is counted as a surprise, and none changes a type."""

from __future__ import annotations

from typing import Any

import pytest

from guard.wire.anthropic_shapes import BLOCK_DELTA, BLOCK_START, MESSAGE, MESSAGE_DELTA, MESSAGE_START
from guard.wire.typed_answer import TypedReader

VLLM_START = b"""{"type":"message_start","message":{"id":"x","content":[],"model":"m","stop_reason":null,
"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":0}}}"""
LLAMA_START = b"""{"type":"message_start","message":{"id":"chatcmpl-1","type":"message","role":"assistant","content":[],
"model":"tiny","stop_reason":null,"stop_sequence":null,"usage":{"cache_read_input_tokens":13,"input_tokens":9,
"output_tokens":0}}}"""
HOSTED_START = b"""{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],
"model":"m","stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,
"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":
{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard",
"inference_geo":"us","server_tool_use":null,"speed":"standard","output_tokens_details":null}}}"""
HOSTED_END = b"""{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,
"container":null},"usage":{"output_tokens":9,"input_tokens":3,"server_tool_use":{"web_search_requests":0}},
"context_management":{"applied_edits":[]}}"""
SGLANG_WHOLE = b"""{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"t",
"signature":"dummy-signature"},{"type":"text","text":"x"}],"model":"m","stop_reason":"end_turn",
"usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":0}}"""
VLLM_WHOLE = b"""{"id":"x","type":"message","role":"assistant","content":[{"type":"text","text":"x","source":null,
"id":null,"tool_use_id":null,"name":null,"input":null,"content":null,"is_error":null,"tool_name":null,"thinking":null,
"signature":null,"data":null}],"model":"m","stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,
"output_tokens":2,"cache_creation_input_tokens":null,"cache_read_input_tokens":null},"kv_transfer_params":null}"""
TOOL_START = b"""{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f",
"input":{},"caller":{"type":"direct"},"toolset_name":null}}"""
SIGNED = b'{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":""}}'


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (MESSAGE_START, VLLM_START),
        (MESSAGE_START, LLAMA_START),
        (MESSAGE_START, HOSTED_START),
        (MESSAGE_DELTA, HOSTED_END),
        (MESSAGE, SGLANG_WHOLE),
        (MESSAGE, VLLM_WHOLE),
        (BLOCK_START, TOOL_START),
        (BLOCK_DELTA, SIGNED),
    ],
)
def test_nothing_that_a_known_server_sends_is_a_surprise(form: TypedReader[Any], data: bytes) -> None:
    _, dropped = form.read(data)
    assert dropped == 0


@pytest.mark.parametrize("at", ["type", "usage", "delta"])
def test_an_unknown_key_is_dropped_and_counted_wherever_it_stands(at: str) -> None:
    if at == "type":
        data = HOSTED_END.replace(b'"type":', b'"surprise":{"a":[1]},"type":', 1)
    else:
        data = HOSTED_END.replace(b'"%s":{' % at.encode(), b'"%s":{"surprise":1,' % at.encode())
    ending, dropped = MESSAGE_DELTA.read(data)
    assert dropped == 1
    assert ending.delta.stop_reason == "end_turn"
    assert ending.usage is not None
    assert ending.usage.output_tokens == 9
