"""Assertions of passkeys: what a key signs for this statement on these pages is taken, and any other byte refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.approval.sshsig import BadSignature
from guard.approval.sshsig import parse as parse_ssh
from guard.approval.webauthn import BEGIN, END, MAX_BYTES, Assertion, armour, challenge, is_assertion, parse, verify
from guard.policy.ssh_wire import wire_string
from guard.state.orders import Approver
from tests.parts.passkeys import ORIGIN, WHERE, SoftPasskey, soft_passkey

MESSAGE = b'{"a": "statement"}\n'
KEY = soft_passkey()
EDWARDS = soft_passkey(1, ed25519=True)
GOOD = KEY.sign(MESSAGE)


def check(armoured: bytes, key: SoftPasskey = KEY, message: bytes = MESSAGE) -> None:
    verify(parse(armoured), message, key.passkey, WHERE)


def why_not(armoured: bytes, key: SoftPasskey = KEY, message: bytes = MESSAGE) -> str:
    with pytest.raises(BadSignature) as caught:
        check(armoured, key, message)
    return str(caught.value)


@pytest.mark.parametrize("key", [KEY, EDWARDS], ids=["ES256", "EdDSA"])
def test_what_a_key_signs_for_this_statement_is_taken(key: SoftPasskey) -> None:
    armoured = key.sign(MESSAGE)
    check(armoured, key)
    assert is_assertion(armoured)
    assert parse(armoured).counter == 7
    assert armour(parse(armoured)) == armoured


def test_a_page_of_each_origin_and_a_browser_that_says_more_are_taken() -> None:
    check(KEY.sign(MESSAGE, origin="https://two.guard.example.com"))
    check(KEY.sign(MESSAGE, crossOrigin=None))
    check(KEY.sign(MESSAGE, other_keys_can_be_added_here="do not compare clientDataJSON against a template"))


@pytest.mark.parametrize("flags", [0x05, 0x0D, 0x1D])
def test_a_key_that_is_copied_between_devices_counts_where_the_file_allows_it(flags: int) -> None:
    where = WHERE.model_copy(update={"synced": True})
    verify(parse(KEY.sign(MESSAGE, flags=flags)), MESSAGE, KEY.passkey, where)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"origin": "https://guard.example.com"}, "is made on a page that is not among webauthn.origins"),
        ({"origin": "https://guard.example.com.evil.test"}, "is made on a page that is not among"),
        ({"origin": ORIGIN.upper()}, "is made on a page that is not among"),
        ({"origin": [ORIGIN]}, "is made on a page that is not among"),
        ({"origin": None}, "is made on a page that is not among"),
        ({"type": "webauthn.create"}, "is no assertion"),
        ({"type": None}, "is no assertion"),
        ({"challenge": "AAAA"}, "another statement was approved"),
        ({"challenge": challenge(MESSAGE) + "="}, "another statement was approved"),
        ({"challenge": None}, "another statement was approved"),
        ({"crossOrigin": True}, "within a page of another site"),
        ({"crossOrigin": 0}, "within a page of another site"),
        ({"crossOrigin": "false"}, "within a page of another site"),
        ({"topOrigin": ORIGIN}, "within a page of another site"),
        ({"rp_id": "example.com"}, "is made for another domain than guard.example.com"),
        ({"flags": 0x04}, "nobody touched"),
        ({"flags": 0x01}, "asked for no PIN"),
        ({"flags": 0x00}, "nobody touched"),
        ({"flags": 0x15}, "cannot be: copied"),
        ({"flags": 0x0D}, "copied between devices, which webauthn.synced does not allow"),
        ({"flags": 0x1D}, "copied between devices, which webauthn.synced does not allow"),
        ({"client_data": b"[]"}, "client data that is no JSON object"),
        ({"client_data": b"\xff"}, "client data that is not JSON"),
        ({"client_data": b'{"a": NaN}'}, "client data that is not JSON"),
        ({"client_data": b"[" * 2048}, "client data that is not JSON"),
        ({"client_data": b'{"type": "webauthn.get", "type": "webauthn.get"}'}, "without repeated keys"),
    ],
)
def test_what_was_not_approved_here_is_refused_with_a_word_though_its_signature_fits(
    how: dict[str, Any], why: str
) -> None:
    assert why in why_not(KEY.sign(MESSAGE, **how))


def test_a_repeated_key_deep_inside_is_refused_too() -> None:
    said = json.loads(KEY.answer(MESSAGE).client_data)
    text = json.dumps(said)[:-1] + ', "more": {"a": 1, "a": 2}}'
    assert "without repeated keys" in why_not(KEY.sign(MESSAGE, client_data=text.encode()))


def test_another_statement_or_another_key_is_refused() -> None:
    assert "another statement was approved" in why_not(GOOD, message=MESSAGE + b"\n")
    assert why_not(GOOD, soft_passkey(2)) == "is made with another key"
    stolen = SoftPasskey(soft_passkey(2).private, KEY.credential)
    assert why_not(stolen.sign(MESSAGE)) == "does not fit: it was changed, or made with another key"
    assert why_not(KEY.sign(MESSAGE), SoftPasskey(EDWARDS.private, KEY.credential)).startswith("does not fit")


def wrapped(content: bytes) -> bytes:
    return f"{BEGIN}\n".encode() + base64.encodebytes(content) + f"{END}\n".encode()


@pytest.mark.parametrize(
    ("armoured", "why"),
    [
        (b"", "is not the text of an assertion"),
        (GOOD + b"\n", "is not the text of an assertion"),
        (b" " + GOOD, "is not the text of an assertion"),
        (GOOD * 2, "is not the text of an assertion"),
        (GOOD.replace(b"\n", b"\r\n"), "is not the text of an assertion"),
        (GOOD + b"x" * MAX_BYTES, "is longer than 8192 bytes"),
        (f"{BEGIN}\nA\n{END}\n".encode(), "not base64"),
        (wrapped(b"x"), "is cut off"),
        (wrapped(b"GUARDWEBAUTHN2"), "is an assertion in a form that is not known here"),
        (wrapped(b"GUARDWEBAUTHN1" + wire_string(b"x") * 4), "names no credential"),
        (wrapped(b"GUARDWEBAUTHN1" + wire_string(b"x" * 16) * 4), "has other authenticator data"),
        (wrapped(base64.b64decode(GOOD.split(b"-----")[2]) + b"x"), "has bytes after its end"),
        (wrapped(base64.b64decode(GOOD.split(b"-----")[2])), "not in its one form"),
    ],
)
def test_what_is_no_assertion_in_its_one_form_is_refused(armoured: bytes, why: str) -> None:
    assert why in why_not(armoured)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("credential", b"x" * 15),
        ("credential", b"x" * 1024),
        ("authenticator_data", b"x" * 36),
        ("authenticator_data", bytes(38)),
        ("authenticator_data", bytes(32) + b"\x45" + bytes(4)),
        ("authenticator_data", bytes(32) + b"\x85" + bytes(4)),
        ("client_data", b"x" * 2049),
        ("signature", b""),
        ("signature", b"x" * 129),
    ],
)
def test_what_no_key_that_was_asked_by_us_answers_is_no_assertion(field: str, value: bytes) -> None:
    good = KEY.answer(MESSAGE)
    fields = {name: getattr(good, name) for name in ("credential", "authenticator_data", "client_data", "signature")}
    with pytest.raises(BadSignature):
        Assertion(**{**fields, field: value})


def test_the_longest_fits_into_an_order() -> None:
    long = armour(Assertion(b"x" * 1023, bytes(37), b"x" * 2048, b"x" * 128))
    assert len(long) <= MAX_BYTES
    assert parse(long).client_data == b"x" * 2048
    Approver("ana", long.decode())


def test_a_guard_that_knows_ssh_alone_finds_damage() -> None:
    with pytest.raises(BadSignature, match="is not the text that `ssh-keygen -Y sign` writes"):
        parse_ssh(GOOD)


@settings(max_examples=400, deadline=None)
@given(place=st.integers(0, 8 * len(GOOD) - 1))
def test_no_bit_of_an_assertion_can_be_another(place: int) -> None:
    flipped = bytearray(GOOD)
    flipped[place // 8] ^= 1 << place % 8
    if bytes(flipped).rstrip(b"\n") == GOOD.rstrip(b"\n"):
        return
    why_not(bytes(flipped))


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from([KEY, EDWARDS]), field=st.integers(0, 3), place=st.integers(0, 10_000))
def test_no_bit_of_what_it_holds_can_be_another(key: SoftPasskey, field: int, place: int) -> None:
    good = key.answer(MESSAGE)
    parts = [good.credential, good.authenticator_data, good.client_data, good.signature]
    changed = bytearray(parts[field])
    changed[place // 8 % len(changed)] ^= 1 << place % 8
    parts[field] = bytes(changed)
    with pytest.raises(BadSignature):
        verify(Assertion(*parts), MESSAGE, key.passkey, WHERE)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda inner: wrapped(b"GUARDWEBAUTHN1" + inner)))
)
def test_whatever_bytes_come_only_the_refusal_is_raised(content: bytes) -> None:
    why_not(content)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=True) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=6,
    )
)
def test_whatever_a_browser_says_only_the_refusal_is_raised(said: Any) -> None:
    why_not(KEY.sign(MESSAGE, client_data=json.dumps(said).encode()[:2048]))
