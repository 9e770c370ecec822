"""Where the guard writes: its own folders, and copies of the request log elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError, Name, Pathname, Seconds, ShipTarget, Url
from guard.policy.secret_ref import SecretRef


class LockMode(StrEnum):
    """How S3 holds to an object's retain-until date."""

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class ObjectLock(Frozen):
    """Copies that nobody deletes before their day; the bucket must have been made with Object Lock."""

    mode: Annotated[LockMode, LAX] = Field(description="governance: some may lift it; compliance: nobody can.")
    days: int = Field(
        description="For how long leaves, tiles and heads are locked; a text's class says it for texts.", ge=1, le=36500
    )


class OtlpLogs(Frozen):
    """A collector that is told of intents, outcomes, acts of control and recoveries, and of no text."""

    endpoint: Url = Field(description="The full URL of an OTLP/HTTP logs endpoint that takes JSON.")
    authorization: SecretRef | None = Field(default=None, description="The header Authorization, such as Bearer ….")


class Shipping(Frozen):
    """Where copies of the request log go, in the background: what is under a signed head, sealed texts included."""

    to: ShipTarget = Field(description="s3://bucket/prefix, or file:///path of a mounted share, which must exist.")
    endpoint: Url | None = Field(default=None, description="The S3-compatible server; null is AWS's of the region.")
    region: Name | None = Field(default=None, description="The region of the bucket.")
    access_key: SecretRef | None = Field(
        default=None, description="The key's id; null looks where the AWS SDK does (environment, role of the machine)."
    )
    secret_key: SecretRef | None = Field(default=None, description="The key's secret.")
    every_seconds: Seconds = Field(default=5.0, description="How often what is new is shipped.")
    unshipped_days: int = Field(
        default=7,
        description="For how many days longer than their time files stay that have no copy yet; then they go too.",
        ge=0,
        le=36500,
    )
    lock: ObjectLock | None = Field(default=None, description="S3 Object Lock; null locks nothing.")
    otlp_logs: OtlpLogs | None = Field(default=None, description="Who else is told of records; null tells nobody.")

    @model_validator(mode="after")
    def _fits(self) -> Shipping:
        if self.to.startswith("file:"):
            for key in ("endpoint", "region", "access_key", "secret_key", "lock"):
                if getattr(self, key) is not None:
                    raise MisplacedError("is only for s3://", key)
        if (self.access_key is None) != (self.secret_key is None):
            missing = "access_key" if self.access_key is None else "secret_key"
            raise MisplacedError("is required beside the other key", missing)
        return self


class StorageConfig(Frozen):
    """Folders that the guard writes to, relative to the configuration directory or absolute, and copies elsewhere."""

    state: Pathname = Field(description="Stop orders, rate counters, workers' acknowledgements, used approvals.")
    audit: Pathname = Field(description="The request log.")
    audit_second: Pathname | None = Field(
        default=None,
        description="A folder on another device: every record and text is on both before it counts as on disk, and a "
        "failure of either is one of the log; null for none.",
    )
    ship: Shipping | None = Field(default=None, description="Where copies of the request log go; null makes none.")
