"""Passkeys made in software: they answer what a browser and a security key would, and also what these never would.

That a real browser's answers are taken is tried elsewhere (tests/browser/test_passkeys.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guard.approval.webauthn import Assertion, armour
from guard.policy.passkey import Passkey, WebAuthn

RP_ID: Final = "guard.example.com"
ORIGIN: Final = "https://guard.example.com:9443"
WHERE: Final = WebAuthn(rp_id=RP_ID, origins=(ORIGIN, "https://two.guard.example.com"))
Private = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def base64url(content: bytes) -> str:
    """Write bytes as browsers do."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@dataclass(frozen=True)
class SoftPasskey:
    """A credential and its private key."""

    private: Private
    credential: bytes

    @property
    def public(self) -> str:
        """As operators.yaml has it."""
        spki = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(spki).decode()

    @property
    def entry(self) -> dict[str, str]:
        """What the person's entry holds."""
        return {"credential": base64url(self.credential), "public_key": self.public}

    @property
    def passkey(self) -> Passkey:
        """The same, read."""
        return Passkey.model_validate(self.entry)

    def answer(
        self,
        message: bytes,
        *,
        rp_id: str = RP_ID,
        flags: int = 0x05,
        counter: int = 7,
        client_data: bytes | None = None,
        **changes: Any,
    ) -> Assertion:
        """Answer for a message; ``changes`` are of the client data, None leaving a key out."""
        said: dict[str, Any] = {
            "type": "webauthn.get",
            "challenge": base64url(hashlib.sha256(message).digest()),
            "origin": ORIGIN,
            "crossOrigin": False,
            **changes,
        }
        text = json.dumps({key: value for key, value in said.items() if value is not None}).encode()
        client = text if client_data is None else client_data
        data = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4)
        return Assertion(self.credential, data, client, self._sign(data + hashlib.sha256(client).digest()))

    def sign(self, message: bytes, **how: Any) -> bytes:
        """Answer in the form that stands in place of an SSH signature."""
        return armour(self.answer(message, **how))

    def _sign(self, signed: bytes) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(signed)
        return self.private.sign(signed, ec.ECDSA(SHA256()))


def soft_passkey(number: int = 0, *, ed25519: bool = False) -> SoftPasskey:
    """The passkey of a number: the same one each time."""
    seed = hashlib.sha256(f"passkey {number}".encode()).digest()
    private: Private = (
        Ed25519PrivateKey.from_private_bytes(seed)
        if ed25519
        else ec.derive_private_key(int.from_bytes(seed) >> 1, ec.SECP256R1())
    )
    return SoftPasskey(private, hashlib.sha256(seed).digest())
