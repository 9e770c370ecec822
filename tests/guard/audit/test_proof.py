"""Proofs of single records: they hold for good, reveal nothing else, and no change of theirs is accepted."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.audit.heads import read_head
from guard.audit.note import Algorithm, Signer
from guard.audit.proof import Proof, check_proof, decode_proof, encode_proof
from guard.audit.proving import prove
from guard.audit.read import FLEET
from guard.audit.records import Kind
from guard.audit.segments import LedgerError, listing
from guard.audit.signing_keys import load_key, new_key
from guard.audit.tree import ProofError
from tests.guard.audit.sealed_log import Guard, grown, write

REQUEST = "worker-0-5"
ORIGIN = "asl-guard/test"


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    return grown(tmp_path_factory.mktemp("host"), rounds=3, requests=32)


def proof(guard: Guard, *kinds: Kind) -> Proof:
    return decode_proof(encode_proof(prove(guard.audit, ORIGIN, REQUEST, kinds)))


def test_all_records_of_a_request_are_proved(guard: Guard) -> None:
    checked = check_proof(proof(guard), guard.ring().log.key)
    assert [one.kind for one in checked.records] == ["intent", "part", "outcome"]
    assert {one.log for one in checked.records} == {f"{ORIGIN}/worker-0"}
    assert checked.records[0].content["id"] == REQUEST
    assert [one.sequence for one in checked.records] == sorted(one.sequence for one in checked.records)


def test_one_kind_can_be_proved_alone(guard: Guard) -> None:
    made = proof(guard, Kind.OUTCOME)
    assert [one.kind for one in check_proof(made, guard.ring().log.key).records] == ["outcome"]


def test_a_proof_reveals_no_other_request(guard: Guard) -> None:
    made = encode_proof(proof(guard))
    whole = made + b"".join(base64.b64decode(one.payload) for log in proof(guard).logs for one in log.records)
    assert REQUEST.encode() in whole
    for number in range(96):
        if number != 5:
            assert f'worker-0-{number}"'.encode() not in whole
            assert f'MARKER {number}"'.encode() not in whole
    assert b"worker-1" not in whole


def test_a_proof_holds_after_the_log_has_grown_and_lost_segments(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    early = proof(guard)
    key = guard.ring().log.key
    for number in range(4):
        write(guard.audit, "worker-0", 100 + number * 40, 40)
        guard.seal()
    later = proof(guard)
    for path in listing(guard.audit / "worker-0")[3:]:
        path.unlink()
    assert len(check_proof(early, key).records) == len(check_proof(later, key).records) == 3
    shutil.rmtree(guard.audit)
    assert check_proof(early, key) == check_proof(decode_proof(encode_proof(early)), key)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_proof_is_accepted(guard: Guard, data: st.DataObject) -> None:
    made = bytearray(msgspec.json.encode(proof(guard, Kind.INTENT)))
    at = data.draw(st.integers(0, len(made) - 1))
    made[at] = data.draw(st.integers(32, 126).filter(lambda byte: byte != made[at]))
    try:
        checked = check_proof(decode_proof(bytes(made)), guard.ring().log.key)
    except ProofError:
        return
    # What may change without harm proves nothing: signatures of keys that nobody asked for.
    assert checked == check_proof(proof(guard, Kind.INTENT), guard.ring().log.key)


def test_what_proves_something_else_is_refused(guard: Guard, tmp_path: Path) -> None:
    key = guard.ring().log.key
    made = proof(guard, Kind.INTENT)
    (log,) = made.logs
    (record,) = log.records
    assert log.fleet is not None
    replace = msgspec.structs.replace
    other = grown(tmp_path, rounds=1)
    cases = {
        "no record": [replace(made, logs=()), replace(made, logs=(replace(log, records=()),))],
        "another request": [replace(made, request="worker-0-6")],
        "outside the tree": [replace(made, logs=(replace(log, records=(replace(record, index=10**6),)),))],
        "one byte": [replace(made, logs=(replace(log, records=(replace(record, kind=0),)),))],
        "not one of a writer": [replace(made, logs=(replace(log, checkpoint=log.fleet.checkpoint),))],
        "not one of this log": [
            replace(made, logs=(replace(log, fleet=replace(log.fleet, checkpoint=log.checkpoint)),))
        ],
        "the path": [replace(made, logs=(replace(log, fleet=replace(log.fleet, index=0)),))],
    }
    for words, forged in cases.items():
        for each in forged:
            with pytest.raises(ProofError, match=words):
                check_proof(each, key)
    with pytest.raises(ProofError, match="not signed by the key"):
        check_proof(made, other.ring().log.key)
    assert check_proof(proof(other), other.ring().log.key)
    foreign = Signer(ORIGIN, load_key(new_key(), "here"))
    with pytest.raises(ProofError, match="not signed"):
        check_proof(made, foreign.key)


def test_only_a_cosigned_proof_passes_where_a_witness_is_demanded(guard: Guard) -> None:
    witness = Signer("witness.example/w1", load_key(new_key(), "here"), Algorithm.COSIGNATURE)
    key = guard.ring().log.key
    made = proof(guard, Kind.OUTCOME)
    with pytest.raises(ProofError, match=r"not cosigned by witness\.example/w1"):
        check_proof(made, key, [witness.key])
    note = read_head(guard.audit / FLEET)
    assert note is not None
    cosigned = note.with_signatures((witness.cosign(note.text, 1_700_009_999),))
    (log,) = made.logs
    assert log.fleet is not None
    replace = msgspec.structs.replace
    anchored = replace(log, fleet=replace(log.fleet, checkpoint=cosigned.encode().decode()))
    checked = check_proof(replace(made, logs=(anchored,)), key, [witness.key])
    assert checked.witnessed == (("witness.example/w1", 1_700_009_999),)
    with pytest.raises(ProofError, match="no head of the fleet log"):
        check_proof(replace(made, logs=(replace(log, fleet=None),)), key, [witness.key])


def test_a_record_that_no_head_covers_yet_is_not_proved(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    write(guard.audit, "worker-0", 100, 1)
    with pytest.raises(LedgerError, match="under no signed head yet"):
        prove(guard.audit, ORIGIN, "worker-0-100")
    write(guard.audit, "worker-9", 1, 1)
    with pytest.raises(LedgerError, match="nothing of it is under a signed head"):
        prove(guard.audit, ORIGIN, "worker-9-1")
    with pytest.raises(LedgerError, match="no such record"):
        prove(guard.audit, ORIGIN, "unknown")
    shutil.rmtree(guard.audit / "worker-1" / "tile")
    with pytest.raises(LedgerError, match="tile is missing"):
        prove(guard.audit, ORIGIN, "worker-1-1")


def test_without_the_fleet_log_a_record_is_proved_by_its_writers_head(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    shutil.rmtree(guard.audit / FLEET)
    made = proof(guard)
    assert made.logs[0].fleet is None
    assert len(check_proof(made, guard.ring().log.key).records) == 3


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"format":"other","request":"a","logs":[]}'])
def test_what_is_no_proof_is_refused(data: bytes) -> None:
    with pytest.raises(ProofError, match="not a proof"):
        decode_proof(data)
