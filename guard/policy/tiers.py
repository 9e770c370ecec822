"""Who may use what: tiers grant operations on models and set a rate; a key belongs to one tier and one owner."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from guard.policy.fields import LAX, Alias, Day, Frozen, Line, MisplacedError, Name, Sha256, unique
from safeguards.scope import Operation as Operation  # noqa: PLC0414 - a word of the configuration too


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
    investigates: bool = Field(
        default=False, description="Whether its keys are served what is quarantined: for those who look into a finding."
    )


Attributes = Annotated[
    Mapping[Name, Name], Field(max_length=16), AfterValidator(MappingProxyType), PlainSerializer(dict)
]
Declared = Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), AfterValidator(unique("the value"))]


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
    attributes: Attributes = Field(
        default_factory=lambda: MappingProxyType({}),
        description="Its value of each attribute that is declared, none left out: what a stop can name it by.",
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
    attributes: Annotated[
        Mapping[Name, Declared], Field(max_length=16), AfterValidator(MappingProxyType), PlainSerializer(dict)
    ] = Field(
        default_factory=lambda: MappingProxyType({}),
        description="Attributes by which stops can name keys (`attribute:region=eu`), each with its possible values.",
    )
    keys: Annotated[
        tuple[Key, ...],
        Field(max_length=100_000),
        AfterValidator(unique("the id", "id")),
        AfterValidator(unique("the digest", "digest")),
    ] = Field(description="The keys; none is a valid beginning, then nobody may call.")

    @model_validator(mode="after")
    def _attributes_told(self) -> TiersFile:
        """Every key says of every attribute what it is: whom a stop covers must not depend on what was left out."""
        for index, key in enumerate(self.keys):
            for name, values in self.attributes.items():
                if name not in key.attributes:
                    raise MisplacedError(
                        f"is missing: one of {', '.join(values[:20])}", "keys", index, "attributes", name
                    )
                if key.attributes[name] not in values:
                    raise MisplacedError(f"must be one of {', '.join(values[:20])}", "keys", index, "attributes", name)
            for name in key.attributes:
                if name not in self.attributes:
                    raise MisplacedError("is not declared in attributes", "keys", index, "attributes", name)
        return self


def attribute_words(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """Write a key's attributes as stops name them: ``name=value``, in the order of names."""
    return tuple(f"{name}={value}" for name, value in sorted(attributes.items()))
