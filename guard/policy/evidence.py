"""Attestations: who claims what about a model, on which evidence, and from when until when that holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from guard.policy.described import Controls
from guard.policy.fields import Claim, Day, Frozen, Line, MisplacedError, Sha256, Uri, unique


class Approval(Frozen):
    """Somebody approved the evidence, or took note of it, in a role; the guard has no way to see that it is so."""

    role: Claim = Field(description="The role, as the standard's row names it.")
    person: Line = Field(description="Who it was.")
    on: Day = Field(description="When; not later than `issued`.")


class Attestation(Frozen):
    """One claim with its evidence; it holds from 00:00 UTC of ``issued`` until 00:00 UTC of ``expires``.

    The guard sees that it is dated and unexpired, never that it is true.
    """

    claim: Claim = Field(description="The name by which a standard's row asks for it.")
    uri: Uri = Field(description="Where the evidence is.")
    sha256: Sha256 = Field(description="SHA-256 of the evidence as it was attested, in hexadecimal.")
    owner: Line = Field(description="The person or team that vouches for it.")
    issued: Day = Field(description="The first day on which it holds (from 00:00 UTC).")
    expires: Day = Field(description="The first day on which it no longer holds (from 00:00 UTC).")
    tested: Sha256 | None = Field(
        default=None,
        description="The fingerprint of the classifiers that a red-team report tested, as `guard explain` prints it.",
    )
    controls: Controls | None = Field(
        default=None, description="Which controls it describes, such as a risk report; null: none that are compared."
    )
    approvals: Annotated[tuple[Approval, ...], Field(max_length=16), AfterValidator(unique("the role", "role"))] = (
        Field(default=(), description="Who approved it or took note of it before it was issued.")
    )

    @model_validator(mode="after")
    def _in_order(self) -> Attestation:
        if self.expires <= self.issued:
            raise MisplacedError("must be later than `issued`", "expires")
        for index, approval in enumerate(self.approvals):
            if approval.on > self.issued:
                raise MisplacedError("must not be later than `issued`", "approvals", index, "on")
        return self


Attestations = Annotated[tuple[Attestation, ...], Field(max_length=500), AfterValidator(unique("the claim", "claim"))]


class EvidenceFile(Frozen):
    """A file of the folder evidence."""

    version: Literal[1] = Field(description="The version of this file's form.")
    attestations: Attestations = Field(description="The attestations; no claim twice.")


def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the instant at which every date of a configuration takes effect."""
    return datetime.combine(day, time(), UTC)


def lapse(attestation: Attestation, max_age_days: int | None, grace_days: int = 0) -> datetime:
    """The instant from which it no longer holds: its expiry, or its greatest age if that is earlier, and the grace."""
    expires = midnight(attestation.expires)
    if max_age_days is not None:
        expires = min(expires, midnight(attestation.issued) + timedelta(days=max_age_days))
    return expires + timedelta(days=grace_days)
