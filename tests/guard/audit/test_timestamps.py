"""The folder of time stamps: what is kept is found again, OpenSSL reads it, and what was changed is told."""

from __future__ import annotations

import hashlib
import shutil
import stat
from pathlib import Path

import pytest

from guard.audit.segments import LedgerError
from guard.audit.timestamps import ANSWER, HEAD, covering, folder, keep, sizes, stamped
from tests.guard.audit.sealed_log import Guard, grown, write
from tests.guard.audit.stamping import stamp
from tests.parts.timestamp_authority import TimestampAuthority


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tsa: TimestampAuthority) -> Guard:
    """A log of two stamped heads."""
    guard = grown(tmp_path_factory.mktemp("host"), rounds=1, requests=1)
    stamp(guard.audit, tsa)
    write(guard.audit, "worker-0", 10, 1)
    guard.seal()
    stamp(guard.audit, tsa)
    return guard


@pytest.fixture
def audit(whole: Guard, tmp_path: Path) -> Path:
    shutil.copytree(whole.audit, tmp_path / "audit")
    return tmp_path / "audit"


def test_what_is_kept_is_found_again_and_openssl_verifies_the_files(audit: Path, tsa: TimestampAuthority) -> None:
    assert sizes(audit) == [2, 3]
    for size in sizes(audit):
        found = stamped(audit, size)
        assert found.token.imprint == hashlib.sha256(found.note.encode()).digest()
        stem = folder(audit) / f"{size:020}"
        assert tsa.verified(stem.with_suffix(HEAD).read_bytes(), stem.with_suffix(ANSWER).read_bytes())
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder(audit).iterdir()} == {0o600}


def test_only_the_heads_that_cover_so_many_entries_are_given_the_earliest_first(audit: Path) -> None:
    assert [[each.size for each in covering(audit, entries)] for entries in (1, 2, 3, 4)] == [[2, 3], [2, 3], [3], []]


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert sizes(tmp_path) == []


def test_a_crash_between_the_two_files_leaves_no_time_stamp(audit: Path) -> None:
    (folder(audit) / f"{3:020}{ANSWER}").unlink()
    (folder(audit) / f".{4:020}{ANSWER}.new").write_bytes(b"half of it")
    assert sizes(audit) == [2]
    note = stamped(audit, 2).note
    keep(audit, note, stamped(audit, 2).answer)  # a second time is the same
    assert sizes(audit) == [2]


def test_files_that_were_changed_are_told_and_left_out(audit: Path) -> None:
    first, second = (folder(audit) / f"{size:020}{ANSWER}" for size in (2, 3))
    first.write_bytes(second.read_bytes())
    with pytest.raises(LedgerError, match=r"00002\.tsr: the time stamp is over something else"):
        stamped(audit, 2)
    second.write_bytes(b"FORBIDDEN-MARKER")
    with pytest.raises(LedgerError, match=r"00003\.tsr: answered (?!.*MARKER)"):
        stamped(audit, 3)
    assert list(covering(audit, 1)) == []
    first.with_suffix(HEAD).write_bytes(second.with_suffix(HEAD).read_bytes())
    with pytest.raises(LedgerError, match="the head beside it has another size"):
        stamped(audit, 2)
    first.with_suffix(HEAD).unlink()
    with pytest.raises(LedgerError, match=r"00002\.checkpoint: No such file"):
        stamped(audit, 2)
