"""The chain of epochs: its notes, its file, and what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.checkpoint import Checkpoint
from guard.audit.epochs import (
    FILE,
    Chain,
    Epoch,
    append_epoch,
    epoch_key_name,
    judge_chain,
    parse_epoch,
    read_chain,
    sign_epoch,
)
from guard.audit.note import Note, NoteError, Signer
from guard.audit.segments import LedgerError

ORIGIN = "asl-guard/test"
LOG = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"L" * 32))


def signer(number: int) -> Signer:
    return Signer(epoch_key_name(ORIGIN, number), Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32))


def epoch(number: int, *heads: Checkpoint) -> Epoch:
    return Epoch(ORIGIN, number, signer(number).key, 1_700_000_000 + 3600 * number, heads)


def chain(directory: Path, count: int = 3) -> Chain:
    for number in range(count):
        append_epoch(directory, sign_epoch(epoch(number), LOG, signer(number - 1) if number else None))
    return read_chain(directory)


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.sampled_from(["", "/worker-0", "/supervisor"]), st.integers(0, 2**60)), max_size=4),
)
def test_an_epoch_is_read_back(number: int, heads: list[tuple[str, int]]) -> None:
    one = Epoch(
        ORIGIN,
        number,
        Signer(epoch_key_name(ORIGIN, number), Ed25519PrivateKey.from_private_bytes(b"k" * 32)).key,
        1,
        tuple(Checkpoint(f"{ORIGIN}{name}", size, b"r" * 32) for name, size in heads),
    )
    assert parse_epoch(one.text()) == one


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epoch v1", "epoch v2"),
        ("epoch 1", "epoch 01"),
        ("time 1", "time x"),
        ("head ", "Head "),
        ("worker-0 7", "worker-0 -7"),
        ("key ", "key  "),
    ],
)
def test_what_is_no_epoch_is_refused(old: str, new: str) -> None:
    text = epoch(1, Checkpoint(f"{ORIGIN}/worker-0", 7, b"r" * 32)).text()
    assert old in text
    with pytest.raises(NoteError):
        parse_epoch(text.replace(old, new))


def test_a_chain_is_kept_and_holds(tmp_path: Path) -> None:
    assert read_chain(tmp_path).epochs == ()
    found = chain(tmp_path)
    assert [one.number for one in found.epochs] == [0, 1, 2]
    assert judge_chain(found, LOG.key) == []
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_torn_note_is_left_out_and_cut_by_the_next(tmp_path: Path) -> None:
    chain(tmp_path, 2)
    whole = (tmp_path / FILE).read_bytes()
    third = sign_epoch(epoch(2), LOG, signer(1))
    for cut in range(1, len(third.encode()) + 1):
        (tmp_path / FILE).write_bytes(whole + third.encode()[:cut])
        found = read_chain(tmp_path)
        assert (len(found.epochs), found.torn) == (2, cut)
    append_epoch(tmp_path, third)
    assert judge_chain(read_chain(tmp_path), LOG.key) == []
    assert len(read_chain(tmp_path).epochs) == 3


def test_a_break_a_stranger_and_a_gap_are_named(tmp_path: Path) -> None:
    good = chain(tmp_path)

    def judged(at: int, note: Note) -> list[str]:
        notes = [*good.notes[:at], note, *good.notes[at + 1 :]]
        return judge_chain(Chain(tuple(notes), tuple(parse_epoch(one.text) for one in notes), 0, 0), LOG.key)

    assert judged(1, sign_epoch(epoch(1), LOG, None)) == [
        "epoch 1 is not signed by the key of epoch 0: the chain was broken there"
    ]
    stranger = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"S" * 32))
    assert "epoch 1 is not signed by the log's key" in judged(1, sign_epoch(epoch(1), stranger, signer(0)))
    moved = sign_epoch(epoch(2), LOG, signer(0))
    assert any("says that it is epoch 2" in problem for problem in judged(1, moved))
    forged = Note(epoch(1, Checkpoint(ORIGIN, 1, b"x" * 32)).text(), good.notes[1].signatures)
    assert any("wrong" in problem for problem in judged(1, forged))


def test_a_file_that_is_no_chain_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"some\n\nthing\n\n")
    with pytest.raises(LedgerError, match="epochs: epoch 0: not a signature line"):
        read_chain(tmp_path)
    text = "no epoch\n"
    (tmp_path / FILE).write_bytes(Note(text, (LOG.sign(text),)).encode() + b"\n")
    with pytest.raises(LedgerError, match="epochs: not the note of an epoch"):
        read_chain(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(LedgerError, match="directory"):
        read_chain(tmp_path)
