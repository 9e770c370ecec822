"""SSH public keys in OpenSSH's one-line form, read strictly: what names the keys of a person.

Taken are ssh-ed25519, ecdsa-sha2-nistp256, -384 and -521, ssh-rsa of at least 3072 bits, and both kinds of hardware
keys (RFC 4253, 5656, 8709; OpenSSH's PROTOCOL.u2f). Refused besides other kinds, certificates and options: a point that
is not on its curve, Ed25519 points of small order (a line of zeros is one, and everybody could sign for it), and RSA
exponents below 65537.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from guard.policy.ssh_wire import WireError, WireReader

LEAST_RSA_BITS: Final = 3072
MOST_RSA_BITS: Final = 16384
_LEAST_EXPONENT: Final = 65537
_MOST_EXPONENT: Final = (1 << 64) - 1
_ED25519_BYTES: Final = 32
_UNCOMPRESSED: Final = 4
_P256_NAME: Final = b"nistp256"
_APPLICATION: Final = b"ssh:"
_MOST_APPLICATION: Final = 256
_PRIME: Final = 2**255 - 19
_SIGN: Final = 1 << 255
# The heights of all points whose order divides 8: a signature by such a "key" can be made without any secret.
_EIGHTH: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _EIGHTH, _PRIME - _EIGHTH})


class SshKeyError(ValueError):
    """Why a line is not a public key that is taken, as words that follow its place; it repeats nothing of the line."""


class KeyKind(StrEnum):
    """The kinds of keys that are taken."""

    ED25519 = "ssh-ed25519"
    P256 = "ecdsa-sha2-nistp256"
    P384 = "ecdsa-sha2-nistp384"
    P521 = "ecdsa-sha2-nistp521"
    RSA = "ssh-rsa"
    SK_ED25519 = "sk-ssh-ed25519@openssh.com"
    SK_P256 = "sk-ecdsa-sha2-nistp256@openssh.com"


Public = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class SshKey:
    """One public key: its kind, its binary form, and the key itself.

    ``application`` is a hardware key's, empty for others. ``pair`` tells key pairs apart: two keys alike in it have the
    same private half, whatever their kinds and applications say.
    """

    kind: KeyKind
    blob: bytes
    public: Public
    application: bytes
    pair: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ``ssh-keygen -l`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def read_key(line: str) -> SshKey:
    """Read a line: the kind, the key in base64, and perhaps a comment, each after one blank; raises SshKeyError."""
    words = line.split(" ", 2)
    if len(words) == 1 or not line.isprintable():
        raise SshKeyError("must be an SSH public key in one line: its kind, its base64, and a comment if you like")
    kind = _KINDS.get(words[0])
    if kind is None:
        raise SshKeyError(f"must be a key of one of these kinds: {', '.join(KeyKind)}")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        raise SshKeyError("is damaged: its second word is not base64") from None
    if base64.b64encode(blob).decode() != words[1]:
        raise SshKeyError("is damaged: its second word is not base64 in its one form")
    try:
        reader = WireReader(blob)
        if reader.string() != kind.value.encode():
            raise SshKeyError("is damaged: its kind and its base64 do not agree")
        public, pair = _READERS[kind](reader)
        application = _application(reader) if kind in {KeyKind.SK_ED25519, KeyKind.SK_P256} else b""
        reader.end()
    except WireError as error:
        raise SshKeyError(f"is damaged: its base64 {error}") from None
    return SshKey(kind, blob, public, application, pair)


def ed25519_pair(raw: bytes) -> bytes:
    """Tell the pair of an Ed25519 key of 32 bytes; raises SshKeyError for a point that everybody could sign for."""
    height = int.from_bytes(raw, "little") & ~_SIGN
    if height >= _PRIME or height in SMALL_ORDER:
        raise SshKeyError("is not a key: everybody could sign for this point")
    return b"ed25519" + raw


def p256_pair(point: bytes) -> bytes:
    """Tell the pair of a P-256 key, its point written in full."""
    return _P256_NAME + point


def _ed25519(reader: WireReader) -> tuple[Public, bytes]:
    raw = reader.string()
    if len(raw) != _ED25519_BYTES:
        raise SshKeyError("is damaged: an Ed25519 key has 32 bytes")
    pair = ed25519_pair(raw)
    return Ed25519PublicKey.from_public_bytes(raw), pair


def _ecdsa(curve: ec.EllipticCurve, name: bytes) -> Callable[[WireReader], tuple[Public, bytes]]:
    def read(reader: WireReader) -> tuple[Public, bytes]:
        if reader.string() != name:
            raise SshKeyError("is damaged: its kind and its curve do not agree")
        point = reader.string()
        if not point or point[0] != _UNCOMPRESSED:
            raise SshKeyError("is damaged: its point must be written in full")
        try:
            return EllipticCurvePublicKey.from_encoded_point(curve, point), name + point
        except ValueError:
            raise SshKeyError("is damaged: its point is not on the curve") from None

    return read


def _rsa(reader: WireReader) -> tuple[Public, bytes]:
    exponent, modulus = reader.integer(), reader.integer()
    if not LEAST_RSA_BITS <= modulus.bit_length() <= MOST_RSA_BITS:
        raise SshKeyError(f"is an RSA key of {modulus.bit_length()} bits; it needs {LEAST_RSA_BITS} to {MOST_RSA_BITS}")
    if not _LEAST_EXPONENT <= exponent <= _MOST_EXPONENT:
        raise SshKeyError(f"is an RSA key with an exponent that is not taken; it needs {_LEAST_EXPONENT} or more")
    if exponent % 2 == 0 or modulus % 2 == 0:
        raise SshKeyError("is not an RSA key: its numbers cannot be of one")
    return RSAPublicNumbers(exponent, modulus).public_key(), b"rsa" + modulus.to_bytes(MOST_RSA_BITS // 8)


def _application(reader: WireReader) -> bytes:
    application = reader.string()
    if not application.startswith(_APPLICATION) or len(application) > _MOST_APPLICATION:
        raise SshKeyError("is a hardware key made for something else than SSH: its application must begin with ssh:")
    return application


_P256: Final = _ecdsa(ec.SECP256R1(), _P256_NAME)
_READERS: Final[Mapping[KeyKind, Callable[[WireReader], tuple[Public, bytes]]]] = {
    KeyKind.ED25519: _ed25519,
    KeyKind.P256: _P256,
    KeyKind.P384: _ecdsa(ec.SECP384R1(), b"nistp384"),
    KeyKind.P521: _ecdsa(ec.SECP521R1(), b"nistp521"),
    KeyKind.RSA: _rsa,
    KeyKind.SK_ED25519: _ed25519,
    KeyKind.SK_P256: _P256,
}
_KINDS: Final[Mapping[str, KeyKind]] = {kind.value: kind for kind in KeyKind}
