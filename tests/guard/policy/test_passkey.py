"""Passkeys of operators.yaml: one form of each, and of the pages on which they count."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guard.policy.passkey import WebAuthn, credential_bytes, read_public
from guard.policy.ssh_key import KeyKind, read_key
from tests.parts.passkeys import base64url, soft_passkey
from tests.parts.ssh_keys import SoftKey


def spki(key: PublicKeyTypes) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(("ed25519", "kind"), [(False, KeyKind.SK_P256), (True, KeyKind.ED25519)])
def test_the_pair_is_that_of_the_same_key_in_ssh(ed25519: bool, kind: KeyKind) -> None:
    key = soft_passkey(ed25519=ed25519)
    assert read_public(key.public).pair == read_key(SoftKey(kind, key.private).line).pair


def test_a_fingerprint_tells_both_the_id_and_the_key_apart() -> None:
    one, two = soft_passkey(1).passkey, soft_passkey(2).passkey
    mixed = one.model_copy(update={"public_key": two.public_key})
    assert len({one.fingerprint, two.fingerprint, mixed.fingerprint}) == 3


@pytest.mark.parametrize(
    "key",
    [
        spki(ec.derive_private_key(5, ec.SECP384R1()).public_key()),
        spki(ec.derive_private_key(5, ec.SECP256K1()).public_key()),
        spki(rsa.generate_private_key(65537, 2048).public_key()),
    ],
    ids=["P-384", "secp256k1", "RSA"],
)
def test_other_kinds_of_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is a key of another kind"):
        read_public(key)


@given(st.binary(min_size=16, max_size=1023))
def test_an_id_is_read_as_it_was_written_and_in_no_other_form(raw: bytes) -> None:
    text = base64url(raw)
    assert credential_bytes(text) == raw
    for other in (text + "=", text + "\n", " " + text, text[:-1] + "!"):
        with pytest.raises(ValueError, match="must be the id of a credential"):
            credential_bytes(other)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()))
def test_whatever_is_no_key_is_refused_in_words_that_repeat_nothing_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must be a public key|is )"):
        read_public(text)


@given(place=st.integers(0, 8 * 91 - 1))
def test_no_bit_of_a_key_can_be_another_and_mean_the_same(place: int) -> None:
    key = soft_passkey()
    raw = bytearray(base64.b64decode(key.public))
    raw[place // 8] ^= 1 << place % 8
    try:
        found = read_public(base64.b64encode(raw).decode())
    except ValueError:
        return
    assert found.pair != read_public(key.public).pair


@pytest.mark.parametrize("rp_id", ["guard.example.com", "example.com", "localhost", "a-b.xn--p1ai"])
def test_a_name_and_the_pages_below_it(rp_id: str) -> None:
    scheme = "http" if rp_id == "localhost" else "https"
    found = WebAuthn(rp_id=rp_id, origins=(f"{scheme}://{rp_id}:9090", f"https://one.{rp_id}"))
    assert len(found.origins) == 2


@pytest.mark.parametrize(
    "rp_id", ["", "com", "Guard.example.com", "guard.example.com.", "10.0.0.7", "[::1]", "a..b", "-a.b", "a.b/", "ü.de"]
)
def test_what_browsers_take_for_no_domain_is_refused(rp_id: str) -> None:
    with pytest.raises(ValidationError, match="must be a domain name"):
        WebAuthn(rp_id=rp_id, origins=("https://localhost",))


@pytest.mark.parametrize(
    "origin",
    [
        "guard.example.com",
        "https://guard.example.com/",
        "https://Guard.example.com",
        "https://guard.example.com:09443",
        "https://guard.example.com:65536",
        "https://guard.example.com:443",
        "http://guard.example.com",
        "https://user@guard.example.com",
        "https://guard.example.com.evil.test",
        "https://evilguard.example.com",
        "android:apk-key-hash:abc",
        "null",
    ],
)
def test_what_browsers_do_not_write_as_a_page_of_it_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        WebAuthn(rp_id="guard.example.com", origins=(origin,))
