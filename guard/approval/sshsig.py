"""Signatures as ``ssh-keygen -Y sign`` makes them, read strictly and verified (OpenSSH's PROTOCOL.sshsig, version 1).

Taken are the signature algorithms of the keys in `guard.policy.ssh_key`; RSA with SHA-256 or SHA-512 only, never the
old ``ssh-rsa`` with SHA-1. Hardware keys (PROTOCOL.u2f) must have been touched; that a PIN was asked for is not
demanded. Their counter is signed and not remembered: it would tell of a cloned key, and most keys count all sites
together or nothing at all. The reserved field must be empty. Every byte of the text matters: nothing outside the
armour, base64 only in its one form.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from guard.policy.ssh_key import KeyKind, Public, SshKey
from guard.policy.ssh_wire import WireError, WireReader, wire_string

NAMESPACE: Final = "order@asl-guard"
MAX_BYTES: Final = 16_384

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_ARMOUR: Final = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n?"
)
_TOUCHED: Final = 1
_ALGORITHM: Final = "is made with an algorithm that is not taken for this kind of key"
_HARDWARE: Final = frozenset({KeyKind.SK_ED25519, KeyKind.SK_P256})
_MESSAGE_HASHES: Final = frozenset({b"sha256", b"sha512"})
_EC_HASHES: Final[Mapping[KeyKind, hashes.HashAlgorithm]] = {
    KeyKind.P256: hashes.SHA256(),
    KeyKind.P384: hashes.SHA384(),
    KeyKind.P521: hashes.SHA512(),
    KeyKind.SK_P256: hashes.SHA256(),
}
_RSA_HASHES: Final[Mapping[bytes, hashes.HashAlgorithm]] = {
    b"rsa-sha2-256": hashes.SHA256(),
    b"rsa-sha2-512": hashes.SHA512(),
}


class BadSignature(Exception):  # noqa: N818 - reads as the finding it is
    """Why a signature does not count, as words that follow the name of its file."""


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature as read, of which nothing is verified yet.

    ``key`` is the public key in its binary form, ``hash`` how the message was hashed, ``body`` the signature of
    ``algorithm``; ``flags`` and ``counter`` are a hardware key's, 0 for others.
    """

    key: bytes
    namespace: bytes
    hash: str
    algorithm: bytes
    body: bytes
    flags: int
    counter: int


def parse(armoured: bytes) -> SshSignature:
    """Read the text of a signature; raises BadSignature."""
    if len(armoured) > MAX_BYTES:
        raise BadSignature(f"is longer than {MAX_BYTES} bytes")
    found = _ARMOUR.fullmatch(armoured)
    if found is None:
        raise BadSignature("is not the text that `ssh-keygen -Y sign` writes")
    encoded = found[1].replace(b"\n", b"")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise BadSignature("is damaged: not base64") from None
    if base64.b64encode(blob) != encoded:
        raise BadSignature("is damaged: not base64 in its one form")
    try:
        return _blob(WireReader(blob))
    except WireError as error:
        raise BadSignature(f"is damaged: it {error}") from None


def _blob(reader: WireReader) -> SshSignature:
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise BadSignature("is damaged: it does not begin with SSHSIG")
    if reader.number() != _VERSION:
        raise BadSignature("is of another version than 1")
    key, namespace, reserved, message_hash = (reader.string() for _ in range(4))
    inner = WireReader(reader.string())
    reader.end()
    if not namespace:
        raise BadSignature("has no namespace")
    if reserved:
        raise BadSignature("has something in its reserved field")
    if message_hash not in _MESSAGE_HASHES:
        raise BadSignature("hashes the message in a way that is not taken")
    algorithm, body = inner.string(), inner.string()
    flags = counter = 0
    if algorithm.decode("ascii", "replace") in _HARDWARE:
        flags, counter = inner.take(1)[0], inner.number()
    inner.end()
    return SshSignature(key, namespace, message_hash.decode(), algorithm, body, flags, counter)


def verify(signature: SshSignature, message: bytes, namespace: str, key: SshKey) -> None:
    """Make sure that this key signed this message for this namespace; raises BadSignature saying why not."""
    if signature.key != key.blob:
        raise BadSignature("is made with another key")
    if signature.namespace != namespace.encode():
        raise BadSignature(f"is made for another namespace; sign with -n {namespace}")
    digest = hashlib.new(signature.hash, message).digest()
    signed = _MAGIC + b"".join(
        wire_string(part) for part in (signature.namespace, b"", signature.hash.encode(), digest)
    )
    if key.kind in _HARDWARE:
        if not signature.flags & _TOUCHED:
            raise BadSignature("is made by a hardware key that nobody touched")
        signed = (
            hashlib.sha256(key.application).digest()
            + bytes([signature.flags])
            + signature.counter.to_bytes(4)
            + hashlib.sha256(signed).digest()
        )
    try:
        _verify(key.public, key.kind, signature, signed)
    except (InvalidSignature, WireError):
        raise BadSignature("does not fit: another file was signed, or one of them was changed") from None


def _verify(public: Public, kind: KeyKind, signature: SshSignature, signed: bytes) -> None:
    """Verify the inner signature; raises InvalidSignature, WireError or BadSignature."""
    if isinstance(public, RSAPublicKey):
        hashing = _RSA_HASHES.get(signature.algorithm)
        if hashing is None:
            raise BadSignature(_ALGORITHM)
        public.verify(signature.body, signed, PKCS1v15(), hashing)
        return
    if signature.algorithm != kind.value.encode():
        raise BadSignature(_ALGORITHM)
    if isinstance(public, Ed25519PublicKey):
        public.verify(signature.body, signed)
        return
    numbers = WireReader(signature.body)
    r, s = numbers.integer(), numbers.integer()
    numbers.end()
    public.verify(encode_dss_signature(r, s), signed, ECDSA(_EC_HASHES[kind]))
