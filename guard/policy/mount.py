"""How one model's policy uses a safeguard: its mode, what a failure means, its deadline, its settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError, Name, RulesFile, unique


class SafeguardKind(StrEnum):
    """The safeguards there are; the list is closed."""

    REQUEST_LOG = "request_log"
    KILL_SWITCH = "kill_switch"
    EVIDENCE = "evidence"
    ACCESS = "access"
    LIMITS = "limits"
    CLASSIFIER = "classifier"


class Mode(StrEnum):
    """Whether a verdict is carried out or only recorded."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class OnFailure(StrEnum):
    """What a failure of the safeguard means."""

    BLOCK = "block"
    PASS = "pass"  # noqa: S105 - a word of the policy, not a password


class Durable(StrEnum):
    """When a record must be on disk."""

    BEFORE_FORWARD = "before_forward"
    WITHIN_A_SECOND = "within_a_second"


class Target(StrEnum):
    """A side of the exchange."""

    INPUT = "input"
    OUTPUT = "output"


class Engine(StrEnum):
    """What judges the text."""

    PATTERNS = "patterns"


MAX_DAYS: Final = 36500


class Retention(Frozen):
    """For how many days what is kept of a model's exchanges is kept, each beginning with its own day (UTC)."""

    content_days: int = Field(
        default=30, description="Texts; after so many whole days they are deleted.", ge=1, le=MAX_DAYS
    )
    flagged_content_days: int = Field(
        default=730, description="Texts of exchanges that a classifier objected to.", ge=1, le=MAX_DAYS
    )

    @model_validator(mode="after")
    def _flagged_longer(self) -> Retention:
        if self.flagged_content_days < self.content_days:
            raise MisplacedError("must be at least content_days", "flagged_content_days")
        return self


class WhenBehind(StrEnum):
    """What records that lag behind their copies mean."""

    ALARM = "alarm"
    REFUSE = "refuse"


class CopySettings(Frozen):
    """How far a model's records may lag behind their copies elsewhere (`storage.ship` of guard.yaml)."""

    max_lag_seconds: float = Field(description="For how long a record may be without a copy.", gt=0, le=604_800)
    when_behind: Annotated[WhenBehind, LAX] = Field(
        default=WhenBehind.ALARM, description="refuse: new requests are turned away as well (`log_unavailable`)."
    )


class RequestLogSettings(Frozen):
    """How much is written and when."""

    durable: Annotated[Durable, LAX] = Field(description="When the intent must be on disk.")
    parts: bool = Field(description="Whether each text is written before its release.")
    parts_durable: bool = Field(
        default=False,
        description="Whether each text is on disk before its release, and not soon after it; takes parts and "
        "before_forward.",
    )
    content: bool = Field(
        description="Whether texts are kept, sealed by the keys of `content` in guard.yaml; else only their lengths."
    )
    retention: Retention = Field(default_factory=Retention, description="For how long.")
    outage_seconds: float = Field(
        default=0.0,
        description="For how long, while the log cannot be written, requests are served on and their records wait in "
        "memory, 64 MiB at most; 0 refuses at once, and before_forward allows nothing else.",
        ge=0,
        le=3600,
    )
    copies: CopySettings | None = Field(default=None, description="How far copies may lag; null demands none.")

    @property
    def refusing_lag(self) -> float | None:
        """The lag of copies in seconds beyond which new requests are turned away, None for never."""
        copies = self.copies
        return copies.max_lag_seconds if copies is not None and copies.when_behind is WhenBehind.REFUSE else None

    @model_validator(mode="after")
    def _parts_after_intents(self) -> RequestLogSettings:
        if self.parts_durable and not (self.parts and self.durable is Durable.BEFORE_FORWARD):
            raise MisplacedError("takes parts: true and durable: before_forward", "parts_durable")
        return self

    @model_validator(mode="after")
    def _durable_has_no_patience(self) -> RequestLogSettings:
        if self.outage_seconds and self.durable is Durable.BEFORE_FORWARD:
            raise MisplacedError("must be 0 where durable is before_forward", "outage_seconds")
        return self


class ClassifierSettings(Frozen):
    """What judges which side."""

    engine: Annotated[Engine, LAX] = Field(description="What judges the text.")
    screens: Annotated[tuple[Annotated[Target, LAX], ...], AfterValidator(unique("the side"))] = Field(
        description="The sides it judges, at least one.", min_length=1, max_length=len(Target)
    )
    rules: RulesFile = Field(description="A file of the folder rules.")


def _own_name(data: dict[str, Any]) -> str:
    return str(data["use"])


class _Mount(Frozen):
    use: SafeguardKind = Field(description="Which safeguard.")
    name: Name = Field(
        default_factory=_own_name,
        validate_default=False,
        description="Tells two mounts of one safeguard apart; the default is the safeguard's own name.",
    )
    mode: Annotated[Mode, LAX] = Field(description="enforce, or shadow: recorded but not carried out.")
    on_failure: Annotated[OnFailure, LAX] = Field(description="What a failure of the safeguard means.")
    deadline_seconds: float = Field(description="How long one answer may take.", gt=0, le=60)


class PlainMount(_Mount):
    """A mount of a safeguard that has no settings."""

    use: Literal[SafeguardKind.KILL_SWITCH, SafeguardKind.EVIDENCE, SafeguardKind.ACCESS, SafeguardKind.LIMITS] = Field(
        description="Which safeguard."
    )


class RequestLogMount(_Mount):
    """A mount of the request log."""

    use: Literal[SafeguardKind.REQUEST_LOG] = Field(description="request_log")
    settings: RequestLogSettings = Field(description="How much is written and when.")


class ClassifierMount(_Mount):
    """A mount of a classifier."""

    use: Literal[SafeguardKind.CLASSIFIER] = Field(description="classifier")
    settings: ClassifierSettings = Field(description="What judges which side.")


Mount = Annotated[PlainMount | RequestLogMount | ClassifierMount, Field(discriminator="use")]
