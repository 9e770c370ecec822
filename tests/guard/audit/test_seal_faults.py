"""Whatever happens while a log is sealed, nothing false is signed; whatever is changed afterwards is found."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.audit import epochs, heads, signing_keys, tiles
from guard.audit.checkpoint import parse_checkpoint
from guard.audit.frames import HEADER
from guard.audit.heads import read_head
from guard.audit.segments import LedgerError, SegmentReader, listing
from guard.audit.verify import verify
from tests.guard.audit.sealed_log import Guard, grown, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("host")
    grown(base, rounds=2, requests=40)
    return base


def repaired(data: bytearray, offset: int, length: int) -> None:
    """Make the checksum of the frame at this place fit what it holds now."""
    head = bytes(data[offset : offset + HEADER - 4])
    payload = bytes(data[offset + HEADER : offset + HEADER + length])
    data[offset + HEADER - 4 : offset + HEADER] = zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "big")


def recorded(path: Path) -> list[tuple[int, bytes]]:
    """What is recorded in a segment, as far as it can be read."""
    return [(frame.kind, frame.payload) for frame in SegmentReader(path).read()]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_of_any_record_is_named_exactly(
    host: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.mktemp("copy") / "host"
    shutil.copytree(host, base)
    guard = Guard(base)
    path = data.draw(st.sampled_from([*listing(guard.audit / "worker-0"), *listing(guard.audit / "worker-1")]))
    frame = data.draw(st.sampled_from(list(SegmentReader(path).read())))
    content = bytearray(path.read_bytes())
    at = frame.offset + data.draw(st.integers(0, frame.size - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        repaired(content, frame.offset, frame.size - HEADER)
    path.write_bytes(content)
    report = verify(guard.audit, guard.ring().log.key)
    if recorded(path) == recorded(host / path.relative_to(base)):
        # The changed byte was one of the checksum's, or a bit of the compression that means nothing.
        assert report.intact
        return
    place = report.findings[0].place
    assert (place.writer, place.segment, place.offset) == (path.parent.name, path.name, frame.offset)
    assert place.sequence == frame.sequence
    shutil.rmtree(base)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_of_any_other_file_is_found_or_harmless(
    host: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.mktemp("copy") / "host"
    shutil.copytree(host, base)
    guard = Guard(base)
    files = sorted(
        path
        for path in guard.audit.rglob("*")
        if path.is_file() and path.stat().st_size and not path.name.startswith(("seg-", "lock"))
    )
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    size = parse_checkpoint((read_head(host / "audit" / "worker-0") or pytest.fail("no head")).text).size
    try:
        report = verify(guard.audit, guard.ring().log.key)
    except LedgerError:
        return  # it cannot be read at all, and says so
    needed = tiles.tile_path(0, size // 256, size % 256)
    if report.intact:
        # Only what no head needs any longer: partial tiles of heads before the newest, a line break at a file's end.
        assert ".p/" in str(path) or path.name == epochs.FILE, path
        assert path != guard.audit / "worker-0" / needed
    shutil.rmtree(base)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_the_log_verifies_and_is_sealed_on(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    most = 0
    for run in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.guard.audit.sealing", str(tmp_path), f"run-{run}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = chosen.randrange(3, 60)
        said = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        sealed = [line.split(" ", 2) for line in said if line.startswith("sealed") and line.endswith("\n")]
        assert all(not problem.strip() for _, _, problem in sealed), sealed[-1]
        most = max(most, *(int(size) for _, size, _ in sealed), 0)
        guard = Guard(tmp_path)
        report = verify(guard.audit, guard.ring().log.key)
        assert report.intact, report.findings
    found = guard.seal()
    assert [one.problem for one in found.writers] == [""]
    assert found.writers[0].size >= most > 0
    assert verify(guard.audit, guard.ring().log.key).intact


_WRITE = tiles.write_atomically


class _Disk:
    """The sealer's whole files, of which the chosen one cannot be written."""

    def __init__(self, fails: int) -> None:
        self._left = fails

    @property
    def failed(self) -> bool:
        """Whether it came to that."""
        return self._left <= 0

    def write_atomically(self, path: Path, data: bytes, *, durable: bool) -> None:
        """As `tiles.write_atomically`."""
        self._left -= 1
        if self._left == 0:
            raise OSError(28, "No space left on device", str(path))
        _WRITE(path, data, durable=durable)


@pytest.mark.parametrize("fails", range(1, 13))
def test_a_full_disk_at_any_write_loses_nothing_and_signs_nothing_false(
    tmp_path: Path, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 90)
    guard.ring()
    disk = _Disk(fails)
    with monkeypatch.context() as patch:
        for module in (heads, signing_keys, tiles):
            patch.setattr(module, "write_atomically", disk.write_atomically)
        for number in range(3):
            guard.clock.pass_(3600.0)
            with contextlib.suppress(OSError):
                guard.seal()
            write(guard.audit, "worker-0", 100 + 10 * number, 3)
    assert disk.failed
    guard.clock.pass_(60.0)
    last = guard.seal()
    assert [one.problem for one in last.writers] == [""]
    report = verify(guard.audit, guard.ring().log.key)
    assert report.intact, report.findings
    assert report.logs[0].size == report.logs[0].signed


def test_a_log_may_be_verified_while_it_is_written_and_sealed(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    key = guard.ring().log.key
    ended = threading.Event()

    def live() -> None:
        sealer = guard.sealer()
        number = 100
        while not ended.is_set():
            number += 5
            guard.clock.pass_(600.0)
            last = write(guard.audit, "worker-0", number, 5)
            sealer.round({"worker-0": last})
        sealer.close()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        for _ in range(25):
            report = verify(guard.audit, key)
            assert report.intact, report.findings
    finally:
        ended.set()
        thread.join(60)
    assert report.logs[0].signed > 0
