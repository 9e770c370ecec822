"""What a request uses of a model beyond answering in text, seen in the fields that every dialect's table reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guard.wire.dialect import Request
from safeguards.scope import Capability


def capabilities(request: Request) -> tuple[Capability, ...]:
    """Return them in the order of the list.

    ``tools``: tools are offered to the model, or results of tools are among what it reads. ``structured_output``: the
    form of the answer is prescribed. ``streaming``: the answer is to come in pieces.
    """
    fields = request.fields
    found = []
    if fields.get("tools") or any(passage.role == "tool" for passage in request.passages):
        found.append(Capability.TOOLS)
    if request.streamed:
        found.append(Capability.STREAMING)
    # Chat completions, responses, Anthropic messages.
    formats = fields.get("response_format"), _inner(fields, "text"), _inner(fields, "output_config")
    if any(isinstance(each, Mapping) and each.get("type", "text") != "text" for each in formats):
        found.append(Capability.STRUCTURED_OUTPUT)
    return tuple(found)


def _inner(fields: Mapping[str, Any], key: str) -> Any:
    outer = fields.get(key)
    return outer.get("format") if isinstance(outer, Mapping) else None
