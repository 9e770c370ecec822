"""The auditor's own checker: one file, plain Python, the same answers as ours."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.frames import compact
from guard.audit.heads import read_head
from guard.audit.note import Algorithm, Signer
from guard.audit.proof import Proof, encode_proof
from guard.audit.proving import prove
from guard.audit.read import FLEET
from guard.audit.segments import SegmentReader, listing
from guard.audit.signing_keys import load_key, new_key
from guard.audit.timestamps import stamped
from guard.audit.verify import verify
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.guard.audit.stamping import stamp
from tests.parts.debian import command
from tests.parts.timestamp_authority import TimestampAuthority

CHECKER = Path(__file__).resolve().parents[2] / "deploy" / "check_proof.py"


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("check_proof", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checker = _loaded()

# RFC 8032 section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_the_rfc_are_good_and_changed_ones_are_not(public: str, message: str, signature: str) -> None:
    key, text, good = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert checker.ed25519(key, text, good)
    assert not checker.ed25519(key, text + b"x", good)
    assert not checker.ed25519(key, text, good[:-1])
    assert not checker.ed25519(key[:-1], text, good)
    for at in (0, 31, 32, 63):
        changed = bytearray(good)
        changed[at] ^= 1
        assert not checker.ed25519(key, text, bytes(changed))


def test_a_signature_whose_number_is_not_reduced_is_refused() -> None:
    public, message, signature = (bytes.fromhex(each) for each in VECTORS[1])
    number = int.from_bytes(signature[32:], "little") + checker.ORDER
    assert not checker.ed25519(public, message, signature[:32] + number.to_bytes(32, "little"))
    assert not checker.ed25519(b"\xff" * 32, message, signature)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_what_another_implementation_signed_is_good(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    assert checker.ed25519(private.public_key().public_bytes_raw(), message, private.sign(message))


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    return grown(tmp_path_factory.mktemp("host"), rounds=2)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """As an auditor runs it: no packages, no site, an empty environment, a folder with three files."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "check_proof.py", "proof.json", *arguments],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def handed_over(guard: Guard, folder: Path, proof: Proof | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copy(CHECKER, folder)
    made = proof or prove(guard.audit, "asl-guard/test", "worker-0-5")
    (folder / "proof.json").write_bytes(encode_proof(made))
    (folder / "log.vkey").write_text(f"{guard.ring().log.key}\n")
    return folder


def test_it_proves_in_an_empty_environment_also_when_the_log_is_gone(tmp_path: Path) -> None:
    guard = grown(tmp_path / "host", rounds=1)
    folder = handed_over(guard, tmp_path / "auditor")
    code, out, err = run(folder, "--key", "log.vkey", "--show")
    assert (code, err) == (0, "")
    assert out.count("proved: ") == 3
    assert "the intent of request worker-0-5 is record 18 of asl-guard/test/worker-0" in out
    assert "FORBIDDEN-MARKER" not in out  # a leaf holds no text, so neither does its proof
    write(guard.audit, "worker-0", 300, 50)
    guard.seal()
    for path in listing(guard.audit / "worker-0")[4:]:
        path.unlink()
    assert run(folder, "--key", "log.vkey")[0] == 0
    shutil.rmtree(guard.audit)
    assert run(folder, "--key", "log.vkey")[0] == 0


def _deleted(path: Path, _: Path) -> None:
    path.unlink()


def _truncated(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _replaced(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def _flipped(path: Path, _: Path) -> None:
    """One record is another, under a good checksum."""
    found = list(SegmentReader(path).read())
    bad = found[-1].payload.replace(b"worker-0-", b"worker-0=")
    assert bad != found[-1].payload
    path.write_bytes(b"".join(compact(one.kind, one.sequence, one.payload) for one in found[:-1]))
    with path.open("ab") as file:
        file.write(compact(found[-1].kind, found[-1].sequence, bad))


@pytest.mark.parametrize("tamper", [_deleted, _truncated, _replaced, _flipped])
def test_a_proof_made_before_a_tampering_still_proves_what_was_recorded(
    tmp_path: Path, tamper: Callable[[Path, Path], None]
) -> None:
    guard = grown(tmp_path / "host", rounds=2, requests=20)
    path, other = listing(guard.audit / "worker-0")[1], listing(guard.audit / "worker-1")[1]
    last = list(SegmentReader(path).read())[-1]
    request = str(json.loads(last.payload)["id"])
    folder = handed_over(guard, tmp_path / "auditor", prove(guard.audit, "asl-guard/test", request))
    tamper(path, other)
    report = verify(guard.audit, guard.ring().log.key)
    assert not report.intact
    assert report.findings[0].place.sequence <= last.sequence
    code, out, err = run(folder, "--key", "log.vkey", "--show")
    assert (code, err) == (0, "")
    assert ascii(json.loads(last.payload)) in out


def test_it_imports_nothing_but_the_standard_library() -> None:
    names = {
        line.split()[1].split(".")[0] for line in CHECKER.read_text().splitlines() if line[:5] in {"impor", "from "}
    }
    assert names <= set(sys.stdlib_module_names) | {"__future__"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"request": "worker-0-5"', '"request": "worker-0-6"', "another request"),
        ('"index": 17', '"index": 16', "not lead"),
        ('"kind": 2', '"kind": 3', "not lead"),
        ('"asl-guard proof v1"', '"asl-guard proof v2"', "not a proof of the form"),
        ('"path"', '"paths"', "the file is not a proof"),
        ('"logs": [', '"logs": [], "more": [', "no record"),
    ],
)
def test_what_was_changed_is_not_proved(guard: Guard, tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = handed_over(guard, tmp_path)
    text = (folder / "proof.json").read_text()
    assert old in text
    (folder / "proof.json").write_text(text.replace(old, new, 1))
    code, out, err = run(folder, "--key", "log.vkey")
    assert (code, out) == (1, "")
    assert f"NOT PROVED: {words}" in err or words in err


def test_another_key_and_a_changed_signature_do_not_pass(guard: Guard, tmp_path: Path) -> None:
    folder = handed_over(guard, tmp_path)
    (folder / "other.vkey").write_text(str(Signer("asl-guard/test", load_key(new_key(), "here")).key))
    code, _, err = run(folder, "--key", "other.vkey")
    assert (code, "not signed by asl-guard/test" in err) == (1, True)
    proof = json.loads((folder / "proof.json").read_text())
    note = proof["logs"][0]["checkpoint"]
    proof["logs"][0]["checkpoint"] = note.replace("worker-0", "worker-1", 1)
    (folder / "proof.json").write_text(json.dumps(proof))
    code, _, err = run(folder, "--key", "log.vkey")
    assert (code, "the signature of asl-guard/test is wrong" in err) == (1, True)


def test_a_witness_that_is_demanded_must_have_cosigned(guard: Guard, tmp_path: Path) -> None:
    witness = Signer("witness.example/w1", load_key(new_key(), "here"), Algorithm.COSIGNATURE)
    made = prove(guard.audit, "asl-guard/test", "worker-0-5")
    folder = handed_over(guard, tmp_path, made)
    (folder / "w.vkey").write_text(str(witness.key))
    code, _, err = run(folder, "--key", "log.vkey", "--witness", "w.vkey")
    assert (code, "not signed by witness.example/w1" in err) == (1, True)
    note = read_head(guard.audit / FLEET)
    assert note is not None
    (log,) = made.logs
    assert log.fleet is not None
    replace = msgspec.structs.replace
    cosigned = note.with_signatures((witness.cosign(note.text, 1_700_009_999),)).encode().decode()
    handed_over(guard, tmp_path, replace(made, logs=(replace(log, fleet=replace(log.fleet, checkpoint=cosigned)),)))
    code, out, _ = run(folder, "--key", "log.vkey", "--witness", "w.vkey")
    assert (code, "witnessed: witness.example/w1 saw the log with it at 1700009999" in out) == (0, True)
    handed_over(guard, tmp_path, replace(made, logs=(replace(log, fleet=None),)))
    assert run(folder, "--key", "log.vkey", "--witness", "w.vkey")[0] == 1


def test_a_time_stamp_is_told_and_openssl_checks_who_signed_it(tmp_path: Path) -> None:
    tsa = TimestampAuthority(tmp_path / "tsa")
    guard = grown(tmp_path / "host", rounds=1)
    stamp(guard.audit, tsa)
    write(guard.audit, "worker-0", 100, 1)
    guard.seal()
    made = prove(guard.audit, "asl-guard/test", "worker-0-5")
    folder = handed_over(guard, tmp_path / "auditor", made)
    code, out, _ = run(folder, "--key", "log.vkey", "--stamps", "stamps")
    token = stamped(guard.audit, 2).token
    moment = datetime.fromtimestamp(token.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"time-stamped: {moment}, as the time stamp says; who signed it is NOT checked here" in out
    assert code == 0
    (said,) = [line for line in out.splitlines() if line.startswith("check with: ")]
    words = said.removeprefix("check with: ").replace("CA.pem", str(tsa.pem)).split()
    checked = subprocess.run([command("openssl", "openssl"), *words[1:]], cwd=folder, capture_output=True, check=False)
    assert checked.returncode == 0
    assert run(folder, "--key", "log.vkey", "--stamps", "stamps")[0] == 2  # nothing is overwritten
    (log,) = made.logs
    assert log.stamp is not None
    replace, given = msgspec.structs.replace, log.stamp
    answer = bytearray(base64.b64decode(given.answer))
    at = answer.index(token.imprint)
    answer[at] ^= 1
    for changed, words_of in (
        (replace(given, answer=base64.b64encode(answer).decode()), "the time stamp is over something else"),
        (replace(given, answer=base64.b64encode(answer[:200]).decode()), "the time stamp is cut off"),
        (replace(given, answer="MAUwAwIBAg=="), "no time stamp was granted"),
        (replace(given, answer="AAAA"), "the file is not a proof"),
        (replace(given, checkpoint=log.checkpoint), "not one of this log"),
        (replace(given, path=given.path[:-1]), "the path"),
    ):
        handed_over(guard, folder, replace(made, logs=(replace(log, stamp=changed),)))
        code, out, err = run(folder, "--key", "log.vkey")
        assert (code, out) == (1, "")
        assert words_of in err


def test_what_cannot_be_read_is_told_apart(guard: Guard, tmp_path: Path) -> None:
    folder = handed_over(guard, tmp_path)
    assert run(folder, "--key", "none.vkey")[0] == 2
    (folder / "log.vkey").write_text("no key")
    assert run(folder, "--key", "log.vkey")[0] == 2
    handed_over(guard, tmp_path)
    (folder / "proof.json").write_text("{")
    assert run(folder, "--key", "log.vkey")[0] == 2
    (folder / "proof.json").write_text("[]")
    assert run(folder, "--key", "log.vkey")[0] == 1
