"""Wrapping: a data key opens for its holders alone, and for nothing but what it was made for."""

from __future__ import annotations

import os

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.wrapping import (
    Investigator,
    Kek,
    KeyFile,
    KeyUnavailableError,
    data_key,
    wrap_to,
)

KEK, OTHER = Kek("ab" * 32), Kek("cd" * 32)
PRIVATE, STRANGER = X25519PrivateKey.generate(), X25519PrivateKey.generate()
SECRET = bytes(range(32))
FILE = KeyFile(1, "0011223344556677", "a team", "content-30", "2026-11-23")
WRAPPED = msgspec.structs.replace(
    FILE,
    kek=KEK.wrap(SECRET, FILE.labels, os.urandom),
    investigator=wrap_to(PRIVATE.public_key(), SECRET, FILE.labels, os.urandom),
)


def test_both_holders_open_it() -> None:
    assert KEK.open(WRAPPED) == SECRET
    assert Investigator(PRIVATE).open(WRAPPED) == SECRET


def test_nobody_else_does_and_the_error_names_the_keys() -> None:
    with pytest.raises(KeyUnavailableError, match=f"wrapped by the key {KEK.name}, and this is {OTHER.name}"):
        OTHER.open(WRAPPED)
    with pytest.raises(KeyUnavailableError, match="wrapped to the investigator's key"):
        Investigator(STRANGER).open(WRAPPED)


def test_a_wrapping_that_is_not_there_is_said() -> None:
    with pytest.raises(KeyUnavailableError, match="its day is over: only the investigator's private key opens it"):
        KEK.open(msgspec.structs.replace(WRAPPED, kek=None))
    with pytest.raises(KeyUnavailableError, match="not wrapped to an investigator"):
        Investigator(PRIVATE).open(msgspec.structs.replace(WRAPPED, investigator=None))


@pytest.mark.parametrize(
    "changed",
    [{"owner": "another"}, {"retention": "content-31"}, {"day": "2026-11-24"}, {"id": "0011223344556678"}],
)
def test_it_is_bound_to_owner_class_day_and_id(changed: dict[str, str]) -> None:
    moved = msgspec.structs.replace(WRAPPED, **changed)
    for holder in (KEK, Investigator(PRIVATE)):
        with pytest.raises(KeyUnavailableError, match="damaged or not its own"):
            holder.open(moved)


@given(st.integers(0, 47), st.integers(0, 7))
def test_a_changed_bit_does_not_open(at: int, bit: int) -> None:
    for field, holder in (("kek", KEK), ("investigator", Investigator(PRIVATE))):
        wrapping = getattr(WRAPPED, field)
        wrapped = bytearray(wrapping.wrapped)
        wrapped[at] ^= 1 << bit
        changed = msgspec.structs.replace(wrapping, wrapped=bytes(wrapped))
        with pytest.raises(KeyUnavailableError):
            holder.open(msgspec.structs.replace(WRAPPED, **{field: changed}))


def test_an_ephemeral_half_that_is_no_point_is_an_error() -> None:
    assert WRAPPED.investigator is not None
    for half in (b"", bytes(32)):
        broken = msgspec.structs.replace(WRAPPED.investigator, ephemeral=half)
        with pytest.raises(KeyUnavailableError, match="damaged"):
            Investigator(PRIVATE).open(msgspec.structs.replace(WRAPPED, investigator=broken))


def test_a_holder_who_wrapped_something_else_is_found_out() -> None:
    short = msgspec.structs.replace(FILE, kek=KEK.wrap(b"short", FILE.labels, os.urandom))
    with pytest.raises(KeyUnavailableError, match="holds no data key"):
        KEK.open(short)


@pytest.mark.parametrize("text", ["", "ab" * 31, "AB" * 32, "ab" * 32 + "\n", "zz" * 32])
def test_a_key_encryption_key_that_is_none_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes") as refused:
        Kek(text)
    assert not text or text not in str(refused.value)


def test_keyed_hashes_tell_texts_and_keys_apart() -> None:
    one, other = data_key(FILE, SECRET), data_key(FILE, bytes(32))
    assert one.match(b"text") == one.match(b"text")
    assert len({one.match(b"text"), one.match(b"texts"), other.match(b"text")}) == 3


def test_no_secret_is_in_a_representation() -> None:
    shown = repr(data_key(FILE, SECRET))
    assert repr(SECRET) not in shown
    assert "secret" not in shown
