"""OpenAI's Responses API, without its memory: the request's table, and how a stream ends that may not go on.

Whether the server keeps a response is never left to its default: it is told not to. The input's items are in
`openai_responses_input`, what an answer may hold is the business of `openai_responses_stream`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import msgspec

from guard.wire.dialect import TOLD, AnswerReader, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.openai_error import error_body
from guard.wire.openai_inputs import Voiced
from guard.wire.openai_responses_answer import WholeReader
from guard.wire.openai_responses_input import INPUT, NAME, SERVER_TOOLS, ByType, Empty
from guard.wire.openai_responses_output import Output, Seen, encode_event
from guard.wire.openai_responses_stream import StreamReader
from guard.wire.request import understand, written
from guard.wire.table import Either, Flag, Free, Items, Number, OneOf, Record, Refused, Spec, Text
from safeguards.verdict import Code

_MEMORY: Final = "state on the server is not offered here"
_CACHES: Final = "the guard does not let callers choose cache keys"
_FUNCTION: Final = Record(
    {"type": OneOf("function"), "name": NAME, "description": Text(), "parameters": Free(), "strict": Flag()},
    required=("type", "name"),
)
_SERVER_TOOLS: Final = dict.fromkeys(
    (
        *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
        *("file_search", "code_interpreter", "computer", "computer_use", "computer_use_preview", "mcp"),
        *("image_generation", "local_shell", "shell", "apply_patch", "tool_search", "namespace"),
        "programmatic_tool_calling",
    ),
    SERVER_TOOLS,
) | {"custom": "use function tools"}
_NAMED_TOOL: Final = Record({"type": OneOf("function"), "name": NAME}, required=("type", "name"))
_FORMATS: Final[Mapping[str, Spec]] = {
    "text": Record({"type": OneOf("text")}),
    "json_object": Record({"type": OneOf("json_object")}),
    "json_schema": Record(
        {
            "type": OneOf("json_schema"),
            "name": NAME,
            "description": Text(),
            "schema": Free(),
            "strict": Flag(),
        },
        required=("name", "schema"),
    ),
}

REQUEST: Final[Mapping[str, Spec]] = {
    # what the model reads
    "model": NAME,
    "input": INPUT,
    "instructions": Voiced("system", Text()),
    "tools": Items(ByType({"function": _FUNCTION}, _SERVER_TOOLS), limit=128),
    "tool_choice": Either(
        {
            str: OneOf("none", "auto", "required"),
            dict: ByType({"function": _NAMED_TOOL}, {**_SERVER_TOOLS, "allowed_tools": "is not offered here"}),
        }
    ),
    "text": Record({"format": ByType(_FORMATS, {}), "verbosity": OneOf("low", "medium", "high")}),
    "user": Text(limit=256),
    # what steers it
    "stream": Flag(),
    "stream_options": Record({"include_obfuscation": OneOf(False)}),
    "temperature": Number(0, 2),
    "top_p": Number(0, 1),
    "max_output_tokens": Number(1, 1_000_000, whole=True),
    "parallel_tool_calls": Flag(),
    "reasoning": Record(
        {
            "effort": OneOf("none", "minimal", "low", "medium", "high", "xhigh", "max"),
            "summary": OneOf("auto", "concise", "detailed"),
            "generate_summary": Refused("use summary"),
            "context": Refused(_MEMORY),
        }
    ),
    "truncation": OneOf("disabled"),
    "store": OneOf(False),
    "background": OneOf(False),
    "include": Empty("nothing beside the answer's text is offered here"),
    # what is known and not served, so that the answer can say why
    "background_options": Refused("responses in the background are not offered here"),
    "context_management": Refused(_MEMORY),
    "conversation": Refused(_MEMORY),
    "max_tool_calls": Refused(SERVER_TOOLS),
    "metadata": Refused(_MEMORY),
    "moderation": Refused("moderation is the guard's own work"),
    "previous_response_id": Refused(_MEMORY),
    "prompt": Refused("prompt templates on the server cannot be inspected; send the text"),
    "prompt_cache_key": Refused(_CACHES),
    "prompt_cache_options": Refused(_CACHES),
    "prompt_cache_retention": Refused(_CACHES),
    "safety_identifier": Refused("the guard knows its callers by their keys"),
    "service_tier": Refused("tiers are the operator's"),
    "top_logprobs": Refused("log probabilities carry text beside the answer"),
}
# Settings of the request that its response repeats to the same caller; all of them were inspected with it.
_REPEATED: Final = (
    *("max_output_tokens", "parallel_tool_calls", "reasoning", "temperature"),
    *("text", "tool_choice", "tools", "top_p", "truncation"),
)
_ENCODER: Final = msgspec.json.Encoder()


@cache
def _table(kind: str) -> Record:
    return Record({**extra_keys(kind, OpenAIResponses.operation), **REQUEST}, required=("model", "input"))


class OpenAIResponses:
    """``POST /v1/responses``; no key of it can be allowed by name beyond the tables."""

    name = "openai.responses"
    operation = "responses"
    upstream_path = b"/v1/responses"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read strictly by the tables; raises BadField."""
        request = understand(_table(grants.kind), fields)
        return replace(request, fields={**request.fields, "store": False})

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer."""
        echo = {key: request.fields[key] for key in _REPEATED if key in request.fields}
        return StreamReader(naming, echo) if request.streamed else WholeReader(naming, echo)

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return error_body(code, request, detail)

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Close what is open with the text that was released, then the response as cut by a content filter."""
        data = b""
        if isinstance(seen, Seen):
            output, step = seen.output, seen.step
        else:
            output = Output(naming, {})
            data = b"".join(event.data for event in output.begin())
            step = output.next - 1
        if step >= output.ended:
            return data
        events = enumerate(output.cut(step, "content_filter"), step + 1)
        return data + b"".join(encode_event(name, number, body) for number, (name, body) in events)

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """An ``error`` event; its own fields are the protocol's, ``error`` within it is what the SDKs raise on."""
        step = 0
        if isinstance(seen, Seen):
            if seen.step >= seen.output.ended:
                return b""
            step = seen.step + 1
        envelope = msgspec.json.decode(error_body(code, naming.request, begun=True))
        told = {
            "code": code.value,
            "message": f"{TOLD[code].words(begun=True)} (request {naming.request})",
            "param": None,
        }
        return encode_event("error", step, {**told, **envelope})
