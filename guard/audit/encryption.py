"""Sealing texts: compressed, encrypted, bound to their place; and what the clear leaf says of one without telling it.

A body is sealed by AES-256-GCM under a key derived from its data key for one segment of one writer. The segment's 32
random bytes make that key new in every file that any process ever begins, and the nonce is the frame's number, so no
nonce comes twice under a key, whatever crashes. Writer, class, day and segment are in the derivation, the number is the
nonce, and kind and id are authenticated with it: a body that was moved does not open.

The leaf's commitment to text ``i`` of a body is SHA-256(SHA-256(salt, i as four bytes) + UTF-8 of the text). The salt
is in the sealed body alone, so that the commitment cannot be tested against guesses; and revealing one text with its
own inner hash tells nothing about the others.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guard.audit import compression
from guard.audit.frames import MAX_PAYLOAD

SALT: Final = 16
SEGMENT_SALT: Final = 32
COMPRESSED_FROM: Final = 256  # bytes; below that compression gains less than the cheap layout of a short text


class SealError(ValueError):
    """Bytes that are not a body sealed for this place; the message quotes nothing."""


class Blob(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A text that lies elsewhere in the same segment: its offset in bytes, and its keyed hash."""

    offset: int
    match: bytes


class Body(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The texts of one record, in the order of its leaf, as UTF-8 (a lone surrogate as its three bytes)."""

    salt: bytes
    texts: tuple[bytes | Blob, ...]
    labels: tuple[str, ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Body)
pack = _encoder.encode
squeezed = compression.squeezed


def unpack(data: bytes) -> Body:
    """The body; raises SealError."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SealError("not a body") from None


def encoded(text: str) -> bytes:
    """A text as it is committed to and kept."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    """The text; raises SealError."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise SealError("not a text") from None


def digest(salt: bytes, index: int, text: bytes) -> bytes:
    """The commitment to text ``index`` of a body."""
    return sha256(sha256(salt + index.to_bytes(4, "big")).digest() + text).digest()


def commitment(salt: bytes, index: int, text: bytes) -> str:
    """What the leaf says of it: the same in hexadecimal."""
    return digest(salt, index, text).hex()


def expanded(data: bytes) -> bytes:
    """What `squeezed` was given; raises SealError."""
    try:
        return compression.expanded(data, MAX_PAYLOAD)
    except compression.CompressionError as error:
        raise SealError(str(error)) from None


class Seal:
    """One data key in one segment."""

    __slots__ = ("_cipher", "encrypt")

    def __init__(self, secret: bytes, salt: bytes, context: bytes) -> None:
        """Derive the segment's key; ``context`` names writer, class, day and segment."""
        info = b"asl-guard body 1\0" + context
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=salt, info=info).derive(secret))

        self.encrypt = self._cipher.encrypt

    def close(self, sequence: int, bound: bytes, data: bytes) -> bytes:
        """Seal what goes into the frame of this number; ``bound`` is kind and id."""
        return self._cipher.encrypt(sequence.to_bytes(12, "big"), data, bound)

    def open(self, sequence: int, bound: bytes, sealed: bytes) -> bytes:
        """What was sealed; raises SealError."""
        try:
            return self._cipher.decrypt(sequence.to_bytes(12, "big"), sealed, bound)
        except (InvalidTag, ValueError):
            raise SealError("does not open: changed, moved, or sealed by another key") from None
