"""Time stamps over the request log's heads: who is asked for them, how often, and whose count."""

from __future__ import annotations

from pydantic import Field, model_validator

from guard.policy.fields import Frozen, MisplacedError, Oid, Pathname, Url


class TimestampConfig(Frozen):
    """A time-stamping authority (RFC 3161), which says when a head of the log stood; it is sent a hash and no more."""

    url: Url = Field(description="Where it is asked, by HTTP POST.")
    ca: Pathname = Field(
        description="Its root certificates (PEM): a token counts if its chain ends at one of them. Revocation is not "
        "asked about."
    )
    policy: Oid | None = Field(
        default=None, description="The policy that is asked for and that a token must carry; null: any."
    )
    every_seconds: float = Field(default=3600.0, description="How often the newest head is stamped.", ge=60, le=86400)
    late_seconds: float = Field(
        default=10800.0,
        description="For how long a head may wait for a time stamp before the alert `GuardAuditNotTimestamped`.",
        ge=60,
        le=604800,
    )

    @model_validator(mode="after")
    def _late_after_due(self) -> TimestampConfig:
        if self.late_seconds <= self.every_seconds:
            raise MisplacedError("must be above every_seconds", "late_seconds")
        return self
