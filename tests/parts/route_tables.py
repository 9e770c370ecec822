"""Which table reads the requests of each route: what tests walk to find every place of every request."""

from __future__ import annotations

from typing import Final

from guard.wire import (
    anthropic_count,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_moderations,
    openai_responses,
)
from guard.wire.dialect import Grants
from guard.wire.table import Spec
from tests.parts.answer_places import CHAT, COMPLETIONS, COUNT, EMBEDDINGS, MESSAGES, MODERATIONS, RESPONSES

KIND: Final = "vllm"
OPAQUE: Final = ("signature", "redacted_thinking")
# Route -> the table of its requests for a model that grants nothing beyond it, and for one that grants all it can.
TABLES: Final[dict[bytes, tuple[Spec, Spec]]] = {
    CHAT: (openai_chat._table(KIND),) * 2,
    COMPLETIONS: (openai_completions._table(KIND),) * 2,
    RESPONSES: (openai_responses._table(KIND),) * 2,
    EMBEDDINGS: (openai_embeddings._table(KIND),) * 2,
    MODERATIONS: (openai_moderations._table(KIND),) * 2,
    MESSAGES: (
        anthropic_messages._table(Grants(KIND)),
        anthropic_messages._table(Grants(KIND, frozenset(OPAQUE))),
    ),
    COUNT: (anthropic_count._table(Grants(KIND)), anthropic_count._table(Grants(KIND, frozenset(OPAQUE)))),
}
