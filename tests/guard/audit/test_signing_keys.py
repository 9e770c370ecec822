"""The log's private keys: made once, kept closed, followed by one another, and never quietly replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from guard.audit import signing_keys
from guard.audit.checkpoint import Checkpoint
from guard.audit.epochs import FILE, judge_chain, read_chain
from guard.audit.note import parse_note, signed_by
from guard.audit.segments import LedgerError
from guard.audit.signing_keys import EPOCH_KEY, FOLDER, LOG_KEY, KeyRing, new_key, open_keys, public_key

NOW = 1_700_000_000.0


def opened(base: Path, configured: bytes | None = None, origin: str | None = None) -> KeyRing:
    return open_keys(base / "state", base / "audit", origin=origin, configured=configured)


def test_the_first_start_makes_a_key_for_its_owner_only(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    path = tmp_path / "state" / FOLDER / LOG_KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ring.origin == f"asl-guard/{ring.log.key.public.hex()[:16]}"
    assert opened(tmp_path).log.key == ring.log.key == public_key(tmp_path / "state", origin=None, configured=None)


def test_a_configured_key_and_name_are_used(tmp_path: Path) -> None:
    pem = new_key()
    ring = opened(tmp_path, pem, "guard.example/log")
    assert ring.origin == "guard.example/log"
    assert not (tmp_path / "state" / FOLDER / LOG_KEY).exists()
    assert public_key(tmp_path, origin="guard.example/log", configured=pem) == ring.log.key


def test_epochs_follow_one_another_and_the_old_key_is_erased(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    assert ring.due(NOW, 3600.0)
    heads = (Checkpoint(f"{ring.origin}/worker-0", 5, b"r" * 32),)
    assert ring.turn(NOW, heads).heads == heads
    first = (tmp_path / "state" / FOLDER / EPOCH_KEY).read_text()
    assert not ring.due(NOW + 3599.0, 3600.0)
    assert ring.due(NOW + 3600.0, 3600.0)
    ring.turn(NOW + 3600.0, ())
    assert first.split()[1] not in (tmp_path / "state" / FOLDER / EPOCH_KEY).read_text()
    chain = read_chain(tmp_path / "audit")
    assert judge_chain(chain, ring.log.key) == []
    note = parse_note(ring.sign("text\n").encode())
    assert signed_by(note, ring.log.key)
    assert signed_by(note, chain.epochs[1].key)
    assert not signed_by(note, chain.epochs[0].key)


def test_a_restart_goes_on_in_the_same_epoch(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    ring.turn(NOW, ())
    again = opened(tmp_path)
    assert not again.due(NOW + 10.0, 3600.0)
    again.turn(NOW + 3600.0, ())
    assert judge_chain(read_chain(tmp_path / "audit"), ring.log.key) == []


@pytest.mark.parametrize("killed_before", ["append_epoch", "_overwrite", "write_atomically"])
def test_killed_between_two_steps_of_a_turn_the_chain_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    opened(tmp_path).turn(NOW, ())

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(signing_keys, killed_before, killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path).turn(NOW + 3600.0, ())
    ring = opened(tmp_path)
    assert ring.epoch is not None
    # Whichever of the two is in force, the other one is erased at the next start.
    assert len((tmp_path / "state" / FOLDER / EPOCH_KEY).read_text().splitlines()) == 1
    ring.turn(NOW + 7200.0, ())
    assert judge_chain(read_chain(tmp_path / "audit"), ring.log.key) == []
    assert len((tmp_path / "state" / FOLDER / EPOCH_KEY).read_text().splitlines()) == 1


def test_an_epochs_key_that_is_lost_leaves_a_break_in_the_chain(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    ring.turn(NOW, ())
    (tmp_path / "state" / FOLDER / EPOCH_KEY).unlink()
    again = opened(tmp_path)
    assert again.due(NOW, 3600.0)
    again.turn(NOW, ())
    assert judge_chain(read_chain(tmp_path / "audit"), ring.log.key) == [
        "epoch 1 is not signed by the key of epoch 0: the chain was broken there"
    ]


def test_a_log_that_has_begun_does_not_get_another_key(tmp_path: Path) -> None:
    opened(tmp_path).turn(NOW, ())
    path = tmp_path / "state" / FOLDER / LOG_KEY
    kept = path.read_bytes()
    path.unlink()
    for call in (lambda: opened(tmp_path), lambda: public_key(tmp_path / "state", origin=None, configured=None)):
        with pytest.raises(LedgerError, match=r"log\.pem: "):
            call()
    with pytest.raises(LedgerError, match="epochs: it is the log asl-guard/"):
        opened(tmp_path, new_key())
    path.write_bytes(kept)
    path.chmod(0o640)
    with pytest.raises(LedgerError, match=r"open to other users \(mode 0640\)"):
        opened(tmp_path)


def _x25519() -> bytes:
    return X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("pem", "message"), [(lambda: b"no key", "not an unencrypted private key"), (_x25519, "not an Ed25519 key")]
)
def test_another_kind_of_key_is_refused(tmp_path: Path, pem: Callable[[], bytes], message: str) -> None:
    with pytest.raises(LedgerError, match=f"signing_key: {message}"):
        opened(tmp_path, pem())


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(LedgerError, match="audit"):
        opened(tmp_path)
    assert FILE == "epochs"
