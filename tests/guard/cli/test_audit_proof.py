"""``guard audit verify``, ``prove``, ``check-proof`` and ``key``: what they print and their exit codes."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from guard.audit.heads import read_head
from guard.audit.note import Algorithm, Signer
from guard.audit.read import FLEET
from guard.audit.sealer import open_sealer
from guard.audit.segments import listing
from guard.audit.signing_keys import load_key, new_key, open_keys
from guard.cli import audit_proof, main
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import write
from tests.parts.configuration import write_configuration


def seal(config: Path) -> None:
    state, audit = config / "var" / "state", config / "var" / "audit"
    sealer = open_sealer(audit, open_keys(state, audit, origin=None, configured=None), Clock(), 3600.0)
    assert not [each for each in sealer.round({}).writers if each.problem]
    sealer.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A host whose log is sealed, with its public key beside it."""
    write_configuration(tmp_path)
    write(tmp_path / "var" / "audit", "worker-0", 0, 100)
    seal(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_an_untouched_log_is_intact(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", "--config", config)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].endswith(": intact, 0 findings, 1 epochs")
    code, out, _ = run(capsys, "verify", "--json", "--config", config)
    report = json.loads(out)
    assert (code, report["intact"], report["findings"]) == (0, True, [])
    assert report["logs"][0]["writer"] == "worker-0"


def test_the_first_bad_record_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = listing(config / "var" / "audit" / "worker-0")[3]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, out, _ = run(capsys, "verify", "--config", config)
    assert code == 1
    lines = out.splitlines()
    assert lines[0].startswith(f"FIRST: worker-0, {path.name} at byte ")
    assert "checksum is wrong" in lines[1]
    assert "NOT INTACT, 1 findings" in lines[-1]
    code, out, _ = run(capsys, "verify", "--json", "--config", config)
    (finding,) = json.loads(out)["findings"]
    assert (code, finding["place"]["segment"]) == (1, path.name)


def test_what_cannot_be_read_is_told_apart(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "verify", "--config", config, "--key", config / "none")[0] == 2
    assert run(capsys, "verify", "--config", config, "--from-checkpoint", config / "guard.yaml")[0] == 2
    shutil.rmtree(config / "var" / "audit")
    code, _, err = run(capsys, "verify", "--config", config)
    assert (code, "guard: " in err) == (2, True)
    shutil.rmtree(config / "var")
    assert run(capsys, "verify", "--config", config)[0] == 2
    assert run(capsys, "key", "--config", config)[0] == 1


def test_a_copy_is_verified_with_a_key_alone(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    (config / "log.vkey").write_text(run(capsys, "key", "--config", config)[1])
    shutil.copytree(config / "var" / "audit", config / "copy")
    assert run(capsys, "verify", "--audit", config / "copy", "--key", config / "log.vkey")[0] == 0
    assert run(capsys, "verify", "--audit", config / "copy")[0] == 2
    assert run(capsys, "verify", "--key", config / "log.vkey")[0] == 2


def test_a_record_is_proved_from_a_copy_with_a_key_alone(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    key, copy, proof = config / "log.vkey", config / "copy", config / "proof.json"
    key.write_text(run(capsys, "key", "--config", config)[1])
    shutil.copytree(config / "var" / "audit", copy)
    shutil.rmtree(config / "var")
    code, out, _ = run(capsys, "prove", "worker-0-7", "--audit", copy, "--key", key)
    assert code == 0
    proof.write_text(out)
    assert run(capsys, "check-proof", proof, "--key", key)[1].count("proved: ") == 3
    code, _, err = run(capsys, "prove", "worker-0-7", "--audit", copy)
    assert (code, "give --key" in err) == (1, True)


def test_a_head_that_was_kept_shows_that_all_was_put_back(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit, kept = config / "var" / "audit", config / "kept"
    shutil.copytree(audit, kept)
    write(audit, "worker-0", 500, 3)
    seal(config)
    shutil.copy(audit / FLEET / "checkpoint", config / "head")
    assert run(capsys, "verify", "--config", config, "--from-checkpoint", config / "head")[0] == 0
    shutil.rmtree(audit)
    shutil.copytree(kept, audit)
    assert run(capsys, "verify", "--config", config)[0] == 0
    code, out, _ = run(capsys, "verify", "--config", config, "--from-checkpoint", config / "head")
    assert code == 1
    assert out.startswith("FIRST: fleet")


def test_a_record_is_proved_and_the_proof_checked(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof, key = config / "proof.json", config / "log.vkey"
    code, out, _ = run(capsys, "prove", "worker-0-7", "--config", config)
    assert code == 0
    proof.write_text(out)
    key.write_text(run(capsys, "key", "--config", config)[1])
    for trusted in (("--key", key), ("--config", config)):
        code, out, _ = run(capsys, "check-proof", proof, *trusted)
        assert code == 0
        assert out.count("proved: ") == 3
    code, out, _ = run(capsys, "prove", "worker-0-7", "--record", "outcome", "--config", config)
    proof.write_text(out)
    assert run(capsys, "check-proof", proof, "--key", key)[1].startswith("proved: the outcome of request worker-0-7")
    proof.write_text(out.replace("worker-0-7", "worker-0-8"))
    code, out, err = run(capsys, "check-proof", proof, "--key", key)
    assert (code, out) == (1, "")
    assert "NOT PROVED" in err
    assert run(capsys, "prove", "unknown", "--config", config)[0] == 1
    write(config / "var" / "audit", "worker-0", 900, 1)
    monkeypatch.setattr(audit_proof, "_PATIENCE_SECONDS", 0.5)
    code, _, err = run(capsys, "prove", "worker-0-900", "--config", config)
    assert (code, "under no signed head yet" in err) == (1, True)


def test_a_proof_is_checked_with_a_key_from_elsewhere(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    proof = config / "proof.json"
    proof.write_text(run(capsys, "prove", "worker-0-7", "--config", config)[1])
    code, _, err = run(capsys, "check-proof", proof)
    assert (code, "can vouch for its own key" in err) == (2, True)
    witness = Signer("witness.example/w1", load_key(new_key(), "here"), Algorithm.COSIGNATURE)
    (config / "w.vkey").write_text(str(witness.key))
    code, _, err = run(capsys, "check-proof", proof, "--key", config / "w.vkey")
    assert (code, "not a key that signs a log" in err) == (2, True)
    code, _, err = run(capsys, "check-proof", proof, "--config", config, "--witness", config / "w.vkey")
    assert (code, "not cosigned by witness.example/w1" in err) == (1, True)
    monkeypatch.setattr(audit_proof, "MAX_PROOF_BYTES", 10)
    code, _, err = run(capsys, "check-proof", proof, "--config", config)
    assert (code, "longer than 10 bytes" in err) == (2, True)


def test_a_long_verification_says_how_far_it_is(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = itertools.count()
    monkeypatch.setattr("guard.cli.audit_proof.time.monotonic", lambda: float(next(moments)))
    code, _, err = run(capsys, "verify", "--config", config)
    assert code == 0
    assert "MiB verified" in err
    assert read_head(config / "var" / "audit" / FLEET) is not None
