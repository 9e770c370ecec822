"""Where nothing may be replaced, what grows is a file for each step; the log's own file counts before any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit.copies import joined, newest, step
from guard.audit.verify import verify
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.shipping.fakes import MemoryStore, key, shipper


def test_the_newest_step_stands_for_the_file_unless_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert newest(path) == path
    for size in (7, 1000, 30):
        (tmp_path / step("checkpoint", size)).write_text(str(size))
    (tmp_path / "checkpoint.9").write_text("no step")
    (tmp_path / step("another", 5000)).write_text("of another")
    assert newest(path).read_text() == "1000"
    path.write_text("itself")
    assert newest(path) == path


def test_steps_are_joined_up_to_the_first_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "epochs"
    with pytest.raises(FileNotFoundError):
        joined(path, 100)
    for offset, text in ((0, b"abc"), (3, b"def"), (7, b"h")):
        (tmp_path / step("epochs", offset)).write_bytes(text)
    assert joined(path, 100) == b"abcdef"
    assert joined(path, 4) == b"abcd"
    path.write_bytes(b"itself")
    assert joined(path, 100) == b"itself"


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Guard, Path]:
    """A copy that was made in three rounds."""
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    for number in range(3):
        write(guard.audit, "worker-0", number * 40, 40)
        guard.clock.pass_(1800.0)
        guard.seal()
        shipper(guard, store).round()
    return guard, store.to(tmp_path / "copy")


def test_a_changed_record_of_a_copy_is_named(copy: tuple[Guard, Path]) -> None:
    guard, log = copy
    path = sorted((log / "worker-0").glob("seg-*"))[5]
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    report = verify(log, key(guard))
    assert report.findings[0].place.segment == path.name


@pytest.mark.parametrize("what", ["worker-0/seg-*", "fleet/seg-*", "epochs.*", "worker-0/tile/0/*"])
def test_a_file_that_is_gone_from_a_copy_is_noticed(copy: tuple[Guard, Path], what: str) -> None:
    guard, log = copy
    assert verify(log, key(guard)).intact
    min(log.glob(what)).unlink()
    assert not verify(log, key(guard)).intact


def test_the_last_records_of_a_copy_cannot_go_unnoticed(copy: tuple[Guard, Path]) -> None:
    guard, log = copy
    max((log / "worker-0").glob("seg-*")).unlink()
    assert not verify(log, key(guard)).intact
