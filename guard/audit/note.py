"""Signed notes as C2SP signed-note defines them, with Ed25519 and the cosignatures of C2SP tlog-cosignature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE_BYTES: Final = 65_536
MAX_SIGNATURES: Final = 32
ID_BYTES: Final = 4
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAX_TIME: Final = 2**63 - 1
_TIME: Final = struct.Struct(">Q")
_DASH: Final = "\u2014 "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_NAME: Final = re.compile(r"[^\s+]{1,255}")


class NoteError(ValueError):
    """Bytes that are no note or key, or a signature that is not of the key it names."""


class Algorithm(IntEnum):
    """The signature type of C2SP signed-note that a key signs with."""

    ED25519 = 1
    COSIGNATURE = 4


@dataclass(frozen=True, slots=True)
class Key:
    """A public key with the name it signs under; written as a verifier key, ``name+id+base64``."""

    name: str
    algorithm: Algorithm
    public: bytes

    def __post_init__(self) -> None:
        """Raise NoteError for a name that no note can hold, or bytes that are no key."""
        if not _KEY_NAME.fullmatch(self.name) or not self.name.isprintable():
            raise NoteError("a key's name has 1 to 255 characters, none of them a space or a plus")
        if len(self.public) != PUBLIC_BYTES:
            raise NoteError(f"a public key has {PUBLIC_BYTES} bytes")

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        data = self.name.encode() + b"\n" + bytes((self.algorithm,)) + self.public
        return hashlib.sha256(data).digest()[:ID_BYTES]

    def __str__(self) -> str:
        """The verifier key."""
        material = base64.b64encode(bytes((self.algorithm,)) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{material}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id, and the bytes behind the id."""

    name: str
    id: bytes
    data: bytes

    def __str__(self) -> str:
        """The line without its end."""
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline and its signatures, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(f"{one}\n" for one in self.signatures)).encode()

    def with_signatures(self, more: tuple[Signature, ...]) -> Note:
        """The note with further signatures."""
        return Note(self.text, (*self.signatures, *more))


class Signer:
    """A private key and the name it signs under."""

    def __init__(self, name: str, private: Ed25519PrivateKey, algorithm: Algorithm = Algorithm.ED25519) -> None:
        """Take the key; raises NoteError for a name that no note can hold."""
        self._private = private
        self.key = Key(name, algorithm, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """Sign a note's text."""
        return Signature(self.key.name, self.key.id, self._private.sign(text.encode()))

    def cosign(self, text: str, time: int) -> Signature:
        """Sign that at this time (seconds since the epoch) the checkpoint was the newest and consistent one."""
        return Signature(self.key.name, self.key.id, _TIME.pack(time) + self._private.sign(_cosigned(text, time)))


def parse_key(text: str) -> Key:
    """Read a verifier key; raises NoteError."""
    name, _, rest = text.strip().partition("+")
    identifier, _, material = rest.partition("+")
    data = decode_base64(material)
    if len(data) != 1 + PUBLIC_BYTES or data[0] not in set(Algorithm):
        raise NoteError("not an Ed25519 verifier key: name+id+base64")
    key = Key(name, Algorithm(data[0]), data[1:])
    if identifier != key.id.hex():
        raise NoteError("the id of the verifier key does not fit its name and bytes")
    return key


def parse_note(data: bytes) -> Note:
    """Read a note; raises NoteError. Its text means nothing until `signed_by` has been asked."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError(f"longer than {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise NoteError("not UTF-8") from None
    text, blank, lines = whole.rpartition("\n\n")
    if _CONTROL.search(whole) or not blank or not text or not lines.endswith("\n"):
        raise NoteError("not a signed note")
    signatures = parse_signatures(lines)
    if not signatures:
        raise NoteError("a note without a signature")
    return Note(text + "\n", signatures)


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Read signature lines, each ended by a newline; raises NoteError."""
    found = []
    for line in lines.removesuffix("\n").split("\n"):
        name, space, encoded = line.removeprefix(_DASH).rpartition(" ")
        if not line.startswith(_DASH) or not space or not _KEY_NAME.fullmatch(name):
            raise NoteError("not a signature line")
        data = decode_base64(encoded)
        if len(data) <= ID_BYTES:
            raise NoteError("a signature is too short")
        found.append(Signature(name, data[:ID_BYTES], data[ID_BYTES:]))
    if len(found) > MAX_SIGNATURES:
        raise NoteError(f"more than {MAX_SIGNATURES} signatures")
    return tuple(found)


def signed_by(note: Note, key: Key) -> bool:
    """Whether this key signed the note; raises NoteError if a signature names the key and is not its own."""
    signed = False
    for one in note.signatures:
        if one.name == key.name and one.id == key.id:
            _check(note.text, one, key)
            signed = True
    return signed


def cosigned_at(note: Note, key: Key) -> int | None:
    """The latest time at which this witness cosigned the note, None if it did not; raises NoteError as `signed_by`."""
    if key.algorithm is not Algorithm.COSIGNATURE or not signed_by(note, key):
        return None
    mine = (one for one in note.signatures if one.name == key.name and one.id == key.id)
    return max(int(_TIME.unpack_from(one.data)[0]) for one in mine)


def decode_base64(text: str) -> bytes:
    """Read standard Base64 in its one canonical form; raises NoteError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not Base64") from None
    if base64.b64encode(data).decode() != text:
        raise NoteError("Base64 that is not canonical")
    return data


def _check(text: str, one: Signature, key: Key) -> None:
    message, signature = text.encode(), one.data
    if key.algorithm is Algorithm.COSIGNATURE:
        if len(signature) != _TIME.size + SIGNATURE_BYTES:
            raise NoteError(f"the cosignature of {key.name} has another length")
        (time,) = _TIME.unpack_from(signature)
        if time > MAX_TIME:
            raise NoteError(f"the cosignature of {key.name} has an impossible time")
        message, signature = _cosigned(text, time), signature[_TIME.size :]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise NoteError(f"the signature of {key.name} is wrong") from None


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()
