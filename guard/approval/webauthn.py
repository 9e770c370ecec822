"""Approvals by passkey: what a browser returns when a person's key signs a statement (WebAuthn Level 3, section 7.2).

The challenge is the SHA-256 of the very statement that SSH keys sign, so an assertion counts for nothing else. The key
must have been touched and must have asked for a PIN or a finger. Written down it is an armoured text like an SSH
signature, in one form, and stands wherever one may stand: a guard that does not know it finds a damaged signature.

The key's counter is among the bytes that are kept, and nobody compares it: replicas would have to share one. Weakness:
a key shows its owner nothing, so the owner believes the browser about what the statement says; an SSH signer does not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from guard.approval.sshsig import BadSignature
from guard.policy.passkey import LEAST_CREDENTIAL, MOST_CREDENTIAL, Passkey, WebAuthn, credential_bytes, read_public
from guard.policy.ssh_wire import WireError, WireReader, wire_string

BEGIN: Final = "-----BEGIN WEBAUTHN ASSERTION-----"
END: Final = "-----END WEBAUTHN ASSERTION-----"
MAX_BYTES: Final = 8_192
MAX_CLIENT_DATA: Final = 2_048
MAX_SIGNATURE: Final = 128
AUTHENTICATOR_BYTES: Final = 37
"""The hash of the domain, the flags and the counter; more would be an extension, and none was asked for."""

_MAGIC: Final = b"GUARDWEBAUTHN1"
_ARMOUR: Final = re.compile(f"{BEGIN}\n((?:[A-Za-z0-9+/=]{{1,76}}\n)+){END}\n?".encode())
_LINE: Final = 70
_HASH_BYTES: Final = 32
_PRESENT, _VERIFIED, _BACKUP_ELIGIBLE, _BACKED_UP = 0x01, 0x04, 0x08, 0x10
_MORE: Final = 0x40 | 0x80


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a key answered, of which nothing is verified yet; the names are those of WebAuthn."""

    credential: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what no key that was asked by us answers; raises BadSignature."""
        if not LEAST_CREDENTIAL <= len(self.credential) <= MOST_CREDENTIAL:
            raise BadSignature("names no credential")
        if len(self.authenticator_data) != AUTHENTICATOR_BYTES or self.authenticator_data[_HASH_BYTES] & _MORE:
            raise BadSignature("has other authenticator data than was asked for")
        if len(self.client_data) > MAX_CLIENT_DATA or not 1 <= len(self.signature) <= MAX_SIGNATURE:
            raise BadSignature("is longer than any that is taken")

    @property
    def flags(self) -> int:
        """What the key says of the person who used it."""
        return self.authenticator_data[_HASH_BYTES]

    @property
    def counter(self) -> int:
        """How often the key says that it was used; 0 where it does not count."""
        return int.from_bytes(self.authenticator_data[_HASH_BYTES + 1 :])


def challenge(statement: bytes) -> str:
    """Return the challenge that stands for a statement, as the browser writes it: base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(statement).digest()).decode().rstrip("=")


def is_assertion(armoured: bytes) -> bool:
    """Whether a text says that it is an assertion and not an SSH signature."""
    return armoured.startswith(BEGIN.encode())


def armour(assertion: Assertion) -> bytes:
    """Write an assertion in its one form."""
    fields = (assertion.credential, assertion.authenticator_data, assertion.client_data, assertion.signature)
    encoded = base64.b64encode(_MAGIC + b"".join(map(wire_string, fields))).decode()
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return "\n".join([BEGIN, *lines, END, ""]).encode()


def parse(armoured: bytes) -> Assertion:
    """Read the text of an assertion; raises BadSignature."""
    if len(armoured) > MAX_BYTES:
        raise BadSignature(f"is longer than {MAX_BYTES} bytes")
    found = _ARMOUR.fullmatch(armoured)
    if found is None:
        raise BadSignature("is not the text of an assertion as the control page writes it")
    try:
        reader = WireReader(base64.b64decode(found[1].replace(b"\n", b""), validate=True))
        if reader.take(len(_MAGIC)) != _MAGIC:
            raise BadSignature("is an assertion in a form that is not known here")
        credential, authenticator_data, client_data, signature = (reader.string() for _ in range(4))
        reader.end()
    except WireError as error:
        raise BadSignature(f"is damaged: it {error}") from None
    except ValueError:
        raise BadSignature("is damaged: not base64") from None
    assertion = Assertion(credential, authenticator_data, client_data, signature)
    if armour(assertion).rstrip(b"\n") != armoured.rstrip(b"\n"):
        raise BadSignature("is damaged: not in its one form")
    return assertion


def verify(assertion: Assertion, message: bytes, key: Passkey, where: WebAuthn) -> None:
    """Make sure that this key signed this message on one of these pages; raises BadSignature saying why not."""
    if assertion.credential != credential_bytes(key.credential):
        raise BadSignature("is made with another key")
    _check_client_data(assertion.client_data, message, where)
    if assertion.authenticator_data[:_HASH_BYTES] != hashlib.sha256(where.rp_id.encode()).digest():
        raise BadSignature(f"is made for another domain than {where.rp_id}")
    if not assertion.flags & _PRESENT:
        raise BadSignature("is made by a key that nobody touched")
    if not assertion.flags & _VERIFIED:
        raise BadSignature("is made by a key that asked for no PIN, finger or face")
    if assertion.flags & _BACKED_UP and not assertion.flags & _BACKUP_ELIGIBLE:
        raise BadSignature("says of its key what cannot be: copied, and not to be copied")
    if assertion.flags & _BACKUP_ELIGIBLE and not where.synced:
        raise BadSignature("is made with a key that is copied between devices, which webauthn.synced does not allow")
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    public = read_public(key.public_key).public
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(assertion.signature, signed)
        else:
            public.verify(assertion.signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        raise BadSignature("does not fit: it was changed, or made with another key") from None


def _check_client_data(raw: bytes, message: bytes, where: WebAuthn) -> None:
    """Check what the browser says of the page; raises BadSignature. Keys that it may add one day are passed over."""
    try:
        said = json.loads(raw.decode("utf-8"), object_pairs_hook=_unrepeated, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadSignature("has client data that is not JSON without repeated keys") from None
    if not isinstance(said, dict):
        raise BadSignature("has client data that is no JSON object")
    if said.get("type") != "webauthn.get":
        raise BadSignature("is no assertion: its key was asked for something else")
    if said.get("challenge") != challenge(message):
        raise BadSignature("does not fit: another statement was approved, or it was changed")
    origin = said.get("origin")
    if not isinstance(origin, str) or origin not in where.origins:
        raise BadSignature("is made on a page that is not among webauthn.origins of operators.yaml")
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        raise BadSignature("is made on a page within a page of another site")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a repeated key")
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(name)
