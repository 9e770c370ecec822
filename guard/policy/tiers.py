"""Who may use what: tiers grant operations on models and set a rate; a key belongs to one tier and one owner."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from guard.policy.fields import LAX, Alias, Day, Frozen, Line, Name, Sha256, unique


class Operation(StrEnum):
    """What can be asked of a model; the list is closed."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MODERATIONS = "moderations"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"


class Audience(StrEnum):
    """Whom a model is offered to, and whom a tier's keys stand for; the list is closed."""

    GENERAL = "general"
    RESTRICTED = "restricted"
    INTERNAL = "internal"


Operations = Annotated[
    tuple[Annotated[Operation, LAX], ...],
    Field(min_length=1, max_length=len(Operation)),
    AfterValidator(unique("the operation")),
]


class Rate(Frozen):
    """How often one key may ask one model: a mean rate and how many at once."""

    per_minute: float = Field(description="Requests per minute on average.", gt=0, le=1_000_000)
    burst: int = Field(description="Requests at once.", ge=1, le=100_000)


class Tier(Frozen):
    """What the keys of one tier may do."""

    audience: Annotated[Audience, LAX] = Field(
        default=Audience.GENERAL, description="Whom its keys stand for: they reach models of this audience alone."
    )
    models: Annotated[
        Mapping[Alias, Operations], Field(max_length=5000), AfterValidator(MappingProxyType), PlainSerializer(dict)
    ] = Field(description="Model alias to the operations granted on it; a model not named is not granted.")
    rate: Rate = Field(description="The rate of each key.")


class Key(Frozen):
    """One credential of a caller, known only by its digest."""

    id: Name = Field(description="The name that records give it; not secret.")
    owner: Line = Field(description="The person or team that answers for it.")
    tier: Name = Field(description="The tier it belongs to.")
    digest: Sha256 = Field(description="HMAC-SHA256 of the key under the pepper, in hexadecimal.")
    expires: Day = Field(description="The first day on which it is refused (from 00:00 UTC).")
    issued: Day | None = Field(
        default=None,
        description="The day it was made; null or a later day makes it new where lapsed evidence stops new principals.",
    )


class TiersFile(Frozen):
    """The file tiers.yaml."""

    version: Literal[1] = Field(description="The version of this file's form.")
    tiers: Annotated[
        Mapping[Name, Tier],
        Field(min_length=1, max_length=1000),
        AfterValidator(MappingProxyType),
        PlainSerializer(dict),
    ] = Field(description="The tiers by name, at least one.")
    keys: Annotated[
        tuple[Key, ...],
        Field(max_length=100_000),
        AfterValidator(unique("the id", "id")),
        AfterValidator(unique("the digest", "digest")),
    ] = Field(description="The keys; none is a valid beginning, then nobody may call.")
