"""What a drill asks and what the synthetic model answers, in each operation's own form; harmless text, and endless.

Everything is written from the published shapes, not with the code that is drilled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from safeguards.scope import SELF_TEST, Operation

TICK: Final = "tick "
HOLD: Final = "hold"
"""The prompt that is never answered in full: a stream without an end, or, where nothing streams, no answer at all.

Behind it stands a number, by which the model names what it holds.
"""
ANSWER: Final = "answer"
STOPPED: Final = "stopped"
_USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_RESPONSE: Final = {"id": "resp_selftest", "object": "response", "created_at": 1, "model": SELF_TEST, "error": None}
_ITEM: Final = {"id": "msg_selftest", "type": "message", "role": "assistant"}


def _frame(event: Mapping[str, Any], *, named: bool = False) -> bytes:
    return (f"event: {event['type']}\n" if named else "").encode() + f"data: {json.dumps(event)}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Form:
    """One operation: its route, the key of the prompt, and the synthetic answer.

    ``begin`` and ``tick`` are the events of an endless stream, empty where the operation does not stream; ``whole`` is
    a complete answer.
    """

    operation: Operation
    path: str
    prompt: str
    whole: Mapping[str, Any]
    begin: bytes = b""
    tick: bytes = b""

    @property
    def name(self) -> str:
        """What it is called: the operation, and whether it could stream and does not."""
        return self.operation.value + ("" if self.streams is FORMS[self.operation].streams else ", not streamed")

    @property
    def streams(self) -> bool:
        """Whether its answers can come in pieces."""
        return bool(self.tick)

    def ask(self, text: str, *, streamed: bool) -> bytes:
        """Return the body of a request."""
        said = [{"role": "user", "content": text}] if self.prompt == "messages" else text
        body: dict[str, Any] = {"model": SELF_TEST, self.prompt: said}
        if self.operation is Operation.MESSAGES:
            body["max_tokens"] = 1000
        if streamed:
            body["stream"] = True
        return json.dumps(body).encode()


def _chat() -> Form:
    def event(delta: dict[str, Any]) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        head = {"id": "selftest", "object": "chat.completion.chunk", "created": 1, "model": SELF_TEST}
        return _frame({**head, "choices": [choice]})

    message = {"role": "assistant", "content": TICK}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "selftest", "object": "chat.completion", "created": 1, "model": SELF_TEST}
    whole = {**head, "choices": [choice], "usage": _USAGE}
    begin = event({"role": "assistant", "content": ""})
    return Form(Operation.CHAT, "/v1/chat/completions", "messages", whole, begin, event({"content": TICK}))


def _completions() -> Form:
    head = {"id": "selftest", "object": "text_completion", "created": 1, "model": SELF_TEST}
    choice = {"index": 0, "text": TICK, "logprobs": None}
    whole = {**head, "choices": [{**choice, "finish_reason": "stop"}], "usage": _USAGE}
    tick = _frame({**head, "choices": [{**choice, "finish_reason": None}]})
    return Form(Operation.COMPLETIONS, "/v1/completions", "prompt", whole, b"", tick)


def _responses() -> Form:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    place = {"item_id": _ITEM["id"], "output_index": 0, "content_index": 0}
    running = {**_RESPONSE, "status": "in_progress", "output": []}
    begin: list[dict[str, Any]] = [
        {"type": "response.created", "response": running},
        {"type": "response.in_progress", "response": running},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**_ITEM, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": part},
    ]
    tick = _frame({"type": "response.output_text.delta", **place, "delta": TICK, "logprobs": []}, named=True)
    item = {**_ITEM, "status": "completed", "content": [{**part, "text": TICK}]}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    whole = {**_RESPONSE, "status": "completed", "output": [item], "usage": usage}
    head = b"".join(_frame(each, named=True) for each in begin)
    return Form(Operation.RESPONSES, "/v1/responses", "input", whole, head, tick)


def _messages() -> Form:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {"id": "selftest", "type": "message", "role": "assistant", "model": SELF_TEST}
    message["stop_sequence"] = None
    empty: dict[str, Any] = {**message, "content": [], "stop_reason": None, "usage": usage}
    begin = _frame({"type": "message_start", "message": empty}, named=True) + _frame(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, named=True
    )
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TICK}}
    whole = {**message, "content": [{"type": "text", "text": TICK}], "stop_reason": "end_turn", "usage": usage}
    return Form(Operation.MESSAGES, "/v1/messages", "messages", whole, begin, _frame(delta, named=True))


_EMBEDDINGS: Final = {
    "object": "list",
    "model": SELF_TEST,
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
_VERDICT: Final = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.0}}
_MODERATIONS: Final = {"id": "selftest", "model": SELF_TEST, "results": [_VERDICT]}

FORMS: Final[Mapping[Operation, Form]] = MappingProxyType(
    {
        form.operation: form
        for form in (
            _chat(),
            _completions(),
            _responses(),
            Form(Operation.EMBEDDINGS, "/v1/embeddings", "input", _EMBEDDINGS),
            Form(Operation.MODERATIONS, "/v1/moderations", "input", _MODERATIONS),
            _messages(),
            Form(Operation.COUNT_TOKENS, "/v1/messages/count_tokens", "messages", {"input_tokens": 1}),
        )
    }
)

EVERY_FORM: Final[tuple[Form, ...]] = (
    *FORMS.values(),
    *(replace(form, begin=b"", tick=b"") for form in FORMS.values() if form.streams),
)
"""Every operation, and those that stream once more as they are asked without."""


def code_of(body: bytes) -> str:
    """Return the code of the error that a body is, or that the last event of a stream is; empty if it is none."""
    last = body.rstrip(b"\n").rpartition(b"\n\n")[2]
    data = next((line[5:] for line in last.split(b"\n") if line.startswith(b"data:")), last)
    try:
        error = json.loads(data)["error"]
        return str(error["details"]["error_code"] if "details" in error else error["code"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
