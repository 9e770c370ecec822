"""Public keys: OpenSSH's own are taken, and what is weak, damaged or of another kind is refused in words."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.ssh_key import SMALL_ORDER, KeyKind, SshKeyError, read_key
from tests.parts import ssh_keygen
from tests.parts.ssh_keys import SoftKey, integer, soft_key, text

PRIME = 2**255 - 19


def line(kind: KeyKind, *parts: bytes) -> str:
    return f"{kind} {base64.b64encode(text(kind.value.encode()) + b''.join(parts)).decode()}"


def why_not(words: str) -> str:
    with pytest.raises(SshKeyError) as caught:
        read_key(words)
    return str(caught.value)


@pytest.mark.parametrize("kind", KeyKind)
def test_each_kind_is_read_with_or_without_a_comment(kind: KeyKind) -> None:
    soft = soft_key(kind)
    with_comment, without = read_key(soft.line), read_key(" ".join(soft.line.split(" ")[:2]))
    assert (with_comment.kind, with_comment.blob) == (kind, soft.blob)
    assert (without.blob, without.pair) == (with_comment.blob, with_comment.pair)
    assert with_comment.application == (b"ssh:" if "sk-" in kind else b"")
    assert with_comment.fingerprint == ssh_keygen.fingerprint(soft.line)


def test_a_short_rsa_key_of_openssh_is_refused(tmp_path: Path) -> None:
    assert "RSA key of 2048 bits" in why_not(ssh_keygen.make_key(tmp_path / "key", "-t", "rsa", "-b", "2048"))
    assert "RSA key of 3071 bits" in why_not(line(KeyKind.RSA, integer(65537), integer(2**3071 - 1)))


def test_rsa_keys_with_small_or_even_numbers_are_refused() -> None:
    modulus = soft_key(KeyKind.RSA).private
    assert isinstance(modulus, rsa.RSAPrivateKey)
    n = modulus.public_key().public_numbers().n
    assert "an exponent that is not taken" in why_not(line(KeyKind.RSA, integer(3), integer(n)))
    assert "an exponent that is not taken" in why_not(line(KeyKind.RSA, integer(2**64 + 1), integer(n)))
    assert "its numbers cannot be of one" in why_not(line(KeyKind.RSA, integer(65538), integer(n)))
    assert "its numbers cannot be of one" in why_not(line(KeyKind.RSA, integer(65537), integer(n - 1)))
    assert "of 16385 bits" in why_not(line(KeyKind.RSA, integer(65537), integer(2**16384 + 1)))


def multiples(height: int) -> tuple[int, int]:
    """The point of an Ed25519 height after doubling it three times, as x and y."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    square = (height * height - 1) * pow(d * height * height + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    assert x * x % PRIME == square, "not a point"
    y = height
    for _ in range(3):
        product = d * x * x * y * y % PRIME
        x, y = (
            2 * x * y * pow(1 + product, -1, PRIME) % PRIME,
            (y * y + x * x) * pow(1 - product, -1, PRIME) % PRIME,
        )
    return x, y


@pytest.mark.parametrize("height", sorted(SMALL_ORDER))
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_points_for_which_everybody_could_sign_are_refused(height: int, sign: int) -> None:
    assert multiples(height) == (0, 1)
    raw = (height | sign).to_bytes(32, "little")
    assert why_not(line(KeyKind.ED25519, text(raw))) == "is not a key: everybody could sign for this point"
    assert "everybody" in why_not(line(KeyKind.SK_ED25519, text(raw), text(b"ssh:")))


def test_there_are_no_other_such_points() -> None:
    """A group of order 8 on this curve: the identity, one of order 2, two of order 4, four of order 8: 5 heights."""
    assert len(SMALL_ORDER) == 5
    assert multiples(4 * pow(5, -1, PRIME) % PRIME) != (0, 1)  # the base point


@pytest.mark.parametrize("height", [PRIME, PRIME + 1, PRIME + 3, 2**255 - 1])
def test_a_height_written_past_the_prime_is_refused(height: int) -> None:
    assert "is not a key" in why_not(line(KeyKind.ED25519, text(height.to_bytes(32, "little"))))


P256_POINT = soft_key(KeyKind.P256).blob[-65:]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "must be an SSH public key in one line"),
        ("ssh-ed25519", "must be an SSH public key in one line"),
        (soft_key(KeyKind.ED25519).line + "\n", "must be an SSH public key in one line"),
        ("ssh-ed25519  " + soft_key(KeyKind.ED25519).line.split(" ")[1], "cut off"),
        (" " + soft_key(KeyKind.ED25519).line, "must be a key of one of these kinds"),
        ("restrict " + soft_key(KeyKind.ED25519).line, "must be a key of one of these kinds"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "must be a key of one of these kinds"),
        ("ssh-rsa-cert-v01@openssh.com AAAA", "must be a key of one of these kinds"),
        ("webauthn-sk-ecdsa-sha2-nistp256@openssh.com AAAA", "must be a key of one of these kinds"),
        ("ssh-ed25519 ???", "its second word is not base64"),
        (soft_key(KeyKind.ED25519).line.replace("ssh-ed25519", "ssh-rsa", 1), "do not agree"),
        (line(KeyKind.ED25519, text(b"x" * 31)), "an Ed25519 key has 32 bytes"),
        (line(KeyKind.ED25519, text(b"x" * 32), b"\0"), "bytes after its end"),
        (line(KeyKind.P256, text(b"nistp384"), text(P256_POINT)), "its kind and its curve do not agree"),
        (line(KeyKind.P384, text(b"nistp384"), text(P256_POINT)), "its point is not on the curve"),
        (line(KeyKind.P256, text(b"nistp256"), text(P256_POINT[:-1] + b"\0")), "its point is not on the curve"),
        (line(KeyKind.P256, text(b"nistp256"), text(b"\2" + P256_POINT[1:33])), "must be written in full"),
        (line(KeyKind.P256, text(b"nistp256"), text(b"\0")), "must be written in full"),
        (line(KeyKind.P256, text(b"nistp256"), text(b"")), "must be written in full"),
        (soft_key(KeyKind.SK_ED25519, 0, b"https://site.example").line, "its application must begin with ssh:"),
        (soft_key(KeyKind.SK_P256, 0, b"").line, "its application must begin with ssh:"),
        (soft_key(KeyKind.SK_P256, 0, b"ssh:" + b"x" * 300).line, "its application must begin with ssh:"),
    ],
)
def test_each_defect_is_named(given: str, words: str) -> None:
    assert words in why_not(given)


def test_base64_has_one_form() -> None:
    """The last digit of 51 bytes is whole, of 104 it has two bits to spare."""
    kind, encoded, _ = soft_key(KeyKind.P256).line.split(" ", 2)
    assert encoded.endswith("=")
    digits = encoded.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = digits[:-1] + alphabet[alphabet.index(digits[-1]) + 1] + "=" * (len(encoded) - len(digits))
    assert base64.b64decode(other) == base64.b64decode(encoded)
    assert "not base64 in its one form" in why_not(f"{kind} {other}")


def test_one_key_pair_is_one_whatever_its_kind_and_application_say() -> None:
    ed25519, p256 = soft_key(KeyKind.ED25519), soft_key(KeyKind.P256)
    for plain, kind in ((ed25519, KeyKind.SK_ED25519), (p256, KeyKind.SK_P256)):
        hardware = SoftKey(kind, plain.private)
        elsewhere = SoftKey(kind, plain.private, b"ssh:elsewhere")
        assert len({read_key(key.line).pair for key in (plain, hardware, elsewhere)}) == 1
        assert len({read_key(key.line).fingerprint for key in (plain, hardware, elsewhere)}) == 3
    assert len({read_key(soft_key(kind).line).pair for kind in KeyKind}) == len(KeyKind)


@settings(max_examples=300)
@given(
    st.text(max_size=80)
    | st.tuples(st.sampled_from(KeyKind), st.binary(max_size=120)).map(lambda two: line(two[0], two[1]))
    | st.tuples(st.sampled_from(KeyKind), st.lists(st.binary(max_size=40), max_size=4)).map(
        lambda two: line(two[0], *map(text, two[1]))
    )
)
def test_any_text_gives_a_key_or_our_own_error(words: str) -> None:
    try:
        key = read_key(words)
    except SshKeyError:
        return
    assert base64.b64encode(key.blob).decode() in words
