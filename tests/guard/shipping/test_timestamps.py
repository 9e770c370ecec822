"""Time stamps go into the copy, behind the heads that they are over, and there they verify."""

from __future__ import annotations

from pathlib import Path

from guard.audit.proof import check_proof
from guard.audit.proving import prove
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamps import stamped
from guard.audit.verify import verify
from tests.guard.audit.sealed_log import grown, write
from tests.guard.audit.stamping import stamp
from tests.guard.shipping.fakes import MemoryStore, key, shipper
from tests.parts.timestamp_authority import TimestampAuthority


def test_time_stamps_are_in_the_copy_once_it_covers_them_and_there_they_verify_and_prove(tmp_path: Path) -> None:
    tsa = TimestampAuthority(tmp_path / "tsa")
    authority = Authority(tsa.pem.read_bytes())
    guard, store = grown(tmp_path / "host", rounds=1, requests=2), MemoryStore()
    stamp(guard.audit, tsa)
    assert shipper(guard, store).round() == ()
    write(guard.audit, "worker-0", 50, 2)
    guard.seal()
    stamp(guard.audit, tsa)
    assert shipper(guard, store).round() == ()
    assert shipper(guard, store).round() == ()
    names = [name.partition("/fleet/timestamps/")[2] for name in store.puts if "/timestamps/" in name]
    assert names == [f"{size:020}.{suffix}" for size in (2, 3) for suffix in ("checkpoint", "tsr")]
    copy = store.to(tmp_path / "copy")
    report = verify(copy, key(guard), authority=authority)
    assert report.intact, report.findings
    assert report.stamps is not None
    assert report.stamps.count == 2
    for request, size in (("worker-0-1", 2), ("worker-0-50", 3)):
        proof = prove(copy, "asl-guard/test", request)
        assert check_proof(proof, key(guard), authority=authority).stamped == stamped(copy, size).token.time


def test_a_copy_that_was_made_long_after_a_time_stamp_proves_by_it(tmp_path: Path) -> None:
    tsa = TimestampAuthority(tmp_path / "tsa")
    guard, store = grown(tmp_path / "host", rounds=1, requests=2), MemoryStore()
    stamp(guard.audit, tsa)
    sealer = guard.sealer()
    for number in range(20):
        write(guard.audit, "worker-0", 50 + number, 1)
        sealer.round({})
    sealer.close()
    assert shipper(guard, store).round() == ()
    copy = store.to(tmp_path / "copy")
    for request in ("worker-0-1", "worker-1-0"):
        checked = check_proof(prove(copy, "asl-guard/test", request), key(guard))
        assert checked.stamped == stamped(copy, 2).token.time


def test_a_time_stamp_over_a_head_that_the_copy_lacks_waits(tmp_path: Path) -> None:
    tsa = TimestampAuthority(tmp_path / "tsa")
    guard, store = grown(tmp_path / "host", rounds=1, requests=1), MemoryStore()
    head = (guard.audit / "fleet" / "checkpoint").read_bytes()
    write(guard.audit, "worker-0", 50, 1)
    guard.seal()
    stamp(guard.audit, tsa)
    (guard.audit / "fleet" / "checkpoint").write_bytes(head)  # a power cut took the newest
    assert shipper(guard, store).round() == ()
    assert not [name for name in store.puts if "/timestamps/" in name]
