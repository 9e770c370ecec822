"""Data keys and how they are wrapped: by this guard's key-encryption key, and to an investigator's public key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_NONCE: Final = 12
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")


class KeyUnavailableError(Exception):
    """A data key cannot be had; the message says why and holds no secret."""


class Wrapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """A data key as one holder can open it: ``by`` names the holder's key, ``ephemeral`` is the sender's half."""

    by: str
    nonce: bytes
    wrapped: bytes
    ephemeral: bytes = b""


class KeyFile(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a file of the folder holds; all but the wrapped key itself is clear, and bound to it."""

    version: int
    id: str
    owner: str
    retention: str
    day: str
    kek: Wrapping | None = None
    investigator: Wrapping | None = None

    @property
    def labels(self) -> bytes:
        """What both wrappings are bound to."""
        return f"asl-guard data key 1\0{self.id}\0{self.retention}\0{self.day}\0{self.owner}".encode()


@dataclass(frozen=True, slots=True)
class DataKey:
    """An open data key; ``matching`` is derived from it, for keyed hashes."""

    id: bytes
    owner: str
    retention: str
    day: str
    secret: bytes = field(repr=False)
    matching: bytes = field(repr=False)

    def match(self, text: bytes) -> bytes:
        """The keyed hash of a text: equal texts are told by it within owner, class and day, while the key exists."""
        return hashlib.blake2b(text, digest_size=16, key=self.matching).digest()


class Opener(Protocol):
    """Somebody who can open wrapped keys."""

    def open(self, file: KeyFile) -> bytes:
        """The data key; raises KeyUnavailableError."""


class Kek:
    """The key-encryption key of this guard: 32 bytes, written as 64 lower-case hexadecimal digits."""

    def __init__(self, text: str) -> None:
        """Take the secret's text; raises ValueError, which does not quote it."""
        if not _HEXADECIMAL.fullmatch(text):
            raise ValueError("must be 32 random bytes as 64 lower-case hexadecimal digits")
        secret = bytes.fromhex(text)
        self._cipher = AESGCM(secret)
        self.name = hmac.digest(secret, b"asl-guard kek name 1", "sha256")[:8].hex()

    def wrap(self, secret: bytes, labels: bytes, randomness: Callable[[int], bytes]) -> Wrapping:
        """Wrap a data key."""
        nonce = randomness(_NONCE)
        return Wrapping(self.name, nonce, self._cipher.encrypt(nonce, secret, labels))

    def open(self, file: KeyFile) -> bytes:
        """As `Opener.open`."""
        if file.kek is None:
            raise KeyUnavailableError("its day is over: only the investigator's private key opens it")
        if file.kek.by != self.name:
            raise KeyUnavailableError(f"it is wrapped by the key {file.kek.by}, and this is {self.name}")
        return _decrypt(self._cipher, file.kek, file.labels)


class Investigator:
    """The private key of somebody who reads elsewhere."""

    def __init__(self, private: X25519PrivateKey) -> None:
        """Take the key."""
        self._private = private
        self.name = recipient_name(private.public_key())

    def open(self, file: KeyFile) -> bytes:
        """As `Opener.open`."""
        wrapping = file.investigator
        if wrapping is None:
            raise KeyUnavailableError("it is not wrapped to an investigator")
        if wrapping.by != self.name:
            raise KeyUnavailableError(f"it is wrapped to the investigator's key {wrapping.by}, and this is {self.name}")
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(wrapping.ephemeral))
        except ValueError:
            raise KeyUnavailableError("its wrapping is damaged") from None
        public = self._private.public_key().public_bytes_raw()
        return _decrypt(_once(shared, wrapping.ephemeral, public), wrapping, file.labels)


def recipient_name(public: X25519PublicKey) -> str:
    """The short name of an investigator's public key."""
    return hashlib.sha256(b"asl-guard investigator 1" + public.public_bytes_raw()).hexdigest()[:16]


def wrap_to(public: X25519PublicKey, secret: bytes, labels: bytes, randomness: Callable[[int], bytes]) -> Wrapping:
    """Wrap a data key so that only the holder of the private key opens it."""
    ephemeral = X25519PrivateKey.from_private_bytes(randomness(KEY_BYTES))
    sent = ephemeral.public_key().public_bytes_raw()
    cipher = _once(ephemeral.exchange(public), sent, public.public_bytes_raw())
    nonce = bytes(_NONCE)  # the key is used once
    return Wrapping(recipient_name(public), nonce, cipher.encrypt(nonce, secret, labels), sent)


def _once(shared: bytes, ephemeral: bytes, public: bytes) -> AESGCM:
    info = b"asl-guard wrap 1"
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=ephemeral + public, info=info).derive(shared))


def _decrypt(cipher: AESGCM, wrapping: Wrapping, labels: bytes) -> bytes:
    try:
        secret = cipher.decrypt(wrapping.nonce, wrapping.wrapped, labels)
    except (InvalidTag, ValueError):
        raise KeyUnavailableError("its wrapping is damaged or not its own") from None
    if len(secret) != KEY_BYTES:
        raise KeyUnavailableError("its wrapping holds no data key")
    return secret


def data_key(file: KeyFile, secret: bytes) -> DataKey:
    """An open key with what is derived from it."""
    matching = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"asl-guard match 1").derive(secret)
    return DataKey(bytes.fromhex(file.id), file.owner, file.retention, file.day, secret, matching)
