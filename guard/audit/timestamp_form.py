"""Requests and answers of a time-stamping authority as RFC 3161 writes them, in DER; the standard library only.

Reading says what a token states, not that it is true: who signed it is for `guard.audit.timestamp_authority`. Only what
an answer needs is read: definite lengths, short tags, 64 KiB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAX_ANSWER_BYTES: Final = 65_536
MAX_ELEMENTS: Final = 1000
NONCE_BYTES: Final = 8

_INTEGER, _BOOLEAN, _OCTETS, _NULL, _OID, _TIME, _SEQUENCE, _SET = 0x02, 0x01, 0x04, 0x05, 0x06, 0x18, 0x30, 0x31
_FIRST: Final = 0xA0  # the context's own tag 0, constructed
_SHA256: Final = bytes.fromhex("608648016503040201")
_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")
_SIGNING_CERTIFICATE: Final = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_2: Final = bytes.fromhex("2a864886f70d010910022f")
_HASHES: Final = {
    bytes.fromhex("2b0e03021a"): "sha1",
    _SHA256: "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_MOMENT: Final = re.compile(rb"([0-9]{14})(\.[0-9]{1,9})?Z")
_LONG: Final = 0x80
_NONE: Final = "answered with something that is no time stamp"
_NOT_DER: Final = "answered in an encoding that is not DER"


class TimestampError(ValueError):
    """An answer that is none, or not one to what was asked; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a time-stamp token states: ``imprint`` (SHA-256) stood at ``time`` (seconds since the epoch, UTC).

    ``policy`` is the authority's, in dotted digits, ``nonce`` as it was asked. ``signer`` is who signed it, as issuer
    and serial number in DER, and ``bound`` the hash of that one's certificate by its algorithm, which is signed too.
    """

    time: float
    imprint: bytes
    policy: str
    serial: int
    nonce: int | None
    signer: bytes
    bound: tuple[str, bytes]


def request(imprint: bytes, nonce: bytes, policy: str | None = None) -> bytes:
    """Ask for a token over a SHA-256 hash, with the authority's certificate in it; ``nonce`` is 8 random bytes."""
    algorithm = _encoded(_SEQUENCE, _encoded(_OID, _SHA256) + _encoded(_NULL, b""))
    parts = [
        _encoded(_INTEGER, b"\x01"),
        _encoded(_SEQUENCE, algorithm + _encoded(_OCTETS, imprint)),
        b"" if policy is None else _encoded(_OID, _oid(policy)),
        _encoded(_INTEGER, _number(nonce)),
        _encoded(_BOOLEAN, b"\xff"),
    ]
    return _encoded(_SEQUENCE, b"".join(parts))


def asked(nonce: bytes) -> int:
    """The number that a nonce is."""
    return int.from_bytes(nonce, "big")


def read_token(answer: bytes) -> Token:
    """Read an answer that grants a token; raises TimestampError for any other."""
    signed = _signed(answer)
    with _reading():
        kind, content = signed[2].parts()
        if kind != _Element(_OID, _TST_INFO) or content.tag != _FIRST:
            raise TimestampError("answered with something else than a time stamp")
        info = _one(content.content, _OCTETS).content
        version, policy, imprint, serial, moment, *rest = _one(info, _SEQUENCE).parts()
        algorithm, hashed = imprint.parts()
        if (version.tag, version.content, moment.tag) != (_INTEGER, b"\x01", _TIME):
            raise TimestampError("answered with a time stamp of another version")
        if algorithm.parts()[0].content != _SHA256 or hashed.tag != _OCTETS:
            raise TimestampError("answered for another kind of hash than SHA-256")
        nonce = next((_integer(each) for each in rest if each.tag == _INTEGER), None)
        ((signer,),) = [each.parts() for each in signed[3:] if each.tag == _SET]
        _, who, _, attributes, *_ = signer.parts()
        if who.tag != _SEQUENCE or attributes.tag != _FIRST:
            raise TimestampError("answered with a token that does not say who signed it")
        return Token(
            _seconds(moment.content),
            hashed.content,
            _dotted(policy.content),
            _integer(serial),
            nonce,
            who.content,
            _bound(attributes.parts()),
        )


def certificate_of(answer: bytes, token: Token) -> bytes | None:
    """The certificate in the answer that has the hash and the name that the token binds; raises TimestampError."""
    algorithm, wanted = token.bound
    for found in _signed(answer)[3:]:
        for each in found.parts() if found.tag == _FIRST else ():
            if hashlib.new(algorithm, each.whole, usedforsecurity=False).digest() == wanted:
                return each.whole if _named(each) == token.signer else None
    return None


def in_order(answer: bytes) -> bytes:
    """The answer with its certificates in the order that DER gives a set: many authorities send them leaf first.

    They are not signed, so their order means nothing; a strict reader refuses another. Raises TimestampError.
    """
    for found in _signed(answer)[3:]:
        if found.tag == _FIRST:
            return answer.replace(found.content, b"".join(sorted(each.whole for each in found.parts())), 1)
    return answer


@dataclass(frozen=True, slots=True)
class _Element:
    """A tag and what it holds."""

    tag: int
    content: bytes

    @property
    def whole(self) -> bytes:
        return _encoded(self.tag, self.content)

    def parts(self) -> list[_Element]:
        """The elements inside; raises TimestampError."""
        return _elements(self.content)


@contextmanager
def _reading() -> Iterator[None]:
    """What an answer lacks shows wherever it is taken apart; raises TimestampError for all of it."""
    try:
        yield
    except TimestampError:
        raise
    except (IndexError, ValueError, OverflowError):
        raise TimestampError(_NONE) from None


def _signed(answer: bytes) -> list[_Element]:
    """The parts of the signed data of a granted answer."""
    if len(answer) > MAX_ANSWER_BYTES:
        raise TimestampError(f"answered with more than {MAX_ANSWER_BYTES} bytes")
    with _reading():
        status, *token = _one(answer, _SEQUENCE).parts()
        granted = _integer(status.parts()[0])
        if granted != 0 or not token:
            raise TimestampError(f"granted no time stamp: status {granted}")
        kind, content = token[0].parts()
        if kind != _Element(_OID, _SIGNED_DATA) or content.tag != _FIRST:
            raise TimestampError("answered with something else than signed data")
        version, hashes, info, *rest = _one(content.content, _SEQUENCE).parts()
    return [version, hashes, info, *rest]


def _named(certificate: _Element) -> bytes:
    """Issuer and serial number of a certificate, as a token names it."""
    try:
        of = certificate.parts()[0].parts()
        serial, _, issuer = of[1:4] if of[0].tag == _FIRST else of[:3]
    except (IndexError, ValueError):
        return b""
    return issuer.whole + serial.whole


def _bound(attributes: list[_Element]) -> tuple[str, bytes]:
    """The hash of the signer's certificate, by its algorithm, from the signed attribute that names it (RFC 5816)."""
    for attribute in attributes:
        kind, values = attribute.parts()
        if kind.content in {_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_2}:
            first = _one(values.content, _SEQUENCE).parts()[0].parts()[0].parts()
            if first[0].tag == _OCTETS:
                return ("sha1" if kind.content == _SIGNING_CERTIFICATE else "sha256"), first[0].content
            algorithm = _HASHES.get(first[0].parts()[0].content)
            if algorithm is None:
                raise TimestampError("answered with a certificate's hash of an unknown kind")
            return algorithm, first[1].content
    raise TimestampError("answered with a token that names no certificate of who signed it")


def _elements(data: bytes) -> list[_Element]:
    found: list[_Element] = []
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length >= _LONG:
            count = length - _LONG
            length, at = int.from_bytes(data[at : at + count], "big"), at + count
            if not 1 <= count <= 3 or length < _LONG or length >> 8 * (count - 1) == 0:  # noqa: PLR2004 - in few bytes
                raise TimestampError(_NOT_DER)
        if tag & 0x1F == 0x1F or length > len(data) - at or len(found) >= MAX_ELEMENTS:  # noqa: PLR2004 - a long tag
            raise TimestampError(_NOT_DER)
        found.append(_Element(tag, data[at : at + length]))
        at += length
    return found


def _one(data: bytes, tag: int) -> _Element:
    """The only element, which must have this tag."""
    (found,) = _elements(data)
    if found.tag != tag:
        raise TimestampError(_NONE)
    return found


def _encoded(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG + len(length))) + length + content


def _integer(element: _Element) -> int:
    if element.tag != _INTEGER or not 1 <= len(element.content) <= 32:  # noqa: PLR2004 - serials have 20 at most
        raise TimestampError(_NONE)
    return int.from_bytes(element.content, "big", signed=True)


def _number(data: bytes) -> bytes:
    """The shortest bytes of a number that is not negative."""
    value = int.from_bytes(data, "big")
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(each) for each in dotted.split("."))
    data = b""
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        data += bytes(reversed(groups))
    return data


def _dotted(data: bytes) -> str:
    numbers, number = [], 0
    for byte in data:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last of a number
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _seconds(text: bytes) -> float:
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise TimestampError("answered with a time that is not UTC")
    whole = datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return whole.timestamp() + float(found[2] or 0)
