"""The witness over HTTP: what it answers, what it bounds, and its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from guard.audit.cosigning import MAX_REQUEST_BYTES, WitnessState, add_request, log_file
from guard.audit.note import Algorithm, Signer, cosigned_at, parse_note, parse_signatures
from guard.audit.segments import LedgerError
from guard.audit.signing_keys import load_key, new_key
from guard.serve import witnessing
from guard.serve.witnessing import KEY_FILE, log_keys, witness_app, witness_signer
from tests.guard.audit.test_cosigning import LEAVES, LOG, WITNESS, head, node_of, state


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[WitnessState]:
    made = state(tmp_path)
    yield made
    made.close()


def ask(
    state: WitnessState, method: str, path: str, content: bytes | AsyncIterator[bytes] | None = None
) -> httpx.Response:
    async def _ask() -> httpx.Response:
        transport = httpx.ASGITransport(witness_app(state, [LOG.key.name]))
        async with httpx.AsyncClient(transport=transport, base_url="http://witness") as http:
            return await http.request(method, path, content=content)

    return asyncio.run(_ask())


def test_a_head_is_cosigned_and_can_be_read_by_everybody(witness: WitnessState) -> None:
    note = head(7)
    got = ask(witness, "POST", "/add-checkpoint", add_request(0, note, node_of(LEAVES)))
    assert got.status_code == 200
    signed = note.with_signatures(parse_signatures(got.text))
    assert cosigned_at(signed, WITNESS.key) is not None
    latest = ask(witness, "GET", f"/{log_file(LOG.key.name)}/checkpoint")
    assert parse_note(latest.content).text == note.text
    assert ask(witness, "GET", f"/{log_file('another')}/checkpoint").status_code == 404


def test_a_conflict_names_the_size_in_its_own_type(witness: WitnessState) -> None:
    ask(witness, "POST", "/add-checkpoint", add_request(0, head(7), node_of(LEAVES)))
    got = ask(witness, "POST", "/add-checkpoint", add_request(0, head(9), node_of(LEAVES)))
    assert (got.status_code, got.text, got.headers["content-type"]) == (409, "7\n", "text/x.tlog.size")


def test_what_is_too_long_or_never_ends_is_refused(witness: WitnessState, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(witness, "POST", "/add-checkpoint", b"x" * (MAX_REQUEST_BYTES + 1)).status_code == 413
    monkeypatch.setattr(witnessing, "BODY_SECONDS", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        yield b"old "
        await asyncio.Event().wait()

    assert ask(witness, "POST", "/add-checkpoint", endless()).status_code == 408
    assert ask(witness, "GET", "/add-checkpoint").status_code == 405
    assert ask(witness, "POST", "/other", b"").status_code == 404


def test_its_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    signer = witness_signer(tmp_path / "w", "witness.example/w1")
    path = tmp_path / "w" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert witness_signer(tmp_path / "w", "witness.example/w1").key == signer.key
    assert signer.key.algorithm is Algorithm.COSIGNATURE
    path.chmod(0o644)
    with pytest.raises(LedgerError, match="open to other users"):
        witness_signer(tmp_path / "w", "witness.example/w1")
    with pytest.raises(LedgerError, match="the name of the witness"):
        witness_signer(tmp_path / "v", "two words")
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerError, match=KEY_FILE):
        witness_signer(tmp_path / "w", "witness.example/w1")


def test_the_keys_of_logs_are_read_by_name(tmp_path: Path) -> None:
    second = Signer(LOG.key.name, load_key(new_key(), "here"))
    paths = []
    for number, key in enumerate((LOG.key, second.key)):
        paths.append(tmp_path / f"{number}.vkey")
        paths[-1].write_text(f"{key}\n")
    assert log_keys(paths) == {LOG.key.name: [LOG.key, second.key]}
    paths[0].write_text(str(WITNESS.key))
    with pytest.raises(LedgerError, match="key of a witness"):
        log_keys(paths)
    paths[0].write_text("no key")
    with pytest.raises(LedgerError, match=r"0\.vkey: not"):
        log_keys(paths)
    with pytest.raises(LedgerError, match=r"none: "):
        log_keys([tmp_path / "none"])
