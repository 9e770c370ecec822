"""Signed notes: the published example, our own, and what is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Algorithm,
    Key,
    Note,
    NoteError,
    Signer,
    cosigned_at,
    decode_base64,
    parse_key,
    parse_note,
    parse_signatures,
    signed_by,
)

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Signer("guard.example/log", PRIVATE)
WITNESS = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"w" * 32), Algorithm.COSIGNATURE)
TEXT = "guard.example/log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

# The example and its key from the documentation of golang.org/x/mod/sumdb/note, where the format comes from.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_the_formats_authors_is_signed_by_its_key() -> None:
    note = parse_note(GO_NOTE.encode())
    key = parse_key(GO_KEY)
    assert str(key) == GO_KEY
    assert signed_by(note, key)
    assert note.encode() == GO_NOTE.encode()
    with pytest.raises(NoteError, match="PeterNeumann is wrong"):
        signed_by(Note(note.text.replace("answer", "Answer"), note.signatures), key)


def test_a_note_of_ours_is_read_back_and_signed() -> None:
    note = Note(TEXT, (SIGNER.sign(TEXT), WITNESS.cosign(TEXT, 1_700_000_000)))
    again = parse_note(note.encode())
    assert again == note
    assert signed_by(again, SIGNER.key)
    assert cosigned_at(again, WITNESS.key) == 1_700_000_000
    assert cosigned_at(again, SIGNER.key) is None


def test_a_signature_of_another_key_under_the_same_name_is_not_ours() -> None:
    other = Signer(SIGNER.key.name, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    assert not signed_by(Note(TEXT, (other.sign(TEXT),)), SIGNER.key)
    assert cosigned_at(Note(TEXT, (other.sign(TEXT),)), WITNESS.key) is None


@given(st.integers(0, 71), st.integers(1, 255))
def test_a_changed_cosignature_is_refused(at: int, change: int) -> None:
    good = WITNESS.cosign(TEXT, 1_700_000_000)
    data = bytearray(good.data)
    data[at] ^= change
    with pytest.raises(NoteError, match="witness"):
        cosigned_at(Note(TEXT, (type(good)(good.name, good.id, bytes(data)),)), WITNESS.key)
    with pytest.raises(NoteError, match="length"):
        signed_by(Note(TEXT, (type(good)(good.name, good.id, good.data[:-1]),)), WITNESS.key)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=80), st.integers(0, 3))
def test_any_text_survives_being_a_note(line: str, blanks: int) -> None:
    text = line + "\n" * blanks + "end\n"
    note = Note(text, (SIGNER.sign(text),))
    assert parse_note(note.encode()) == note
    assert signed_by(parse_note(note.encode()), SIGNER.key)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_refused(data: bytes) -> None:
    try:
        note = parse_note(data)
    except NoteError:
        return
    assert note.encode() == data


LINE = str(SIGNER.sign(TEXT))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\n\n" + LINE.encode() + b"\n",
        TEXT.encode() + b"\n" + LINE.encode(),
        TEXT.encode() + b"\n" + LINE.encode() + b"\nmore\n",
        TEXT.encode() + b"\r\n\n" + LINE.encode() + b"\n",
        TEXT.encode() + b"\xff\n\n" + LINE.encode() + b"\n",
        TEXT.encode() + "\n\u2014 na+me AAAAAAA=\n".encode(),
        TEXT.encode() + "\n\u2014 name AAAA\n".encode(),
        TEXT.encode() + "\n\u2014 name AAAAAAA\n".encode(),
        TEXT.encode() + b"\n- name AAAAAAA=\n",
        TEXT.encode() + b"\n" + (LINE + "\n").encode() * (MAX_SIGNATURES + 1),
        b"t" * MAX_NOTE_BYTES + b"\n\n" + LINE.encode() + b"\n",
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000+",
        "name+00000000+AQ==",
        str(SIGNER.key).replace("log+", "lob+"),
        str(SIGNER.key)[:-4],
        str(SIGNER.key).replace("+AQ", "+Ag", 1),
        "na me" + str(SIGNER.key)[len(SIGNER.key.name) :],
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_key(text)


def test_a_key_has_a_name_and_its_bytes() -> None:
    for name, public in (("", b"k" * 32), ("a b", b"k" * 32), ("a+b", b"k" * 32), ("a\x7f", b"k" * 32), ("a", b"k")):
        with pytest.raises(NoteError):
            Key(name, Algorithm.ED25519, public)


def test_base64_has_one_form() -> None:
    assert decode_base64("QQ==") == b"A"
    for wrong in ("QQ", "QR==", "Q Q==", "QQ==\n", "\u00e9"):
        with pytest.raises(NoteError):
            decode_base64(wrong)


def test_signature_lines_may_come_alone() -> None:
    assert parse_signatures(LINE + "\n") == (SIGNER.sign(TEXT),)
