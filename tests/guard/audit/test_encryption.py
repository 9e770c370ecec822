"""Sealing: what goes in comes out, at its own place and with its own key alone."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import encryption
from guard.audit.encryption import Blob, Body, Seal, SealError

ANY = st.text(st.characters(), max_size=400)  # lone surrogates included
SALT = b"s" * 16


@given(ANY)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert encryption.decoded(encryption.encoded(text)) == text


@pytest.mark.parametrize("data", [b"", b"\xffx", b"\1not zstd"])
def test_a_damaged_compression_is_an_error(data: bytes) -> None:
    with pytest.raises(SealError):
        encryption.expanded(data)


def test_a_compressed_text_cannot_grow_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encryption.squeezed(bytes(10_000))
    monkeypatch.setattr(encryption, "MAX_PAYLOAD", 9_999)
    with pytest.raises(SealError, match="too great"):
        encryption.expanded(data)


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.binary(max_size=20))
def test_what_was_sealed_opens_at_its_place_alone(data: bytes, sequence: int, bound: bytes) -> None:
    sealed = Seal(b"k" * 32, b"s" * 32, b"here").close(sequence, bound, data)
    assert Seal(b"k" * 32, b"s" * 32, b"here").open(sequence, bound, sealed) == data
    for other, at, to in (
        (Seal(b"K" * 32, b"s" * 32, b"here"), sequence, bound),
        (Seal(b"k" * 32, b"S" * 32, b"here"), sequence, bound),
        (Seal(b"k" * 32, b"s" * 32, b"there"), sequence, bound),
        (Seal(b"k" * 32, b"s" * 32, b"here"), sequence ^ 1, bound),
        (Seal(b"k" * 32, b"s" * 32, b"here"), sequence, bound + b"x"),
    ):
        with pytest.raises(SealError):
            other.open(at, to, sealed)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_bit_does_not_open(data: bytes, draw: st.DataObject) -> None:
    seal = Seal(b"k" * 32, b"s" * 32, b"here")
    sealed = bytearray(seal.close(1, b"", data))
    sealed[draw.draw(st.integers(0, len(sealed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(SealError):
        seal.open(1, b"", bytes(sealed))
    with pytest.raises(SealError):
        seal.open(1, b"", b"short")


def test_the_commitment_is_what_the_documentation_says() -> None:
    inner = hashlib.sha256(SALT + b"\0\0\0\2").digest()
    assert encryption.commitment(SALT, 2, b"text") == hashlib.sha256(inner + b"text").hexdigest()


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_commitment_tells_texts_places_and_salts_apart(one: bytes, other: bytes) -> None:
    assert (encryption.commitment(SALT, 0, one) == encryption.commitment(SALT, 0, other)) == (one == other)
    assert encryption.commitment(SALT, 0, one) != encryption.commitment(SALT, 1, one)
    assert encryption.commitment(SALT, 0, one) != encryption.commitment(b"t" * 16, 0, one)


@given(st.lists(st.binary(max_size=9) | st.builds(Blob, st.integers(0, 2**40), st.binary(max_size=16)), max_size=5))
def test_a_body_comes_back_as_it_was(texts: list[bytes | Blob]) -> None:
    body = Body(SALT, tuple(texts), ("a", "b"))
    assert encryption.unpack(encryption.pack(body)) == body


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x93\x01", encryption.pack(Body(SALT, ()))[:-1]])
def test_bytes_that_are_no_body_are_an_error(data: bytes) -> None:
    with pytest.raises(SealError, match="not a body"):
        encryption.unpack(data)


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(SealError):
        encryption.decoded(b"\xff")
