"""Where the answers of each dialect name the model that gave them, and answers that name it rightly or lie about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.parts.answer_places import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MESSAGES,
    MODERATIONS,
    RESPONSES,
    TEXTLESS,
)

_USER: Final = {"role": "user", "content": "hi"}
# Route -> a request whose answers name a model, the model's own name and the stream's flag apart.
REQUESTS: Final[dict[bytes, dict[str, Any]]] = {
    CHAT: {"messages": [_USER], "n": 2},
    COMPLETIONS: {"prompt": "hi", "n": 2},
    RESPONSES: {"input": "hi"},
    EMBEDDINGS: {"input": "hi"},
    MODERATIONS: {"input": "hi"},
    MESSAGES: {"max_tokens": 9, "messages": [_USER]},
}
STREAMED: Final = tuple(path for path in REQUESTS if path not in TEXTLESS)
SERVED: Final = "served"
GONE: Final = object()


def places(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in which an answer names a model."""
    if isinstance(value, dict):
        if "model" in value:
            yield value
        for each in value.values():
            yield from places(each)
    elif isinstance(value, list):
        for each in value:
            yield from places(each)


def naming(answer: Any, wrong: object = None, at: int = -1) -> Any:
    """The same answer as if `SERVED` gave it, but for the place of this number; `GONE` leaves the name out there."""
    answer = json.loads(json.dumps(answer))
    for number, place in enumerate(list(places(answer))):
        place["model"] = wrong if number == at else SERVED
        if place["model"] is GONE:
            del place["model"]
    return answer
