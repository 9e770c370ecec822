"""Anthropic messages, streamed and whole: the request's table, the error envelope, and the endings of a stream.

What an answer may hold is the business of `anthropic_answer`; counting a prompt's tokens is `anthropic_count`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from guard.wire.anthropic_answer import Seen, StreamReader, WholeReader, frame, message, quote
from guard.wire.dialect import TOLD, AnswerReader, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.request import understand, written
from guard.wire.strict_json import BadField
from guard.wire.table import Collector, Either, Flag, Free, Items, Label, Number, OneOf, Record, Refused, Spec, Text
from safeguards.verdict import Code

_NAME = Label(limit=256)
_ID = Label(limit=128)
_MODALITY = "no mounted classifier can judge this kind of block; send text"
_SERVER_SIDE = "tools that run on the server are not offered here; send custom tools"
_MEMORY = "state on the server is not offered here"
_OPAQUE = "is opaque, so it cannot be inspected; leave the block out"
_BASE64 = re.compile(r"[A-Za-z0-9+/_=-]*")


class _Kinds:
    """An object told apart by one of its keys; what is no kind that is served is refused with a reason."""

    def __init__(self, key: str, kinds: Mapping[str, Spec], otherwise: str, *, default: str = "") -> None:
        self._key = key
        self._kinds = kinds
        self._otherwise = otherwise
        self._default = default

    def read(self, value: Any, place: str, into: Collector) -> Any:
        if not isinstance(value, dict):
            raise BadField(place, "must be an object")
        kind = value.get(self._key)
        spec = self._kinds.get(self._default if kind is None else kind) if isinstance(kind, str | None) else None
        if spec is None:
            raise BadField(f"{place}.{self._key}", self._otherwise)
        return spec.read(value, place, into)


class _Voice:
    """Says whose voice the texts of a part are."""

    def __init__(self, role: str, spec: Spec) -> None:
        self._role = role
        self._spec = spec

    def read(self, value: Any, place: str, into: Collector) -> Any:
        before, into.role = into.role, self._role
        sent = self._spec.read(value, place, into)
        into.role = before
        return sent


class Cacheable:
    """A record that may carry ``cache_control``: SDKs set it often, and nothing depends on it, so it is not sent on."""

    _CACHE = Record({"type": OneOf("ephemeral"), "ttl": OneOf("5m", "1h")}, required=("type",))

    def __init__(self, keys: Mapping[str, Spec], *, required: tuple[str, ...] = ()) -> None:
        """Take the table without that key."""
        self._record = Record({**keys, "cache_control": self._CACHE}, required=required)

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read it; raises BadField."""
        sent = self._record.read(value, place, into)
        sent.pop("cache_control", None)
        return sent


class _Opaque(Label):
    """What only the model's maker can read: passed if the model's file grants it, as base64 that cannot hold prose.

    Letters can: so it is inspected like any label, and without the grant only the empty string passes, which is what
    the guard itself gives callers for a signature.
    """

    def __init__(self, *, granted: bool) -> None:
        super().__init__(limit=65_536)
        self._granted = granted

    def read(self, value: Any, place: str, into: Collector) -> Any:
        if not self._granted and value != "":
            raise BadField(place, _OPAQUE)
        value = super().read(value, place, into)
        if not _BASE64.fullmatch(value):
            raise BadField(place, "must be base64")
        return value


_TEXT = Cacheable(
    {"type": OneOf("text"), "text": Text(), "citations": Refused("citations are not offered here")},
    required=("type", "text"),
)
_TEXTS = Either({str: Text(), list: Items(_Kinds("type", {"text": _TEXT}, _MODALITY), limit=256)})
_RESULT = Cacheable(
    {
        "type": OneOf("tool_result"),
        "tool_use_id": _ID,
        "content": _TEXTS,
        "is_error": Flag(),
        "toolset_name": Refused(_SERVER_SIDE),
    },
    required=("type", "tool_use_id"),
)
_USE = Cacheable(
    {
        "type": OneOf("tool_use"),
        "id": _ID,
        "name": _NAME,
        "input": Free(),
        "caller": Record({"type": OneOf("direct")}, required=("type",)),
        "toolset_name": Refused(_SERVER_SIDE),
    },
    required=("type", "id", "name", "input"),
)
_USER: Final[Mapping[str, Spec]] = {
    "text": _TEXT,
    "tool_result": _Voice("tool", _RESULT),
    "tool_use": Refused("stands in an assistant's message"),
}
_TOOL = Cacheable(
    {
        "type": OneOf("custom"),
        "name": _NAME,
        "description": Text(),
        "input_schema": Free(),
        "input_examples": Items(Free(), limit=64),
        "strict": Flag(),
        "eager_input_streaming": Flag(),
        "defer_loading": Refused(_SERVER_SIDE),
        "allowed_callers": Refused(_SERVER_SIDE),
    },
    required=("name", "input_schema"),
)
_DISPLAY = OneOf("summarized", "omitted")
_THINKING: Final[Mapping[str, Spec]] = {
    "enabled": Record(
        {"type": OneOf("enabled"), "budget_tokens": Number(1, 1_000_000, whole=True), "display": _DISPLAY},
        required=("budget_tokens",),
    ),
    "disabled": Record({"type": OneOf("disabled")}),
    "adaptive": Record({"type": OneOf("adaptive"), "display": _DISPLAY}),
}
_CHOICE: Final[Mapping[str, Spec]] = {
    "auto": Record({"type": OneOf("auto"), "disable_parallel_tool_use": Flag()}),
    "any": Record({"type": OneOf("any"), "disable_parallel_tool_use": Flag()}),
    "tool": Record({"type": OneOf("tool"), "name": _NAME, "disable_parallel_tool_use": Flag()}, required=("name",)),
    "none": Record({"type": OneOf("none")}),
}
_FORMAT = Record({"type": OneOf("json_schema"), "schema": Free()}, required=("type", "schema"))
_SAMPLING: Final[Mapping[str, Spec]] = {
    "max_tokens": Number(1, 1_000_000, whole=True),
    "stop_sequences": Items(Text(limit=256), limit=16),
    "stream": Flag(),
    "temperature": Number(0, 2),
    "top_p": Number(0, 1),
    "top_k": Number(0, 1_000_000, whole=True),
    "metadata": Record({"user_id": Text(limit=256)}),
    # what is known and not served, so that the answer can say why
    "container": Refused(_MEMORY),
    "context_management": Refused("the guard sends what it inspected, whole"),
    "diagnostics": Refused(_MEMORY),
    "inference_geo": Refused("where a model runs is the operator's"),
    "service_tier": Refused("tiers are the operator's"),
}


def prompt_keys(grants: Grants) -> dict[str, Spec]:
    """Everything that the model reads, and how it is to think: the keys that are also counted."""
    thinking = Record(
        {"type": OneOf("thinking"), "thinking": Text(), "signature": _Opaque(granted="signature" in grants.keys)},
        required=("type", "thinking"),
    )
    redacted: Spec = Refused(_OPAQUE)
    if "redacted_thinking" in grants.keys:
        redacted = Record({"type": OneOf("redacted_thinking"), "data": _Opaque(granted=True)}, required=("data",))
    assistant: dict[str, Spec] = {"text": _TEXT, "tool_use": _USE, "thinking": thinking, "redacted_thinking": redacted}
    roles = {
        "user": _message("user", _blocks(_USER)),
        "assistant": _message("assistant", _blocks(assistant)),
        "system": _message("system", _TEXTS),
    }
    return {
        "model": _NAME,
        "messages": Items(_Kinds("role", roles, f"must be one of {', '.join(roles)}"), limit=4096, least=1),
        "system": _Voice("system", _TEXTS),
        "tools": Items(_Kinds("type", {"custom": _TOOL}, _SERVER_SIDE, default="custom"), limit=128),
        "tool_choice": _Kinds("type", _CHOICE, f"must be one of {', '.join(_CHOICE)}"),
        "thinking": _Kinds("type", _THINKING, f"must be one of {', '.join(_THINKING)}"),
        "output_config": Record({"effort": OneOf("low", "medium", "high", "xhigh", "max"), "format": _FORMAT}),
        "mcp_servers": Refused(_SERVER_SIDE),
        "speed": Refused("tiers are the operator's"),
        "user_profile_id": Refused("the guard knows its callers by their keys"),
        "workspace_id": Refused("the guard knows its callers by their keys"),
    }


def _blocks(kinds: Mapping[str, Spec]) -> Spec:
    return Either({str: Text(), list: Items(_Kinds("type", kinds, _MODALITY), limit=1024)})


def _message(role: str, content: Spec) -> Spec:
    return _Voice(role, Record({"role": OneOf(role), "content": content}, required=("content",)))


@lru_cache(maxsize=64)
def _table(grants: Grants) -> Spec:
    keys = {**extra_keys(grants.kind, "messages"), **prompt_keys(grants), **_SAMPLING}
    return Cacheable(keys, required=("model", "messages", "max_tokens"))


_ERROR_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    410: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def error_fields(code: Code, request: str, detail: str, *, begun: bool = False) -> dict[str, Any]:
    """Anthropic's error envelope; the code stands where its SDKs look for one, in ``error.details.error_code``."""
    told = TOLD[code]
    server = "overloaded_error" if told.retry else "api_error"
    kind = _ERROR_TYPES.get(told.status, "invalid_request_error" if told.status < 500 else server)  # noqa: PLR2004 - HTTP's own border
    problem = {
        "type": kind,
        "message": f"{told.words(begun=begun)} {detail}".rstrip(),
        "details": {"error_code": code.value},
    }
    return {"type": "error", "error": problem, "request_id": request}


class AnthropicMessages:
    """``POST /v1/messages``."""

    name = "anthropic.messages"
    operation = "messages"
    upstream_path = b"/v1/messages"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read by the table; raises BadField."""
        return understand(_table(grants), fields)

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer."""
        return StreamReader(request, naming) if request.streamed else WholeReader(request, naming)

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """Say what is wrong, in Anthropic's envelope."""
        return quote(error_fields(code, request, detail))

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Close the open block and stop with ``refusal``; a caller who has nothing yet gets an empty message."""
        if not isinstance(seen, Seen):
            usage = {"input_tokens": 0, "output_tokens": 0}
            begin = frame("message_start", {"message": message(naming, [], None, None, usage)})
            return begin + self.end_blocked(naming, Seen())
        if seen.over:
            return b""
        close = b"" if seen.open is None else frame("content_block_stop", {"index": seen.open})
        delta = {"stop_reason": "refusal", "stop_sequence": None}
        usage = {"output_tokens": seen.output_tokens}
        return close + frame("message_delta", {"delta": delta, "usage": usage}) + frame("message_stop", {})

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """Put the error into the stream; no ``message_stop`` follows."""
        return frame("error", error_fields(code, naming.request, "", begun=True))
