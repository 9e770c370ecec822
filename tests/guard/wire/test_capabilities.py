"""What a request uses of a model, in every dialect that can."""

from __future__ import annotations

from typing import Any

import pytest

from guard.wire.capabilities import capabilities
from guard.wire.dialect import NOTHING_GRANTED
from guard.wire.routes import DIALECTS
from safeguards.scope import Capability

TOOLS, STREAMING, STRUCTURED = Capability.TOOLS, Capability.STREAMING, Capability.STRUCTURED_OUTPUT
SAID: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ASKED: dict[str, Any] = {"model": "m", "input": "hi", "store": False}
ANTHROPIC: dict[str, Any] = {**SAID, "max_tokens": 5}
FUNCTION = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]
SCHEMA = {"type": "json_schema", "name": "s", "schema": {"type": "object"}}
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
GIVEN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "1"}]}


@pytest.mark.parametrize(
    ("operation", "fields", "found"),
    [
        ("chat", SAID, ()),
        ("chat", {**SAID, "stream": True}, (STREAMING,)),
        ("chat", {**SAID, "tools": [FUNCTION]}, (TOOLS,)),
        ("chat", {**SAID, "tools": []}, ()),
        ("chat", {**SAID, "messages": [*SAID["messages"], *RESULT]}, (TOOLS,)),
        ("chat", {**SAID, "response_format": {"type": "json_object"}}, (STRUCTURED,)),
        ("chat", {**SAID, "response_format": {"type": "text"}}, ()),
        ("chat", {**SAID, "tools": [FUNCTION], "stream": True}, (TOOLS, STREAMING)),
        ("completions", {"model": "m", "prompt": "hi", "stream": True}, (STREAMING,)),
        ("responses", ASKED, ()),
        ("responses", {**ASKED, "text": {"format": SCHEMA}}, (STRUCTURED,)),
        ("responses", {**ASKED, "text": {"format": {"type": "text"}}}, ()),
        ("responses", {**ASKED, "tools": [{"type": "function", "name": "f"}]}, (TOOLS,)),
        (
            "responses",
            {**ASKED, "input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]},
            (TOOLS,),
        ),
        ("messages", ANTHROPIC, ()),
        ("messages", {**ANTHROPIC, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}, (TOOLS,)),
        ("messages", {**ANTHROPIC, "messages": [*SAID["messages"], USED, GIVEN]}, (TOOLS,)),
        (
            "messages",
            {**ANTHROPIC, "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            (STRUCTURED,),
        ),
        ("embeddings", {"model": "m", "input": "hi"}, ()),
    ],
)
def test_what_is_used_is_seen(operation: str, fields: dict[str, Any], found: tuple[Capability, ...]) -> None:
    dialect = next(each for each in DIALECTS if each.operation == operation)
    assert capabilities(dialect.read_request(dict(fields), NOTHING_GRANTED)) == found
