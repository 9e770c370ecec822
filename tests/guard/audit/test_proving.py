"""Proofs that lead to a time stamp: the earliest that covers the records, and never one that does not."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest

from guard.audit.proof import Proof, check_proof, decode_proof, encode_proof
from guard.audit.proving import prove
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import read_token, request
from guard.audit.timestamps import folder, sizes, stamped
from guard.audit.tree import ProofError
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.audit.stamping import stamp
from tests.parts.timestamp_authority import TimestampAuthority

ORIGIN = "asl-guard/test"


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory, tsa: TimestampAuthority) -> Guard:
    """Stamped after the first and the third of four rounds, with an epoch between them."""
    guard = Guard(tmp_path_factory.mktemp("host"))
    for number in range(4):
        for writer in ("worker-0", "worker-1"):
            write(guard.audit, writer, number * 4, 4)
        guard.clock.pass_(1800.0)
        guard.seal()
        if number in {0, 2}:
            stamp(guard.audit, tsa)
    return guard


def made(guard: Guard, request_id: str) -> Proof:
    return decode_proof(encode_proof(prove(guard.audit, ORIGIN, request_id)))


@pytest.mark.parametrize(("number", "size"), [(0, 2), (3, 2), (4, 6), (11, 6)])
def test_a_proof_leads_to_the_earliest_time_stamp_that_covers_the_records(
    guard: Guard, tsa: TimestampAuthority, number: int, size: int
) -> None:
    authority = Authority(tsa.pem.read_bytes())
    for writer in ("worker-0", "worker-1"):
        checked = check_proof(made(guard, f"{writer}-{number}"), guard.ring().log.key, authority=authority)
        assert checked.stamped == stamped(guard.audit, size).token.time
        assert len(checked.records) == 3


def test_records_that_no_time_stamp_covers_yet_are_proved_without(guard: Guard, tsa: TimestampAuthority) -> None:
    proof = made(guard, "worker-0-12")
    assert check_proof(proof, guard.ring().log.key).stamped is None
    assert b"stamp" not in encode_proof(proof)  # as readers of before know the form
    with pytest.raises(ProofError, match="no time stamp covers all of it"):
        check_proof(proof, guard.ring().log.key, authority=Authority(tsa.pem.read_bytes()))


def test_a_proof_holds_when_the_fleet_log_has_grown_over_a_full_tile(tmp_path: Path, tsa: TimestampAuthority) -> None:
    guard = Guard(tmp_path)
    last = write(guard.audit, "worker-0", 0, 90)
    guard.seal({"worker-0": 4})
    size = stamp(guard.audit, tsa)
    sealer = guard.sealer()
    for durable in range(5, last + 1):
        sealer.round({"worker-0": durable})
    sealer.close()
    checked = check_proof(made(guard, "worker-0-0"), guard.ring().log.key)
    assert checked.stamped == stamped(guard.audit, size).token.time


def test_a_time_stamp_that_was_damaged_is_passed_over(guard: Guard, tmp_path: Path) -> None:
    shutil.copytree(guard.audit, tmp_path / "audit")
    (folder(tmp_path / "audit") / f"{2:020}.tsr").write_bytes(b"nothing")
    proof = decode_proof(encode_proof(prove(tmp_path / "audit", ORIGIN, "worker-0-0")))
    assert check_proof(proof, guard.ring().log.key).stamped == stamped(guard.audit, 6).token.time


def test_a_time_stamp_of_another_head_or_authority_is_not_accepted(
    guard: Guard, tsa: TimestampAuthority, tmp_path: Path
) -> None:
    key, other = guard.ring().log.key, TimestampAuthority(tmp_path / "other")
    proof = made(guard, "worker-0-0")
    (log,) = proof.logs
    assert log.stamp is not None

    def changed(**fields: object) -> Proof:
        assert log.stamp is not None
        stamp = msgspec.structs.replace(log.stamp, **fields)
        return msgspec.structs.replace(proof, logs=(msgspec.structs.replace(log, stamp=stamp),))

    later = stamped(guard.audit, sizes(guard.audit)[-1])
    with pytest.raises(ProofError, match="over something else"):
        check_proof(changed(answer=base64.b64encode(later.answer).decode()), key)
    with pytest.raises(ProofError):
        check_proof(changed(checkpoint=later.note.encode().decode()), key)
    with pytest.raises(ProofError):
        check_proof(changed(checkpoint=log.checkpoint), key)
    with pytest.raises(ProofError, match="the authority answered in an encoding that is not DER"):
        check_proof(changed(answer=base64.b64encode(b"FORBIDDEN-MARKER").decode()), key)
    with pytest.raises(ProofError):
        check_proof(changed(path=()), key)
    data = log.stamp.checkpoint.encode()
    forged = other.answer(request(hashlib.sha256(data).digest(), bytes(8)))
    swapped = changed(answer=base64.b64encode(forged).decode())
    assert check_proof(swapped, key).stamped == read_token(forged).time  # why a check without its certificates says so
    with pytest.raises(ProofError, match="not signed by the authority"):
        check_proof(swapped, key, authority=Authority(tsa.pem.read_bytes()))
