"""The route table: the exact paths that are served, and the dialect of each; everything else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from guard.wire.anthropic_count import AnthropicCount
from guard.wire.anthropic_messages import AnthropicMessages
from guard.wire.dialect import Dialect
from guard.wire.openai_chat import OpenAIChat
from guard.wire.openai_completions import OpenAICompletions
from guard.wire.openai_embeddings import OpenAIEmbeddings
from guard.wire.openai_moderations import OpenAIModerations
from guard.wire.openai_responses import OpenAIResponses

_CHAT: Final = OpenAIChat()
_MESSAGES: Final = AnthropicMessages()

# Raw path bytes -> dialect; all are POST.
ROUTES: Final[Mapping[bytes, Dialect]] = MappingProxyType(
    {
        b"/v1/chat/completions": _CHAT,
        b"/v1/completions": OpenAICompletions(),
        b"/v1/responses": OpenAIResponses(),
        b"/v1/embeddings": OpenAIEmbeddings(),
        b"/v1/moderations": OpenAIModerations(),
        b"/v1/messages": _MESSAGES,
        b"/v1/messages/count_tokens": AnthropicCount(),
    }
)
DIALECTS: Final[tuple[Dialect, ...]] = tuple(ROUTES.values())

# Answered from policy, never proxied; each model's own page is below it.
MODELS_PATH: Final = b"/v1/models"
REPORT_PATH: Final = b"/report"

# What callers of the published APIs may try and this guard does not serve, with words that help.
NOT_OFFERED: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        b"/v1/audio/transcriptions": "audio is not served: no classifier here can judge it",
        b"/v1/audio/translations": "audio is not served: no classifier here can judge it",
        b"/v1/audio/speech": "audio is not served: no classifier here can judge it",
        b"/v1/images/generations": "images are not served: no classifier here can judge them",
        b"/v1/images/edits": "images are not served: no classifier here can judge them",
        b"/v1/images/variations": "images are not served: no classifier here can judge them",
        b"/v1/batches": "batches are not served: answers are checked as they stream",
        b"/v1/files": "files are not kept here; send the text itself",
        b"/v1/assistants": "state on the server is not offered here; send the conversation",
        b"/v1/threads": "state on the server is not offered here; send the conversation",
        b"/v1/fine_tuning/jobs": "fine-tuning is not served: a tuned model needs a policy of its own",
        b"/v1/realtime": "realtime sessions are not served",
    }
)
