"""SSH keys of every kind made in software, with signatures as OpenSSH writes them; hardware keys too.

The hardware keys do here what PROTOCOL.u2f says a token does, so that no token is needed. That OpenSSH takes what is
written here is a test of its own (tests/guard/approval/test_sshsig.py).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guard.policy.ssh_key import KeyKind

KINDS: Final = tuple(KeyKind)
APPLICATION: Final = b"ssh:"
_CURVES: Final = {
    KeyKind.P256: (ec.SECP256R1(), b"nistp256", hashes.SHA256()),
    KeyKind.P384: (ec.SECP384R1(), b"nistp384", hashes.SHA384()),
    KeyKind.P521: (ec.SECP521R1(), b"nistp521", hashes.SHA512()),
    KeyKind.SK_P256: (ec.SECP256R1(), b"nistp256", hashes.SHA256()),
}
_HARDWARE: Final = {KeyKind.SK_ED25519, KeyKind.SK_P256}
Private = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def text(content: bytes) -> bytes:
    """Write an SSH string."""
    return len(content).to_bytes(4) + content


def integer(value: int) -> bytes:
    """Write a positive SSH mpint."""
    return text(value.to_bytes(value.bit_length() // 8 + 1))


@dataclass(frozen=True)
class SoftKey:
    """A private key of one kind."""

    kind: KeyKind
    private: Private
    application: bytes = APPLICATION

    @property
    def blob(self) -> bytes:
        """The public key in SSH's binary form."""
        head, tail = text(self.kind.value.encode()), text(self.application) if self.kind in _HARDWARE else b""
        if isinstance(self.private, Ed25519PrivateKey):
            return head + text(self.private.public_key().public_bytes_raw()) + tail
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            return head + integer(numbers.e) + integer(numbers.n)
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return head + text(_CURVES[self.kind][1]) + text(point) + tail

    @property
    def line(self) -> str:
        """The public key as its .pub file has it."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()} a comment"

    def sign(
        self,
        message: bytes,
        namespace: str = "order@asl-guard",
        *,
        hashing: str = "sha512",
        rsa_with: str = "rsa-sha2-512",
        flags: int = 1,
        counter: int = 7,
        reserved: bytes = b"",
        version: int = 1,
    ) -> bytes:
        """Sign as ``ssh-keygen -Y sign`` does; what it never does can be asked for as well."""
        parts = (namespace.encode(), reserved, hashing.encode(), hashlib.new(hashing, message).digest())
        signed = b"SSHSIG" + b"".join(map(text, parts))
        tail = b""
        if self.kind in _HARDWARE:
            tail = bytes([flags]) + counter.to_bytes(4)
            signed = hashlib.sha256(self.application).digest() + tail + hashlib.sha256(signed).digest()
        name = rsa_with if self.kind is KeyKind.RSA else self.kind.value
        inner = text(name.encode()) + text(self._sign(signed, rsa_with)) + tail
        fields = (self.blob, *parts[:3], inner)
        return armour(b"SSHSIG" + version.to_bytes(4) + b"".join(map(text, fields)))

    def _sign(self, signed: bytes, rsa_with: str) -> bytes:
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(signed)
        if isinstance(self.private, rsa.RSAPrivateKey):
            sha: hashes.HashAlgorithm = hashes.SHA256() if rsa_with.endswith("256") else hashes.SHA512()
            if rsa_with == "ssh-rsa":
                sha = hashes.SHA1()  # noqa: S303 - what must be refused
            return self.private.sign(signed, PKCS1v15(), sha)
        return b"".join(map(integer, decode_dss_signature(self.private.sign(signed, ec.ECDSA(_CURVES[self.kind][2])))))


def armour(blob: bytes) -> bytes:
    """Wrap a signature as OpenSSH does."""
    encoded = base64.b64encode(blob)
    lines = [encoded[start : start + 70] for start in range(0, len(encoded), 70)]
    return b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""])


@cache
def soft_key(kind: KeyKind, number: int = 0, application: bytes = APPLICATION) -> SoftKey:
    """The key of a kind and a number: the same one each time in a process; RSA ones take a moment."""
    if kind in {KeyKind.ED25519, KeyKind.SK_ED25519}:
        seed = hashlib.sha256(f"{kind} {number}".encode()).digest()
        return SoftKey(kind, Ed25519PrivateKey.from_private_bytes(seed), application)
    if kind is KeyKind.RSA:
        return SoftKey(kind, rsa.generate_private_key(65537, 3072))
    secret = int.from_bytes(hashlib.sha256(f"{kind} {number}".encode()).digest()) >> 1
    return SoftKey(kind, ec.derive_private_key(secret, _CURVES[kind][0]), application)
