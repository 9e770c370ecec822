"""The key with which a host signs the orders it issues, and whose signatures count.

``issuer.key`` (Ed25519, PEM, 0600) and ``issuer.pub`` lie in the state folder and are made at the first start, or by
the first command that needs them. The line of ``issuer.pub`` goes into ``issuers`` of the guard.yaml of other hosts
whose workers are to believe this one. A stop is obeyed without any of this; a resume of version 2 lifts nothing
without a signature that counts. Who may read the key may issue resumes below ASL-3 and say when they were issued.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_public_key,
)

from guard.state.orders import Order, statement

KEY_FILE: Final = "issuer.key"
PUBLIC_FILE: Final = "issuer.pub"
_MAX_BYTES: Final = 4_096
_O = TypeVar("_O", bound=Order)


class IssuerError(OSError):
    """The host's key cannot be had; the words say what to do."""

    def __init__(self, words: str) -> None:
        """Take the words for people."""
        super().__init__(0, words)


def issuer_id(public: Ed25519PublicKey) -> str:
    """Name an issuer: the first 16 bytes of the SHA-256 of its public key, hexadecimal."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


class Issuer:
    """Signs orders in the name of one host."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Take the key."""
        self._private = private
        self.public: Ed25519PublicKey = private.public_key()
        self.id: str = issuer_id(self.public)

    @classmethod
    def open(cls, state: Path) -> Issuer:
        """Read the key of this state folder, made if there is none; raises IssuerError or another OSError."""
        path = state / KEY_FILE
        try:
            issuer = cls(_private(path))
        except FileNotFoundError:
            _make(state)
            issuer = cls(_private(path))
        line = issuer.public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" asl-guard-issuer\n"
        if not _holds(state / PUBLIC_FILE, line):
            _put(state, PUBLIC_FILE, line, 0o644)
        return issuer

    def signed(self, order: _O) -> _O:
        """Return the order as issued by this host."""
        named = replace(order, issuer=self.id, signature="")
        return replace(named, signature=base64.b64encode(self._private.sign(statement(named))).decode())


def own_issuer(state: Path) -> Mapping[str, Ed25519PublicKey]:
    """Return this host's own public key by its id, nothing where none was made yet; raises IssuerError."""
    path = state / PUBLIC_FILE
    try:
        public = load_ssh_public_key(_read(path)[0])
    except FileNotFoundError:
        return {}
    except (ValueError, UnsupportedAlgorithm):
        raise IssuerError(f"{path} is not the public key that was put there; remove it") from None
    if not isinstance(public, Ed25519PublicKey):
        raise IssuerError(f"{path} is not an Ed25519 key; remove it")
    return {issuer_id(public): public}


def genuine(order: Order, issuers: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether one of these issuers signed exactly this order."""
    public = issuers.get(order.issuer)
    if public is None or not order.signature:
        return False
    try:
        public.verify(base64.b64decode(order.signature), statement(order))
    except InvalidSignature:
        return False
    return True


def _private(path: Path) -> Ed25519PrivateKey:
    pem, mode = _read(path)
    if mode & 0o077:
        raise IssuerError(f"{path} can be read by others; chmod 600 it, or remove it to have another made")
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IssuerError(f"{path} is damaged; remove it to have another made") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise IssuerError(f"{path} is not an Ed25519 key; remove it to have another made")
    return key


def _read(path: Path) -> tuple[bytes, int]:
    # Not blocking and not following, as with orders: nothing put there may hold up who reads.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise IssuerError(f"{path} is not a regular file; remove it")
        return os.read(fd, _MAX_BYTES), mode
    finally:
        os.close(fd)


def _make(state: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _put(state, KEY_FILE, pem, 0o600, only_first=True)


def _put(state: Path, name: str, content: bytes, mode: int, *, only_first: bool = False) -> None:
    """Write aside, then show it whole; of several that make the first, one's stays."""
    aside = state / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            owner = state.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(fd)
        if only_first:
            with suppress(FileExistsError):
                (state / name).hardlink_to(aside)
        else:
            aside.replace(state / name)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def _holds(path: Path, content: bytes) -> bool:
    try:
        return _read(path)[0] == content
    except OSError:
        return False
