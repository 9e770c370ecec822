"""Who is told when something is stopped, resumed or found: addresses outside, and on which occasions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError, Name, Pathname, Url, unique
from guard.policy.secret_ref import SecretRef

MAX_RECEIVERS: Final = 16


class ReceiverKind(StrEnum):
    """What form a receiver takes messages in."""

    GRAFANA = "grafana"
    SLACK = "slack"
    GENERIC = "generic"


class Occasion(StrEnum):
    """What people are told of; a trip is a stop as well, and is told once."""

    STOP = "stop"
    RESUME = "resume"
    TRIP = "trip"
    MONITORING = "monitoring"
    INCIDENT = "incident"
    DRILL = "drill"
    LEASE = "lease"


Occasions = Annotated[
    tuple[Annotated[Occasion, LAX], ...],
    Field(min_length=1, max_length=len(Occasion)),
    AfterValidator(unique("the occasion")),
]


class ReceiverConfig(Frozen):
    """One receiver of notices."""

    name: Name = Field(description="How logs and metrics name it.")
    kind: Annotated[ReceiverKind, LAX] = Field(
        description="grafana: annotations; slack: an incoming webhook of Slack, Mattermost or another that takes its "
        "form; generic: JSON signed by Standard Webhooks."
    )
    url: Url | None = Field(
        default=None,
        description="Where it is: Grafana's own address (`/api/annotations` is put behind it), or the generic "
        "receiver's. Not for slack, whose whole address is secret.",
    )
    credential: SecretRef = Field(
        description="grafana: a token of a service account that may write annotations; slack: the address of the "
        "webhook; generic: the signing secret, base64 behind `whsec_`, 16 bytes or more."
    )
    on: Occasions = Field(
        description="What it is told of: stop (trips too), resume, trip, monitoring (alarms of bands), incident, "
        "drill, lease."
    )
    timeout_seconds: float = Field(default=5.0, description="How long one attempt may take.", gt=0, le=60)
    ca: Pathname | None = Field(
        default=None, description="PEM certificates, the only ones its own may come from; null: those of the system."
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> ReceiverConfig:
        if (self.url is None) != (self.kind is ReceiverKind.SLACK):
            words = "must be null for slack" if self.url is not None else "is required, but for slack"
            raise MisplacedError(words, "url")
        return self

    def hears(self, occasion: Occasion) -> bool:
        """Whether it is told of such an occasion."""
        return occasion in self.on or (occasion is Occasion.TRIP and Occasion.STOP in self.on)
