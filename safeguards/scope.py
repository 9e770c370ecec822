"""What a stop can cover, as words: an exchange carries the words that it answers to, and a stop names one of them.

The lists are closed, so that a scope that nothing answers to is an error where it is given and not a stop of nothing.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Final

HIGHEST_LEVEL: Final = 9
ALL: Final = "all"
SELF_TEST: Final = "guard-selftest"
"""The model, tier, key and owner that drills of the kill switch go by; no configuration may have one of that name."""


class ScopeKind(StrEnum):
    """What a stop can cover (rows C8, H3, I8, I11)."""

    ALL = "all"
    LEVEL = "level"
    MODEL = "model"
    VERSION = "version"
    TIER = "tier"
    KEY = "key"
    ORGANISATION = "org"
    OPERATION = "operation"
    CAPABILITY = "capability"
    ATTRIBUTE = "attribute"


class Operation(StrEnum):
    """What can be asked of a model; the list is closed."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"


class Capability(StrEnum):
    """What a request uses of a model beyond answering in text; the list is closed, and each is seen in the request."""

    TOOLS = "tools"
    STREAMING = "streaming"
    STRUCTURED_OUTPUT = "structured_output"


def word(kind: ScopeKind, subject: str) -> str:
    """Write one scope: ``all``, or the kind, a colon and the subject."""
    return ALL if kind is ScopeKind.ALL else f"{kind.value}:{subject}"


CAPABILITY_WORDS: Final = {each: f"capability:{each.value}" for each in Capability}


def caller_words(key: str, owner: str, tier: str, attributes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes that a caller answers to; ``attributes`` are ``name=value``."""
    words = (f"key:{key}", f"org:{owner}", f"tier:{tier}")
    return (*words, *(f"attribute:{each}" for each in attributes)) if attributes else words


@lru_cache(maxsize=4096)  # as many as a configuration has models times operations, and asked for by every request
def request_words(model: str, release: str, asl: int, operation: str) -> tuple[str, ...]:
    """Return the scopes that a request answers to by what it asks for.

    ``level:n`` covers every model of that level and above, so a request answers to each level up to its model's.
    """
    levels = (f"level:{level}" for level in range(1, min(asl, HIGHEST_LEVEL) + 1))
    words = (ALL, f"model:{model}", f"operation:{operation}", *levels)
    return (*words, f"version:{model}/{release}") if release else words
