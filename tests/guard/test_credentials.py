"""Credentials are found by a keyed digest, and hold until the moment they expire."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.credentials import MAX_CREDENTIAL, Holder, Register, bearer, digest, new_secret
from guard.refusal import Refused
from safeguards.verdict import Code
from tests.guard.road import Still

SECRET = new_secret("sk-guard", "app", lambda count: bytes(range(count)))


def headers(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"authorization", value) for value in values)]


def refusal(*values: bytes, clock: Still | None = None, expires: float = 2e9) -> tuple[Code, str]:
    holders = {digest(b"pepper", SECRET.encode()): Holder("app", expires)}
    with pytest.raises(Refused) as caught:
        Register(b"pepper", holders, clock or Still()).authenticate(headers(*values))
    return caught.value.code, caught.value.reason


def test_a_known_credential_finds_its_holder_until_it_expires() -> None:
    clock = Still(999.9)
    holders = {digest(b"pepper", SECRET.encode()): Holder("app", 1000.0)}
    register = Register(b"pepper", holders, clock)
    assert register.authenticate(headers(b"Bearer " + SECRET.encode())) == "app"
    assert register.authenticate(headers(b"bearer " + SECRET.encode())) == "app"
    clock.at = 1000.0
    with pytest.raises(Refused) as caught:
        register.authenticate(headers(b"Bearer " + SECRET.encode()))
    assert (caught.value.code, caught.value.reason) == (Code.KEY_EXPIRED, "expired")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((), "missing"),
        ((b"",), "malformed"),
        ((b"Basic " + SECRET.encode(),), "malformed"),
        ((SECRET.encode(),), "malformed"),
        ((b"Bearer  " + SECRET.encode(),), "malformed"),
        ((b"Bearer " + SECRET.encode() + b" ",), "malformed"),
        ((b"Bearer short",), "malformed"),
        ((b"Bearer " + b"x" * (MAX_CREDENTIAL + 1),), "malformed"),
        ((b"Bearer " + SECRET.encode(), b"Bearer " + SECRET.encode()), "malformed"),
        ((b"Bearer " + SECRET.encode()[:-1],), "unknown"),
        ((b"Bearer " + SECRET.upper().encode(),), "unknown"),
    ],
)
def test_anything_else_is_refused_with_its_reason(values: tuple[bytes, ...], reason: str) -> None:
    assert refusal(*values) == (Code.UNAUTHENTICATED, reason)


def test_another_pepper_knows_nobody() -> None:
    holders = {digest(b"other", SECRET.encode()): Holder("app", 2e9)}
    with pytest.raises(Refused):
        Register(b"pepper", holders, Still()).authenticate(headers(b"Bearer " + SECRET.encode()))


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_the_credential_but_the_credential(value: bytes) -> None:
    if value != b"Bearer " + SECRET.encode():
        code, reason = refusal(value)
        assert code is Code.UNAUTHENTICATED
        assert reason in {"malformed", "unknown"}


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True))
def test_every_new_secret_is_a_bearer_credential(identity: str) -> None:
    secret = new_secret("sk-guard", identity, os.urandom)
    assert bearer(headers(b"Bearer " + secret.encode())) == secret.encode()
    assert len(secret.rpartition(f"-{identity}-")[2]) == 43  # 256 bits


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=300))
def test_the_keyed_digest_is_that_of_every_pepper(pepper: bytes, credential: bytes) -> None:
    assert Register(pepper, {}, Still()).digest(credential) == digest(pepper, credential)
