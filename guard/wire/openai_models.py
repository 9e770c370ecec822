"""The list of models, answered from the policy and never proxied: what a server says of itself is not for callers.

`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's form or, for a request with the header `anthropic-version`, in
Anthropic's. Which entries a caller may see is decided before these functions; a model that is not among them does not
exist for him, and the answer to it is the one to an unknown model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a caller may know of one model: alias, levels, the address of its card (None for none) and who offers it."""

    model: str
    asl_deployment: int
    asl_security: int
    card: str | None
    owner: str


class Form(StrEnum):
    """In whose terms the list is written."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def form_of(headers: Iterable[tuple[bytes, bytes]]) -> Form:
    """Anthropic's SDKs always send their version header, and OpenAI's never; names are in lower case."""
    return Form.ANTHROPIC if any(name == b"anthropic-version" for name, _ in headers) else Form.OPENAI


def models_page(entries: Sequence[Entry], created: int, form: Form = Form.OPENAI) -> bytes:
    """All entries on one page; ``created`` is seconds since the epoch."""
    data = [_written(entry, created, form) for entry in entries]
    if form is Form.OPENAI:
        return _ENCODER.encode({"object": "list", "data": data})
    first, last = (entries[0].model, entries[-1].model) if entries else (None, None)
    return _ENCODER.encode({"data": data, "has_more": False, "first_id": first, "last_id": last})


def model_page(entries: Sequence[Entry], model: str, created: int, form: Form = Form.OPENAI) -> bytes | None:
    """The one entry of exactly this name; None if there is none, which is told as an unknown model."""
    for entry in entries:
        if entry.model == model:
            return _ENCODER.encode(_written(entry, created, form))
    return None


def _written(entry: Entry, created: int, form: Form) -> dict[str, object]:
    ours = {"asl": {"deployment": entry.asl_deployment, "security": entry.asl_security}, "card": entry.card}
    if form is Form.OPENAI:
        return {"id": entry.model, "object": "model", "created": created, "owned_by": entry.owner, **ours}
    since = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    theirs = {"type": "model", "id": entry.model, "display_name": entry.model, "created_at": since}
    return {**theirs, "lifecycle": "active", **ours}
