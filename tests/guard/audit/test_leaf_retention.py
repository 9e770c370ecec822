"""Records go when their own time is over, oldest first, and their hashes stay: heads and earlier proofs hold."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path

import pytest

from guard.audit.holds import Hold
from guard.audit.leaf_retention import DueSegment, delete_segment, due_segments
from guard.audit.ledger import Ledger, Limits
from guard.audit.proof import check_proof
from guard.audit.proving import prove
from guard.audit.segments import LedgerError, SegmentReader, listing
from guard.audit.verify import verify
from tests.guard.audit.fakes import Clock, exchange
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.shipping.fakes import key

DAY = date(2023, 11, 14)  # of the tests' clock
OVER = DAY + timedelta(days=201)
ORIGIN = "asl-guard/test"


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """Some hundred records in many segments, sealed, all of one day."""
    found = Guard(tmp_path / "host")
    write(found.audit, "worker-0", 0, 120)
    asyncio.run(act(found, "start", "the guard"))
    found.seal()
    return found


async def act(guard: Guard, what: str, subject: str) -> None:
    ledger = Ledger.open(guard.audit / "operator", Clock())
    await ledger.control(who="retain", what=what, subject=subject, reason="over")
    ledger.close()


def retain(guard: Guard) -> list[DueSegment]:
    """What the command does."""
    found = list(due_segments(guard.audit, 200, OVER))
    for one in found:
        asyncio.run(act(guard, "retain", one.subject))
        delete_segment(one)
    guard.seal()
    return found


def test_nothing_is_due_before_its_last_whole_day(guard: Guard) -> None:
    assert list(due_segments(guard.audit, 200, OVER - timedelta(days=1))) == []
    assert list(due_segments(guard.audit, 200, OVER))


def test_what_is_over_is_gone_and_the_log_still_verifies_and_goes_on(guard: Guard) -> None:
    proof = prove(guard.audit, ORIGIN, "worker-0-0", [])
    before = verify(guard.audit, key(guard))
    found = retain(guard)
    assert len(found) > 3
    report = verify(guard.audit, key(guard))
    assert report.intact, report.findings
    assert any(f"records 1 to {found[-1].last} were deleted" in each for each in report.notices)
    assert check_proof(proof, key(guard)).request == "worker-0-0"
    with pytest.raises(LedgerError, match="no such record"):
        prove(guard.audit, ORIGIN, "worker-0-0", [])
    write(guard.audit, "worker-0", 500, 120)  # a start after it, too
    assert not [each for each in guard.seal().writers if each.problem]
    report = verify(guard.audit, key(guard))
    assert report.intact, report.findings
    assert report.logs[1].writer == "worker-0"
    assert report.logs[1].signed > before.logs[1].signed


def test_of_what_is_gone_nothing_but_hashes_is_left(guard: Guard) -> None:
    gone = [frame.payload for one in listing(guard.audit / "worker-0")[:3] for frame in SegmentReader(one).read()]
    assert len(retain(guard)) > 3
    rest = b"".join(path.read_bytes() for path in guard.audit.rglob("*") if path.is_file())
    assert not [payload for payload in gone if payload in rest]


def test_the_newest_the_unsealed_and_the_right_edge_stay(guard: Guard) -> None:
    found = list(due_segments(guard.audit, 200, OVER))
    sealed = verify(guard.audit, key(guard)).logs[1].signed
    assert found[-1].last <= sealed - sealed % 256
    unsealed = Guard(guard.audit.parent.parent / "another")
    write(unsealed.audit, "worker-0", 0, 120)
    assert list(due_segments(unsealed.audit, 200, OVER)) == []


def test_what_was_done_to_the_guard_stays(guard: Guard) -> None:
    for number in range(3):
        write(guard.audit, "supervisor", number * 120, 120)
    guard.seal()
    assert {one.path.parent.name for one in due_segments(guard.audit, 200, OVER)} == {"worker-0"}


def test_held_days_keep_their_records(guard: Guard) -> None:
    hold = Hold("hold-0123456789abcdef", "ana", "case 7", 0.0, str(DAY), str(DAY), owner="somebody")
    (one,) = due_segments(guard.audit, 200, OVER, (hold,))
    assert one.held == (hold,)
    assert "kept by hold-0123456789abcdef" in str(one)
    other = Hold("hold-0123456789abcdef", "ana", "case 7", 0.0, "2024-01-01")
    assert not any(one.held for one in due_segments(guard.audit, 200, OVER, (other,)))


def test_records_without_a_copy_wait_for_one_up_to_a_bound(guard: Guard) -> None:
    first, second, *_ = due_segments(guard.audit, 200, OVER)

    def until_then(_: str) -> int:
        return first.last

    found = list(due_segments(guard.audit, 200, OVER, copied=until_then, patience=7))
    assert [(one.path, one.waits) for one in found] == [(first.path, False), (second.path, True)]
    assert "waits for its copy" in str(found[1])
    late = due_segments(guard.audit, 200, OVER + timedelta(days=7), copied=until_then, patience=7)
    assert not any(one.waits for one in late)


def test_a_segment_with_damage_and_all_after_it_stay(guard: Guard) -> None:
    second = list(due_segments(guard.audit, 200, OVER))[1].path
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    one, stuck = due_segments(guard.audit, 200, OVER)
    assert (one.problem, stuck.path) == ("", second)
    assert "it and all after it stay: damaged at offset" in str(stuck)
    assert list(due_segments(guard.audit, 200, OVER - timedelta(days=1))) == []


def test_a_segment_given_up_in_the_middle_of_a_record_goes_like_the_others(guard: Guard) -> None:
    before = [one.path for one in due_segments(guard.audit, 200, OVER)]
    with before[0].open("ab") as file:
        file.write(before[1].read_bytes()[:40])  # what a full disk left of the record that the next one begins with
    assert [(one.path, one.problem) for one in due_segments(guard.audit, 200, OVER)] == [(each, "") for each in before]
    assert [one.path for one in retain(guard)] == before
    report = verify(guard.audit, key(guard))
    assert report.intact, report.findings


def test_a_torn_end_that_hides_records_stays(guard: Guard) -> None:
    path = next(due_segments(guard.audit, 200, OVER)).path
    path.write_bytes(path.read_bytes()[:-1])
    (stuck,) = due_segments(guard.audit, 200, OVER)
    assert (stuck.path, "torn" in stuck.problem) == (path, True)


@pytest.mark.parametrize("now", [3e11, 1e300, 7e9])
def test_a_record_of_a_day_to_come_is_told_and_ends_no_command(tmp_path: Path, now: float) -> None:
    log = Ledger.open(tmp_path / "worker-0", Clock(now), limits=Limits(segment=200))
    for number in range(4):
        log.intent(exchange(str(number)), durable=False, keep=None)
    log.close()
    (stuck,) = due_segments(tmp_path, 30, date(2030, 1, 1))
    assert "a day to come" in str(stuck)
