"""Who comes in at the control page, beside those who have a token: sessions, a trusted proxy, emergency tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import (
    LAX,
    Day,
    Frozen,
    IdentityHeader,
    Line,
    MisplacedError,
    Name,
    PeerAddress,
    Seconds,
    Sha256,
    unique,
)
from guard.policy.roles import OperatorRole


class SessionLimits(Frozen):
    """How long somebody stays signed in on the control page."""

    idle_seconds: Seconds = Field(default=1800.0, description="So long without doing anything signs out.")
    longest_seconds: Seconds = Field(default=43200.0, description="So long after signing in, whatever is done.")


class ProxyPerson(Frozen):
    """Somebody whom the proxy in front of the control page may name."""

    name: Line = Field(description="What stands in the header.")
    person: Line = Field(description="The person it means: where there is operators.yaml, an id of that file.")
    role: Annotated[OperatorRole, LAX] = Field(
        description="What that person may do, as for a token; one of the person's roles in operators.yaml."
    )
    expires: Day = Field(
        description="The first day on which the name is refused (from 00:00 UTC); the person's own, if it is earlier."
    )


class ProxySignIn(Frozen):
    """A proxy that signs people in (by OIDC, for one) and names them in a header, refused from anybody else."""

    header: IdentityHeader = Field(description="The header, in lower case, such as x-forwarded-email.")
    peers: Annotated[tuple[PeerAddress, ...], Field(max_length=64), AfterValidator(unique("the address"))] = Field(
        default=(), description="The addresses that the proxy connects from; `unix` for a Unix socket."
    )
    certificates: Annotated[tuple[Line, ...], Field(max_length=64), AfterValidator(unique("the identity"))] = Field(
        default=(), description="Whom its client certificate is for: a SPIFFE id or a subject, as the log writes it."
    )
    people: Annotated[tuple[ProxyPerson, ...], Field(max_length=1000), AfterValidator(unique("the name", "name"))] = (
        Field(description="The only names that are taken.")
    )

    @model_validator(mode="after")
    def _pinned(self) -> ProxySignIn:
        if not self.peers and not self.certificates:
            raise MisplacedError("needs an address, or `certificates` in its place", "peers")
        return self


class EmergencyToken(Frozen):
    """A token that only stops, for when nothing else is at hand: a person's, or one in a sealed envelope."""

    id: Name = Field(description="The name that records give it; not secret.")
    holder: Line = Field(description="The person who has it, or the envelope and where it lies.")
    owner: Line = Field(description="The person who answers for it.")
    sha256: Sha256 = Field(description="SHA-256 of the token in hexadecimal: no other secret is needed to check it.")
    expires: Day = Field(description="The first day on which it is refused (from 00:00 UTC).")
