"""The policy of one model, and every other frozen type of a configuration under one name to import from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from guard.policy.dials import Dials
from guard.policy.evidence import Attestation, Attestations, EvidenceFile
from guard.policy.fields import LAX, Alias, EvidenceFileName, Frozen, Line, MisplacedError, Name, unique
from guard.policy.hooks import HookAuth, HookConfig, HookKind
from guard.policy.ladder import NO_LADDER, Ladder
from guard.policy.monitoring import Monitoring
from guard.policy.mount import (
    ClassifierMount,
    ClassifierSettings,
    Durable,
    Engine,
    Mode,
    Mount,
    OnFailure,
    PlainMount,
    RequestLogMount,
    RequestLogSettings,
    SafeguardKind,
    Target,
)
from guard.policy.operators import OperatorsFile
from guard.policy.process import (
    AdminConfig,
    AdminToken,
    GuardConfig,
    KeyStorage,
    LogLevel,
    RequestLimits,
    Supervision,
    Surface,
    Telemetry,
)
from guard.policy.response import Response
from guard.policy.roles import OperatorRole as Role
from guard.policy.rules import Rule, RuleSet
from guard.policy.secret_ref import SecretRef
from guard.policy.standard import Axis, CheckName, Levels, OnExpiry, Row, Standard
from guard.policy.storage import StorageConfig
from guard.policy.thresholds import Assessment, ThresholdState
from guard.policy.tiers import Audience, Key, Operation, Operations, Rate, Tier, TiersFile
from guard.policy.upstream import ServerKind, Upstream, UpstreamTls
from safeguards.category import Category

_NOTHING_OPAQUE = 3


class Framework(Frozen):
    """Which standard a model must meet."""

    name: Name = Field(description="The standard's name.")
    version: Line = Field(description='The standard\'s version, in quotes: "2.2".')


def _written_as(evidence: object) -> str:
    return "file" if isinstance(evidence, str) else "list"


class OpaqueKey(StrEnum):
    """Keys of requests that hold what the guard cannot read; refused unless a model's file allows them by name."""

    SIGNATURE = "signature"
    REDACTED_THINKING = "redacted_thinking"


class ModelPolicy(Frozen):
    """Everything that holds for one model: a file of the folder models, named after it."""

    version: Literal[1] = Field(description="The version of this file's form.")
    model: Alias = Field(description="The alias that callers ask for; equals the file's name.")
    release: Alias | None = Field(
        default=None, description="Which version of the model it is, for `guard stop version:ALIAS/RELEASE`."
    )
    framework: Framework = Field(description="The standard whose floor it must meet.")
    also: Annotated[tuple[Framework, ...], Field(max_length=8), AfterValidator(unique("the standard"))] = Field(
        default=(), description="Further standards that bind it, without thresholds of their own: laws, for instance."
    )
    asl: Levels = Field(description="Its levels.")
    thresholds: Annotated[
        tuple[Assessment, ...], Field(max_length=64), AfterValidator(unique("the threshold", "threshold"))
    ] = Field(
        default=(), description="What was found about each threshold of the standard; one left out counts as crossed."
    )
    variant_of: Line | None = Field(
        default=None,
        description="The model it was fine-tuned from; then it needs the claim variant_evaluation of its own.",
    )
    same_weights_as: Annotated[tuple[Alias, ...], Field(max_length=64), AfterValidator(unique("the alias"))] = Field(
        default=(), description="The other aliases that serve the same weights; each of them must name this one too."
    )
    audience: Annotated[Audience, LAX] = Field(
        description="Whom it is offered to: keys of this audience's tiers reach it; others take a file of their own."
    )
    surfaces: Annotated[tuple[Name, ...], AfterValidator(unique("the surface"))] = Field(
        description="The listeners it is served on, at least one.", min_length=1, max_length=64
    )
    upstream: Upstream = Field(description="The inference server.")
    operations: Operations = Field(description="What can be asked of it, at least one.")
    allow_keys: Annotated[
        tuple[Annotated[OpaqueKey, LAX], ...],
        Field(min_length=0, max_length=len(OpaqueKey)),
        AfterValidator(unique("the key")),
    ] = Field(default=(), description="Request keys that cannot be inspected and are let through; none from ASL-3 on.")
    safeguards: Annotated[tuple[Mount, ...], AfterValidator(unique("the name", "name"))] = Field(
        description="The safeguards, asked in this order; at least one.", min_length=1, max_length=32
    )
    response: Response | None = Field(
        default=None, description="How soon a found weakness must be fixed on every surface; null: no limit is set."
    )
    ladder: Ladder = Field(
        default=NO_LADDER, description="What is done short of a stop: the rungs of `guard stop --mode` for this model."
    )
    monitoring: Monitoring | None = Field(
        default=None, description="In which bands measured values must stay; null: none is declared."
    )
    dials: Dials | None = Field(
        default=None, description="How wide and how robust its classifiers are; null: nothing is claimed."
    )
    evidence: Annotated[
        Annotated[EvidenceFileName, Tag("file")] | Annotated[Attestations, Tag("list")], Discriminator(_written_as)
    ] = Field(description="A file of the folder evidence, or the list itself.")

    @model_validator(mode="after")
    def _once_each(self) -> ModelPolicy:
        seen: set[SafeguardKind] = set()
        for index, mount in enumerate(self.safeguards):
            if mount.use in seen and mount.use is not SafeguardKind.CLASSIFIER:
                raise MisplacedError(f"{mount.use} can be mounted once only", "safeguards", index, "use")
            seen.add(mount.use)
        shadowed = {mount.name for mount in self.safeguards if mount.mode is Mode.SHADOW}
        for index, name in enumerate(() if self.ladder.stricter is None else self.ladder.stricter.enforce):
            if name not in shadowed:
                words = f"is the name of no safeguard in shadow; there are: {', '.join(sorted(shadowed)) or 'none'}"
                raise MisplacedError(words, "ladder", "stricter", "enforce", index)
        if self.allow_keys and max(self.asl.deployment, self.asl.security) >= _NOTHING_OPAQUE:
            raise MisplacedError("must be empty at ASL-3: these keys cannot be inspected", "allow_keys")
        return self


__all__ = [
    "AdminConfig",
    "AdminToken",
    "Assessment",
    "Attestation",
    "Audience",
    "Axis",
    "Category",
    "CheckName",
    "ClassifierMount",
    "ClassifierSettings",
    "Durable",
    "Engine",
    "EvidenceFile",
    "Framework",
    "GuardConfig",
    "HookAuth",
    "HookConfig",
    "HookKind",
    "Key",
    "KeyStorage",
    "Ladder",
    "Levels",
    "LogLevel",
    "Mode",
    "ModelPolicy",
    "Mount",
    "OnExpiry",
    "OnFailure",
    "Operation",
    "OperatorsFile",
    "PlainMount",
    "Rate",
    "RequestLimits",
    "RequestLogMount",
    "RequestLogSettings",
    "Role",
    "Row",
    "Rule",
    "RuleSet",
    "SafeguardKind",
    "SecretRef",
    "ServerKind",
    "Standard",
    "StorageConfig",
    "Supervision",
    "Surface",
    "Target",
    "Telemetry",
    "ThresholdState",
    "Tier",
    "TiersFile",
    "Upstream",
    "UpstreamTls",
]
