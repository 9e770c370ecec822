"""OpenAI chat completions, streamed and whole: the request's table, and the answer read and written anew.

The table names every key that a request may have; what an answer may hold is the business of `openai_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from guard.wire.dialect import AnswerReader, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.openai_answer import Seen, StreamReader, WholeReader
from guard.wire.openai_error import error_body, error_event
from guard.wire.request import understand, written
from guard.wire.strict_json import BadField
from guard.wire.table import (
    Collector,
    Either,
    Flag,
    Free,
    Items,
    JsonText,
    Label,
    Number,
    OneOf,
    Record,
    Refused,
    Spec,
    Text,
)
from safeguards.verdict import Code

_NAME = Label(limit=256)
_ID = Label(limit=128)
_MODALITY = "no mounted classifier can judge this kind of part; send text"
_MEMORY = "state on the server is not offered here"

_TEXT_PART = Record({"type": OneOf("text"), "text": Text()}, required=("type", "text"))
_REFUSAL_PART = Record({"type": OneOf("refusal"), "refusal": Text()}, required=("type", "refusal"))


class _Part:
    """A content part, told apart by its ``type``; only text is served."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "text":
            return _TEXT_PART.read(value, place, into)
        if kind == "refusal":
            return _REFUSAL_PART.read(value, place, into)
        raise BadField(f"{place}.type", _MODALITY)


_CONTENT = Either({str: Text(), list: Items(_Part(), limit=256, least=1)})
_CALL = Record(
    {
        "id": _ID,
        "type": OneOf("function"),
        "function": Record({"name": _NAME, "arguments": JsonText()}, required=("name", "arguments")),
    },
    required=("id", "type", "function"),
)
_ROLES: Final[Mapping[str, Record]] = {
    "system": Record({"role": OneOf("system"), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "developer": Record({"role": OneOf("developer"), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "user": Record({"role": OneOf("user"), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "assistant": Record(
        {
            "role": OneOf("assistant"),
            "content": _CONTENT,
            "name": _NAME,
            "refusal": Text(),
            "reasoning_content": Text(),
            "tool_calls": Items(_CALL, limit=128, least=1),
            "audio": Refused(_MODALITY),
            "function_call": Refused("use tool_calls"),
            "annotations": Refused("is not taken back in a request"),
        }
    ),
    "tool": Record(
        {"role": OneOf("tool"), "content": _CONTENT, "tool_call_id": _ID}, required=("content", "tool_call_id")
    ),
}


class _Message:
    """One message; its role decides which keys it may have and whose voice its texts are."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        role = value.get("role") if isinstance(value, dict) else None
        record = _ROLES.get(role) if isinstance(role, str) else None
        if record is None:
            raise BadField(f"{place}.role", f"must be one of {', '.join(_ROLES)}")
        into.role = str(role)
        sent = record.read(value, place, into)
        into.role = "control"
        return sent


_FUNCTION = Record({"name": _NAME, "description": Text(), "parameters": Free(), "strict": Flag()}, required=("name",))
_TOOL = Record({"type": OneOf("function"), "function": _FUNCTION}, required=("type", "function"))
_NAMED_TOOL = Record(
    {"type": OneOf("function"), "function": Record({"name": _NAME}, required=("name",))}, required=("type", "function")
)
_SCHEMA = Record({"name": _NAME, "description": Text(), "schema": Free(), "strict": Flag()}, required=("name",))

REQUEST: Final[Mapping[str, Spec]] = {
    # what the model reads
    "model": _NAME,
    "messages": Items(_Message(), limit=4096, least=1),
    "tools": Items(_TOOL, limit=128),
    "tool_choice": Either({str: OneOf("none", "auto", "required"), dict: _NAMED_TOOL}),
    "response_format": Record(
        {"type": OneOf("text", "json_object", "json_schema"), "json_schema": _SCHEMA}, required=("type",)
    ),
    "stop": Either({str: Text(limit=256), list: Items(Text(limit=256), limit=8)}),
    "user": Text(limit=256),
    # what steers it
    "stream": Flag(),
    "stream_options": Record({"include_usage": Flag(), "include_obfuscation": OneOf(False)}),
    "temperature": Number(0, 2),
    "top_p": Number(0, 1),
    "frequency_penalty": Number(-2, 2),
    "presence_penalty": Number(-2, 2),
    "seed": Number(-(2**63), 2**63 - 1, whole=True),
    "n": Number(1, 8, whole=True),
    "max_tokens": Number(1, 1_000_000, whole=True),
    "max_completion_tokens": Number(1, 1_000_000, whole=True),
    "parallel_tool_calls": Flag(),
    "reasoning_effort": OneOf("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": OneOf("low", "medium", "high"),
    "modalities": Items(OneOf("text"), limit=1),
    "logprobs": OneOf(False),
    "store": OneOf(False),
    # what is known and not served, so that the answer can say why
    "audio": Refused(_MODALITY),
    "functions": Refused("use tools"),
    "function_call": Refused("use tool_choice"),
    "logit_bias": Refused("token ids cannot be inspected"),
    "metadata": Refused(_MEMORY),
    "prediction": Refused("is not offered here"),
    "prompt_cache_key": Refused("the guard does not let callers choose cache keys"),
    "safety_identifier": Refused("the guard knows its callers by their keys"),
    "service_tier": Refused("tiers are the operator's"),
    "top_logprobs": Refused("log probabilities carry text beside the answer"),
    "web_search_options": Refused("tools that run on the server are not offered here"),
}


@cache
def _table(kind: str) -> Record:
    """The table for models behind this kind of server: its harmless extra keys beside ours, and ours win."""
    return Record({**extra_keys(kind, "chat"), **REQUEST}, required=("model", "messages"))


_ENCODER = msgspec.json.Encoder()


class OpenAIChat:
    """``POST /v1/chat/completions``."""

    name = "openai.chat"
    operation = "chat"
    upstream_path = b"/v1/chat/completions"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Understand by the table; raises BadField."""
        return understand(_table(grants.kind), fields)

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer."""
        choices: int = request.fields.get("n", 1)
        return StreamReader(naming, choices) if request.streamed else WholeReader(naming, choices)

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return error_body(code, request, detail)

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Finish every open choice with ``content_filter``, then ``[DONE]``."""
        choices = seen.unfinished if isinstance(seen, Seen) else (0,)
        chunk = {
            "id": f"chatcmpl-{naming.request}",
            "object": "chat.completion.chunk",
            "created": naming.created,
            "model": naming.model,
            "choices": [{"index": choice, "delta": {}, "finish_reason": "content_filter"} for choice in choices],
        }
        return b"data: " + _ENCODER.encode(chunk) + b"\n\ndata: [DONE]\n\n"

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """Put the error into the stream; no ``[DONE]`` follows."""
        return error_event(code, naming.request)
