"""SSH signatures: OpenSSH's own are taken, ours are what OpenSSH takes, and any other byte is refused.

It is one file because sshsig.py is one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.approval.sshsig import MAX_BYTES, NAMESPACE, BadSignature, parse, verify
from guard.policy.ssh_key import KeyKind, SshKey, read_key
from tests.parts import ssh_keygen
from tests.parts.ssh_keys import KINDS, SoftKey, armour, integer, soft_key, text

MESSAGE = b'{"a": "message"}\n'
HARDWARE = (KeyKind.SK_ED25519, KeyKind.SK_P256)


def check(armoured: bytes, key: SshKey, message: bytes = MESSAGE, namespace: str = NAMESPACE) -> None:
    verify(parse(armoured), message, namespace, key)


def why_not(armoured: bytes, key: SshKey, message: bytes = MESSAGE, namespace: str = NAMESPACE) -> str:
    with pytest.raises(BadSignature) as caught:
        check(armoured, key, message, namespace)
    return str(caught.value)


@pytest.mark.parametrize("hashing", ["sha256", "sha512"])
@pytest.mark.parametrize(
    "how",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "3072"),
    ],
    ids=" ".join,
)
def test_what_ssh_keygen_signs_is_taken(how: tuple[str, ...], hashing: str, tmp_path: Path) -> None:
    line = ssh_keygen.make_key(tmp_path / "key", *how)
    key = read_key(line)
    assert key.fingerprint == ssh_keygen.fingerprint(line)
    file = tmp_path / "order.json"
    file.write_bytes(MESSAGE)
    armoured = ssh_keygen.sign(tmp_path / "key", NAMESPACE, file, "-O", f"hashalg={hashing}").read_bytes()
    assert parse(armoured).hash == hashing
    check(armoured, key)
    assert "another namespace" in why_not(armoured, key, namespace="git")
    assert "another file" in why_not(armoured, key, MESSAGE + b"\n")
    assert "another key" in why_not(armoured, read_key(soft_key(KeyKind.ED25519).line))


@pytest.mark.parametrize("kind", KINDS)
def test_the_software_keys_of_these_tests_sign_what_openssh_takes(kind: KeyKind, tmp_path: Path) -> None:
    key = soft_key(kind)
    armoured = key.sign(MESSAGE)
    assert ssh_keygen.fingerprint(key.line) == read_key(key.line).fingerprint
    assert ssh_keygen.verifies(tmp_path, key.line, NAMESPACE, MESSAGE, armoured)
    assert not ssh_keygen.verifies(tmp_path, key.line, NAMESPACE, b"another", armoured)
    check(armoured, read_key(key.line))


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_with_any_byte_changed_is_refused(kind: KeyKind) -> None:
    soft = soft_key(kind)
    key, armoured = read_key(soft.line), soft.sign(MESSAGE)
    for place, byte in enumerate(armoured):
        for other in {byte ^ 1, byte ^ 0x20, ord("A") if byte != ord("A") else ord("B"), ord("\n"), 0} - {byte}:
            with pytest.raises(BadSignature):
                check(armoured[:place] + bytes([other]) + armoured[place + 1 :], key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_binary_signature_with_any_bit_changed_or_cut_anywhere_is_refused(kind: KeyKind) -> None:
    soft = soft_key(kind)
    key, blob = read_key(soft.line), blob_of(soft.sign(MESSAGE))
    for place in range(len(blob)):
        for bit in range(8):
            changed = bytearray(blob)
            changed[place] ^= 1 << bit
            with pytest.raises(BadSignature):
                check(armour(bytes(changed)), key)
        for cut in (blob[:place], blob[:place] + blob[place + 1 :]):
            with pytest.raises(BadSignature):
                check(armour(cut), key)


def blob_of(armoured: bytes) -> bytes:
    return base64.b64decode(b"".join(armoured.split(b"\n")[1:-2]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_with_any_byte_changed_is_refused(kind: KeyKind) -> None:
    soft = soft_key(kind)
    key, armoured = read_key(soft.line), soft.sign(MESSAGE)
    for place in range(len(MESSAGE)):
        assert "another file" in why_not(armoured, key, MESSAGE[:place] + b"?" + MESSAGE[place + 1 :])


@pytest.mark.parametrize(
    ("kind", "how", "words"),
    [
        (KeyKind.ED25519, {"namespace": "file"}, "made for another namespace; sign with -n order@asl-guard"),
        (KeyKind.ED25519, {"namespace": ""}, "has no namespace"),
        (KeyKind.ED25519, {"namespace": "order@asl-guard\0"}, "made for another namespace"),
        (KeyKind.ED25519, {"reserved": b"x"}, "reserved field"),
        (KeyKind.ED25519, {"version": 2}, "another version than 1"),
        (KeyKind.ED25519, {"version": 0}, "another version than 1"),
        (KeyKind.ED25519, {"hashing": "sha1"}, "hashes the message in a way that is not taken"),
        (KeyKind.ED25519, {"hashing": "sha384"}, "hashes the message in a way that is not taken"),
        (KeyKind.RSA, {"rsa_with": "ssh-rsa"}, "an algorithm that is not taken for this kind of key"),
        (KeyKind.SK_ED25519, {"flags": 0}, "that nobody touched"),
        (KeyKind.SK_P256, {"flags": 4}, "that nobody touched"),
    ],
)
def test_a_good_signature_of_a_kind_that_is_not_taken_is_refused(
    kind: KeyKind, how: dict[str, Any], words: str
) -> None:
    key = soft_key(kind)
    assert words in why_not(key.sign(MESSAGE, **how), read_key(key.line))


def test_rsa_with_sha_256_and_with_sha_512_is_taken() -> None:
    key = soft_key(KeyKind.RSA)
    for name in ("rsa-sha2-256", "rsa-sha2-512"):
        check(key.sign(MESSAGE, rsa_with=name), read_key(key.line))


@pytest.mark.parametrize("kind", HARDWARE)
@pytest.mark.parametrize(("flags", "counter"), [(1, 0), (5, 1), (1, 2**32 - 1), (0xC1, 9)])
def test_a_touched_hardware_key_is_taken_with_any_counter_and_with_or_without_a_pin(
    kind: KeyKind, flags: int, counter: int
) -> None:
    key = soft_key(kind)
    check(key.sign(MESSAGE, flags=flags, counter=counter), read_key(key.line))


@pytest.mark.parametrize("kind", HARDWARE)
def test_a_hardware_key_signs_for_its_own_application_alone(kind: KeyKind, tmp_path: Path) -> None:
    own, other = soft_key(kind), soft_key(kind, 0, b"ssh:other")
    check(other.sign(MESSAGE), read_key(other.line))
    assert ssh_keygen.verifies(tmp_path, other.line, NAMESPACE, MESSAGE, other.sign(MESSAGE))
    forged = blob_of(other.sign(MESSAGE)).replace(text(other.blob), text(own.blob))
    assert "another file" in why_not(armour(forged), read_key(own.line))


def test_the_algorithm_must_be_the_keys_own() -> None:
    """An Ed25519 signature under the name of another algorithm, and the other way round."""
    plain, hardware = soft_key(KeyKind.ED25519), soft_key(KeyKind.SK_ED25519)
    named = blob_of(plain.sign(MESSAGE))
    inner = text(text(b"ssh-ed448") + named[-68:])
    outer = named[: -(len(text(b"ssh-ed25519")) + 68 + 4)]
    assert "an algorithm that is not taken" in why_not(armour(outer + inner), read_key(plain.line))
    bare = blob_of(hardware.sign(MESSAGE))
    forged = bare.replace(text(hardware.blob), text(plain.blob))
    assert "an algorithm that is not taken" in why_not(armour(forged), read_key(plain.line))


def ecdsa_with(change: Callable[[int, int], bytes]) -> tuple[bytes, SshKey]:
    """A P-256 signature whose two numbers are written otherwise."""
    soft = soft_key(KeyKind.P256)
    blob = blob_of(soft.sign(MESSAGE))
    head = blob[: blob.rindex(text(b"ecdsa-sha2-nistp256")) - 4]
    numbers = blob[blob.rindex(b"nistp256") + 12 :]
    size = int.from_bytes(numbers[:4])
    r, s = int.from_bytes(numbers[4 : 4 + size]), int.from_bytes(numbers[8 + size :])
    return armour(head + text(text(b"ecdsa-sha2-nistp256") + text(change(r, s)))), read_key(soft.line)


ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_two_numbers_of_ecdsa_have_one_written_form() -> None:
    check(*ecdsa_with(lambda r, s: integer(r) + integer(s)))
    for change in (
        lambda r, s: text(b"\0" + integer(r)[4:]) + integer(s),
        lambda r, s: integer(r) + integer(s) + b"\0",
        lambda r, _: integer(r),
        lambda r, _: integer(r) + text(b""),
        lambda _, s: integer(0) + integer(s),
        lambda r, s: integer(r) + integer(s + ORDER_OF_P256),
        lambda r, s: integer(s) + integer(r),
        lambda _, s: text(b"\xff" + b"\1" * 31) + integer(s),
    ):
        assert "another file" in why_not(*ecdsa_with(change))


def test_an_rsa_signature_has_the_length_of_its_key() -> None:
    soft = soft_key(KeyKind.RSA)
    blob = blob_of(soft.sign(MESSAGE))
    head = blob[: blob.rindex(text(b"rsa-sha2-512")) - 4]
    for body in (blob[-383:], b"\0" + blob[-384:], b""):
        forged = armour(head + text(text(b"rsa-sha2-512") + text(body)))
        assert "another file" in why_not(forged, read_key(soft.line))


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda good: b"\n" + good,
        lambda good: good + b"\n",
        lambda good: good + good,
        lambda good: good.replace(b"\n", b"\r\n"),
        lambda good: good.replace(b"BEGIN SSH", b"BEGIN PGP"),
        lambda good: good.replace(b"\n-----END", b"-----END"),
        lambda good: good[: len(good) // 2],
        lambda good: b"".join(good.split(b"\n")[1:-2]),
        lambda good: good.replace(b"U1NIU0lH", b"U1NIU0lI"),
        lambda _: b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
    ],
)
def test_text_that_is_no_signature_is_refused(change: Callable[[bytes], bytes]) -> None:
    soft = soft_key(KeyKind.ED25519)
    why_not(change(soft.sign(MESSAGE)), read_key(soft.line))


def test_a_signature_that_is_too_long_is_not_even_decoded() -> None:
    with pytest.raises(BadSignature, match="is longer than 16384 bytes"):
        parse(soft_key(KeyKind.ED25519).sign(MESSAGE, "n" * MAX_BYTES))


@pytest.mark.parametrize("more", range(3))
def test_base64_has_one_form(more: int) -> None:
    """Where the blob's length leaves bits of the last digit to spare, they must be zero."""
    good = soft_key(KeyKind.ED25519).sign(MESSAGE, "n" * (more + 1))
    body = good.removesuffix(b"\n-----END SSH SIGNATURE-----\n")
    digits = body.rstrip(b"=")
    padding = len(body) - len(digits)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = digits[:-1] + alphabet[alphabet.index(digits[-1]) ^ 1 :][:1] + good[len(digits) :]
    assert parse(good)
    if padding:
        with pytest.raises(BadSignature, match="not base64 in its one form"):
            parse(other)
    else:
        assert parse(other).body != parse(good).body


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_after_the_inner_signature_are_refused(kind: KeyKind) -> None:
    soft = soft_key(kind)
    blob = blob_of(soft.sign(MESSAGE))
    name = b"rsa-sha2-512" if kind is KeyKind.RSA else kind.value.encode()
    start = blob.rindex(text(name))
    assert why_not(armour(blob[: start - 4] + text(blob[start:])), read_key(soft.line), b"x").startswith("does not fit")
    forged = armour(blob[: start - 4] + text(blob[start:] + b"\0"))
    assert why_not(forged, read_key(soft.line)) == "is damaged: it has bytes after its end"


def test_a_signature_may_lack_its_last_line_break() -> None:
    soft = soft_key(KeyKind.ED25519)
    check(soft.sign(MESSAGE)[:-1], read_key(soft.line))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_signature_or_our_own_error(raw: bytes) -> None:
    with pytest.raises(BadSignature):
        parse(raw)


FIELD = st.binary(max_size=40) | st.sampled_from([b"sha256", b"sha512", b"order@asl-guard", b""])
INNER = st.builds(
    lambda name, body, tail: text(name) + text(body) + tail,
    st.sampled_from([kind.value.encode() for kind in KINDS] + [b"rsa-sha2-256", b"rsa-sha2-512", b"x"]),
    st.binary(max_size=120),
    st.binary(max_size=6),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(KINDS), st.booleans(), FIELD, FIELD, FIELD, INNER, st.binary(max_size=2))
def test_any_well_formed_blob_that_nobody_signed_is_refused(
    kind: KeyKind, own: bool, namespace: bytes, reserved: bytes, hashing: bytes, inner: bytes, tail: bytes
) -> None:
    soft = soft_key(kind)
    key = soft.blob if own else namespace
    if own and reserved != hashing:
        namespace, reserved, hashing = NAMESPACE.encode(), b"", b"sha512"
    blob = b"SSHSIG\0\0\0\1" + b"".join(map(text, (key, namespace, reserved, hashing, inner))) + tail
    why_not(armour(blob), read_key(soft.line))


@cache
def signed_once(kind: KeyKind) -> bytes:
    """Make one signature of each kind: ECDSA's are another each time."""
    return blob_of(soft_key(kind).sign(MESSAGE))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_a_signature_cut_and_patched_anywhere_is_refused_with_our_own_error(kind: KeyKind, data: st.DataObject) -> None:
    soft: SoftKey = soft_key(kind)
    blob = signed_once(kind)
    start = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(start, min(len(blob), start + 8)))
    patch = data.draw(st.binary(max_size=8).filter(lambda patch: patch != blob[start:end]))
    why_not(armour(blob[:start] + patch + blob[end:]), read_key(soft.line))
