"""OpenAI chat completions, streamed and whole: the request's table, and the answer read and written anew.

The table names every key that a request may have. Of an answer only what `_Chunk` and `_Whole` name is passed on,
written from the parsed value; known side keys are dropped silently, unknown ones are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from guard.wire.dialect import TOLD, AnswerReader, Naming, Request
from guard.wire.openai_answer import StreamReader, WholeReader
from guard.wire.strict_json import BadField, parse_object
from guard.wire.table import (
    Collector,
    Either,
    Flag,
    Free,
    Items,
    JsonText,
    Number,
    OneOf,
    Record,
    Refused,
    Spec,
    Text,
)
from safeguards.verdict import Code

_NAME = Text(limit=256)
_ID = Text(limit=128)
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
    "system": Record({"role": Text(), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "developer": Record({"role": Text(), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "user": Record({"role": Text(), "content": _CONTENT, "name": _NAME}, required=("content",)),
    "assistant": Record(
        {
            "role": Text(),
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
    "tool": Record({"role": Text(), "content": _CONTENT, "tool_call_id": _ID}, required=("content", "tool_call_id")),
}


class _Message:
    """One message; its role decides which keys it may have and whose voice its texts are."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        role = value.get("role") if isinstance(value, dict) else None
        record = _ROLES.get(role) if isinstance(role, str) else None
        if record is None:
            raise BadField(f"{place}.role", f"must be one of {', '.join(_ROLES)}")
        assert isinstance(role, str)  # noqa: S101 - narrows what the line above has shown
        into.role = role
        sent = record.read(value, place, _WithoutRole(into))
        into.role = "control"
        return sent


class _WithoutRole(Collector):
    """Hands texts on, except the role itself: it is one of five words."""

    __slots__ = ("_into",)

    def __init__(self, into: Collector) -> None:
        self._into = into
        self.role = into.role

    def text(self, place: str, text: str) -> None:
        if not place.endswith("].role"):
            self._into.text(place, text)


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
_TABLE = Record({**REQUEST}, required=("model", "messages"))
_ENCODER = msgspec.json.Encoder()
_ERROR_TYPES: Final[Mapping[int, str]] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIChat:
    """``POST /v1/chat/completions``."""

    name = "openai.chat"
    operation = "chat"
    upstream_path = b"/v1/chat/completions"

    def read_request(self, body: bytes) -> Request:
        """Parse strictly by the table; raises BadField."""
        into = Collector()
        fields = _TABLE.read(parse_object(body), "", into)
        passages = tuple(passage for passage in into.passages if passage.place != "model")
        model = fields.pop("model")
        return Request(model, bool(fields.get("stream")), passages, fields)

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        try:
            return _ENCODER.encode({"model": model, **request.fields})
        except UnicodeEncodeError:
            raise BadField("", "a string holds half a surrogate pair") from None

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer."""
        return StreamReader(naming) if request.streamed else WholeReader(naming)

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return _ENCODER.encode({"error": _error(code, request, detail)})

    def end_blocked(self, naming: Naming, choices: list[int]) -> bytes:
        """Finish every open choice with ``content_filter``, then ``[DONE]``."""
        chunk = {
            "id": f"chatcmpl-{naming.request}",
            "object": "chat.completion.chunk",
            "created": naming.created,
            "model": naming.model,
            "choices": [{"index": choice, "delta": {}, "finish_reason": "content_filter"} for choice in choices],
        }
        return b"data: " + _ENCODER.encode(chunk) + b"\n\ndata: [DONE]\n\n"

    def end_failed(self, naming: Naming, code: Code) -> bytes:
        """Put the error into the stream; no ``[DONE]`` follows."""
        return b"data: " + _ENCODER.encode({"error": _error(code, naming.request, "")}) + b"\n\n"


def _error(code: Code, request: str, detail: str) -> dict[str, object]:
    told = TOLD[code]
    place, _, problem = detail.partition(": ")
    message = f"{told.sentence} {detail}".rstrip()
    kind = _ERROR_TYPES.get(told.status, "invalid_request_error" if told.status < 500 else "server_error")  # noqa: PLR2004 - HTTP's own border
    param = place if problem else None
    return {"message": f"{message} (request {request})", "type": kind, "param": param, "code": code.value}
