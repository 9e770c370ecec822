"""What a witness decides: it cosigns heads that go on from the last it has seen, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.cosigning import (
    MAX_REQUEST_BYTES,
    SIZE_TYPE,
    WitnessState,
    add_request,
    cosigned,
    cosigned_heads,
    keep_cosigned,
    log_file,
)
from guard.audit.note import Algorithm, Note, Signer, cosigned_at, parse_signatures, signed_by
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError
from guard.audit.signing_keys import load_key, new_key
from guard.audit.tree import EMPTY_ROOT, Node, complete_root, leaf_hash, root

LOG = Signer("asl-guard/test", load_key(new_key(), "here"))
WITNESS = Signer("witness.example/w1", load_key(new_key(), "here"), Algorithm.COSIGNATURE)
LEAVES = [leaf_hash(7, str(number).encode()) for number in range(300)]
OTHERS = [leaf_hash(7, f"other {number}".encode()) for number in range(300)]


def node_of(leaves: list[bytes]) -> Node:
    return lambda level, index: complete_root(leaves[index << level : (index + 1) << level])


def head(size: int, leaves: list[bytes] = LEAVES, signer: Signer = LOG, origin: str = "asl-guard/test") -> Note:
    text = Checkpoint(origin, size, root(size, node_of(leaves)) if size else EMPTY_ROOT).text()
    return Note(text, (signer.sign(text),))


def state(base: Path) -> WitnessState:
    return WitnessState(base / "heads", WITNESS, {LOG.key.name: [LOG.key]})


def test_heads_that_go_on_are_cosigned(tmp_path: Path) -> None:
    witness = state(tmp_path)
    for old, size in ((0, 0), (0, 1), (1, 7), (7, 7), (7, 256), (256, 300)):
        note = head(size)
        answer = witness.add(add_request(old, note, node_of(LEAVES)), 1_700_000_000 + size)
        assert (answer.status, answer.kind) == (200, "text/plain; charset=utf-8"), answer
        signed = note.with_signatures(parse_signatures(answer.body.decode()))
        assert cosigned_at(signed, WITNESS.key) == 1_700_000_000 + size
    latest = witness.latest(LOG.key.name)
    assert latest is not None
    assert parse_checkpoint(latest.text).size == 300
    assert signed_by(latest, LOG.key)
    witness.close()


def test_what_was_seen_is_remembered_and_the_folder_is_one_process_alone(tmp_path: Path) -> None:
    witness = state(tmp_path)
    assert witness.add(add_request(0, head(9), node_of(LEAVES)), 1).status == 200
    with pytest.raises(LedgerError, match="in use"):
        state(tmp_path)
    witness.close()
    again = state(tmp_path)
    answer = again.add(add_request(0, head(20), node_of(LEAVES)), 1)
    assert (answer.status, answer.body, answer.kind) == (409, b"9\n", SIZE_TYPE)
    assert (tmp_path / "heads" / log_file(LOG.key.name)).stat().st_mode & 0o777 == 0o600
    again.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 300))
def test_no_other_past_is_cosigned(tmp_path_factory: pytest.TempPathFactory, seen: int, size: int) -> None:
    witness = state(tmp_path_factory.mktemp("witness"))
    assert witness.add(add_request(0, head(seen), node_of(LEAVES)), 1).status == 200
    if size < seen:
        body = f"old {seen}\n\n".encode() + head(size, OTHERS).encode()
        assert witness.add(body, 1).status == 400
        assert witness.add(add_request(min(size, seen), head(size, OTHERS), node_of(OTHERS)), 1).status == 409
    else:
        body = add_request(seen, head(size, OTHERS), node_of(OTHERS))
        assert witness.add(body, 1).status == (409 if size == seen else 422)
    kept = witness.latest(LOG.key.name)
    assert kept is not None
    assert kept.text == head(seen).text
    witness.close()


def test_strangers_and_what_is_no_request_are_refused(tmp_path: Path) -> None:
    witness = state(tmp_path)
    stranger = Signer(LOG.key.name, load_key(new_key(), "here"))
    good = head(3)
    request = add_request(0, good, node_of(LEAVES))
    cases = {
        404: [add_request(0, head(3, origin="another/log"), node_of(LEAVES))],
        403: [
            add_request(0, head(3, signer=stranger), node_of(LEAVES)),
            add_request(0, Note(head(4).text, good.signatures), node_of(LEAVES)),
        ],
        400: [
            b"",
            b"old 0\n",
            request.replace(b"old 0", b"old 00"),
            request.replace(b"old 0", b"old -1"),
            request.replace(b"old 0", b"new 0"),
            b"old 0\n" + b"QQ==\n" * 64 + b"\n" + good.encode(),
            b"old 0\nQQ=\n\n" + good.encode(),
            b"old 0\n\xff\n\n" + good.encode(),
            b"old 5\n\n" + good.encode(),
            request + b"x" * MAX_REQUEST_BYTES,
        ],
        422: [b"old 0\nQQ==\n\n" + good.encode()],
    }
    for status, bodies in cases.items():
        for body in bodies:
            assert witness.add(body, 1).status == status, body[:40]
    assert witness.latest(LOG.key.name) is None
    witness.close()


@given(st.binary(max_size=400))
def test_any_bytes_are_answered(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    witness = state(tmp_path_factory.mktemp("witness"))
    assert witness.add(body, 1).status in {400, 404}
    witness.close()


def test_nothing_is_answered_that_was_not_kept(tmp_path: Path) -> None:
    witness = state(tmp_path)
    (tmp_path / "heads" / log_file(LOG.key.name)).mkdir()
    with pytest.raises(LedgerError, match="directory"):
        witness.add(add_request(0, head(3), node_of(LEAVES)), 1)
    (tmp_path / "heads" / log_file(LOG.key.name)).rmdir()
    (tmp_path / "heads" / log_file(LOG.key.name)).write_text("no note")
    with pytest.raises(LedgerError, match="not a signed note"):
        witness.add(add_request(0, head(3), node_of(LEAVES)), 1)
    witness.close()


def test_cosigned_heads_are_kept_by_witness(tmp_path: Path) -> None:
    assert cosigned(tmp_path, WITNESS.key) is None
    assert cosigned_heads(tmp_path) == []
    note = head(3)
    note = note.with_signatures((WITNESS.cosign(note.text, 5),))
    keep_cosigned(tmp_path, note, WITNESS.key)
    assert cosigned(tmp_path, WITNESS.key) == note
    assert cosigned_heads(tmp_path) == [note]
    (path,) = (tmp_path / FLEET).glob("cosigned-*")
    path.write_text("no note")
    for call in (lambda: cosigned(tmp_path, WITNESS.key), lambda: cosigned_heads(tmp_path)):
        with pytest.raises(LedgerError, match="not a signed note"):
            call()
    path.unlink()
    path.mkdir()
    for call in (lambda: cosigned(tmp_path, WITNESS.key), lambda: cosigned_heads(tmp_path)):
        with pytest.raises(LedgerError, match="directory"):
            call()
