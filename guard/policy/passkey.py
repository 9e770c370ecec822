"""Passkeys and security keys of persons (WebAuthn Level 3), and the pages on which they count.

A browser names a credential by its id in base64url and gives its public key as SubjectPublicKeyInfo; both stand in
operators.yaml, each in its one form. Taken are ES256 (P-256) and EdDSA (Ed25519). Weakness: whether a key leaves its
device is what the key itself says at each use; nobody attests it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import Frozen, MisplacedError, unique
from guard.policy.ssh_key import ed25519_pair, p256_pair

LEAST_CREDENTIAL: Final = 16
MOST_CREDENTIAL: Final = 1023
_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"localhost|({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?")
_LAST_PORT: Final = 65_535
_DEFAULT_PORTS: Final = {"https": "443", "http": "80"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as read; ``pair`` tells key pairs apart, those of `guard.policy.ssh_key` included."""

    public: EllipticCurvePublicKey | Ed25519PublicKey
    pair: bytes


def credential_bytes(text: str) -> bytes:
    """Read a credential's id; raises ValueError."""
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        found = b""
    if base64.urlsafe_b64encode(found).decode().rstrip("=") != text:
        raise ValueError("must be the id of a credential in base64url, without = at its end")
    if not LEAST_CREDENTIAL <= len(found) <= MOST_CREDENTIAL:
        raise ValueError(f"must be the id of a credential, which has {LEAST_CREDENTIAL} to {MOST_CREDENTIAL} bytes")
    return found


def read_public(text: str) -> PublicKey:
    """Read a public key, SubjectPublicKeyInfo in base64; raises ValueError that repeats nothing of it."""
    try:
        written = base64.b64decode(text, validate=True)
        found = load_der_public_key(written)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be a public key, its SubjectPublicKeyInfo in base64") from None
    one_form = found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if one_form != written or base64.b64encode(written).decode() != text:
        raise ValueError("is a key that is not in its one form")
    if isinstance(found, Ed25519PublicKey):
        return PublicKey(found, ed25519_pair(found.public_bytes_raw()))
    if isinstance(found, EllipticCurvePublicKey) and isinstance(found.curve, SECP256R1):
        return PublicKey(found, p256_pair(found.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)))
    raise ValueError("is a key of another kind: P-256 (ES256) and Ed25519 (EdDSA) are taken")


def _credential(text: str) -> str:
    credential_bytes(text)
    return text


def _public(text: str) -> str:
    read_public(text)
    return text


def _rp_id(text: str) -> str:
    if not _DOMAIN.fullmatch(text):
        raise ValueError("must be a domain name in lower case, such as guard.example.com, or localhost; no address")
    return text


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None or (found[3] and int(found[3]) > _LAST_PORT):
        raise ValueError("must be as browsers write an origin: https://NAME or https://NAME:PORT, and no path")
    if found[3] == _DEFAULT_PORTS[found[1]]:
        raise ValueError("must be as browsers write an origin, which is without the port of its scheme")
    if found[1] == "http" and found[2] != "localhost":
        raise ValueError("must begin with https://; browsers know http:// for localhost alone")
    return text


class Passkey(Frozen):
    """One passkey or security key of a person, as the control page shows it when it is made."""

    credential: Annotated[str, Field(max_length=1364), AfterValidator(_credential)] = Field(
        description="The credential's id in base64url."
    )
    public_key: Annotated[str, Field(max_length=1024), AfterValidator(_public)] = Field(
        description="Its public key: SubjectPublicKeyInfo in base64, P-256 or Ed25519."
    )

    @property
    def fingerprint(self) -> str:
        """What tells one credential with its key from every other, for comparison."""
        return "SHA256:" + hashlib.sha256(f"{self.credential} {self.public_key}".encode()).hexdigest()


class WebAuthn(Frozen):
    """Where people approve with passkeys: whatever a key signs for another name or page does not count."""

    rp_id: Annotated[str, Field(max_length=253), AfterValidator(_rp_id)] = Field(
        description="The domain that the keys are made for (WebAuthn's RP ID): the control page's name, or one above "
        "it. Another one takes new keys."
    )
    origins: Annotated[
        tuple[Annotated[str, Field(max_length=300), AfterValidator(_origin)], ...],
        Field(min_length=1, max_length=64),
        AfterValidator(unique("the origin")),
    ] = Field(
        description="The control pages' addresses as browsers write them, such as https://guard.example.com:9443."
    )

    synced: bool = Field(
        default=False,
        description="Whether keys count that an account copies between devices: they are as safe as the account.",
    )

    @model_validator(mode="after")
    def _within(self) -> WebAuthn:
        for index, each in enumerate(self.origins):
            host = each.partition("://")[2].partition(":")[0]
            if host != self.rp_id and not host.endswith(f".{self.rp_id}"):
                raise MisplacedError(f"must be a page of {self.rp_id} or of a name below it", "origins", index)
        return self
