"""The heads of a round: those that were signed, and whatever is none is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from guard.audit.epochs import read_chain
from guard.audit.heads import read_head
from guard.audit.note import Note
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError
from guard.audit.verify import verify
from guard.shipping import heads
from guard.shipping.heads import read_heads, same_head
from tests.guard.audit.sealed_log import grown, write
from tests.guard.shipping.fakes import key


def test_they_are_the_fleet_logs_and_the_signed_size_of_every_writer(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    write(guard.audit, "worker-2", 0, 1)  # signed never
    found = read_heads(guard.audit)
    assert found.fleet == read_head(guard.audit / FLEET)
    signed = {log.writer: log.signed for log in verify(guard.audit, key(guard)).logs if log.writer != FLEET}
    assert found.sizes == signed
    assert found.sizes["worker-2"] == 0 < found.sizes["worker-0"]
    assert found.epochs == read_chain(guard.audit).size > 0


def test_what_is_no_head_is_named(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    (guard.audit / "worker-1" / "checkpoint").write_bytes(Note("no head\n", ()).encode())
    with pytest.raises(LedgerError, match="worker-1/checkpoint"):
        read_heads(guard.audit)


def test_an_epoch_that_begins_meanwhile_is_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = grown(tmp_path, rounds=1)
    chain = read_chain(guard.audit)
    grows = iter([chain, replace(chain, size=chain.size + 1), chain, chain])
    monkeypatch.setattr(heads, "read_chain", lambda _: next(grows))
    assert read_heads(guard.audit).epochs == chain.size
    sizes = iter(range(1000))
    monkeypatch.setattr(heads, "read_chain", lambda _: replace(chain, size=next(sizes)))
    with pytest.raises(LedgerError, match="changes while it is read"):
        read_heads(guard.audit)


def test_other_signatures_make_no_other_head(tmp_path: Path) -> None:
    note = read_head(grown(tmp_path, rounds=1).audit / FLEET)
    assert note is not None
    assert same_head(Note(note.text, note.signatures[:1]).encode(), note)
    assert not same_head(Note(note.text + "x\n", note.signatures).encode(), note)
    assert not same_head(b"no note", note)
