"""OpenAI text completions, streamed and whole: the request's table and the stream's endings.

A raw prompt has no voices: whatever template markers it spells, all of it is inspected as the user's. What the answer
may hold is the business of `openai_completions_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from guard.wire.dialect import AnswerReader, Grants, Naming, Request
from guard.wire.kinds import extra_keys
from guard.wire.openai_completions_answer import MAX_CHOICES, Seen, StreamReader, WholeReader, head
from guard.wire.openai_error import error_body, error_event
from guard.wire.openai_inputs import Inputs, Voiced, count
from guard.wire.request import understand, written
from guard.wire.strict_json import BadField
from guard.wire.table import Either, Flag, Items, Label, Number, OneOf, Record, Refused, Spec, Text
from safeguards.verdict import Code

REQUEST: Final[Mapping[str, Spec]] = {
    # what the model reads
    "model": Label(limit=256),
    "prompt": Voiced("user", Inputs(limit=MAX_CHOICES)),
    "suffix": Voiced("user", Text()),
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
    "best_of": OneOf(1),
    "echo": OneOf(False),
    # what is known and not served, so that the answer can say why
    "logit_bias": Refused("token ids cannot be inspected"),
    "logprobs": Refused("log probabilities carry text beside the answer"),
    "messages": Refused("belongs to chat completions"),
    "response_format": Refused("is not offered on this route; use chat completions"),
}
_ENCODER: Final = msgspec.json.Encoder()


@cache
def _table(kind: str) -> Record:
    return Record({**extra_keys(kind, OpenAICompletions.operation), **REQUEST}, required=("model", "prompt"))


class OpenAICompletions:
    """``POST /v1/completions``; no key of it can be allowed by name beyond the tables."""

    name = "openai.completions"
    operation = "completions"
    upstream_path = b"/v1/completions"
    names_model = True

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Read strictly by the tables; raises BadField."""
        request = understand(_table(grants.kind), fields)
        if count(request.fields["prompt"]) * request.fields.get("n", 1) > MAX_CHOICES:
            raise BadField("n", f"must be so small that prompts times n are at most {MAX_CHOICES}")
        return request

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise the understood fields; raises BadField for a string that UTF-8 cannot carry."""
        return written(request, model)

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer: one choice for each prompt, times n."""
        choices = count(request.fields["prompt"]) * request.fields.get("n", 1)
        return StreamReader(naming, choices) if request.streamed else WholeReader(naming, choices)

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """OpenAI's error envelope."""
        return error_body(code, request, detail)

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """Finish every choice that has not ended with ``content_filter``, then ``[DONE]``."""
        unfinished = seen.unfinished if isinstance(seen, Seen) else (0,)
        choices = [
            {"index": index, "text": "", "logprobs": None, "finish_reason": "content_filter"} for index in unfinished
        ]
        last = b"data: " + _ENCODER.encode({**head(naming), "choices": choices}) + b"\n\n" if choices else b""
        return last + b"data: [DONE]\n\n"

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """Put the error into the stream; no ``[DONE]`` follows."""
        return error_event(code, naming.request)
