"""The real guard with its log on two devices: each piece on both before it is sent, and either failing is the log's."""

from __future__ import annotations

import errno
import json
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.audit import records
from guard.audit.read import Entry, iter_records
from guard.audit.verify import verify
from guard.policy.load import load
from guard.serve.sealing import log_key
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.failing_disk import FailingDisk
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import DONE, LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, delta, says, sends, text

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the device that every Linux has beside its disk
LAST = chunk(text("last"), delta({}, finish="stop"), DONE) + LAST_CHUNK


@dataclass(frozen=True, slots=True)
class Host:
    """A guard whose second device fails on demand."""

    first: Path
    second: Path
    guard: GuardProcess
    disk: FailingDisk
    upstream: ScriptedUpstream
    key: str

    def ask(self) -> Whole:
        """One request on a connection of its own."""
        with RawCaller(self.guard.data[1], self.key) as caller:
            caller.ask(stream=True)
            return caller.answer()

    def end(self) -> None:
        """Have the guard end by itself."""
        self.guard.signal(signal.SIGTERM)
        assert self.guard.wait() == 0


def files(audit: Path) -> dict[str, bytes]:
    """Every segment of workers and supervisor."""
    found = [*audit.glob("worker-*/**/seg-*.log"), *audit.glob("supervisor/**/seg-*.log")]
    return {str(path.relative_to(audit)): path.read_bytes() for path in found}


def parts(audit: Path) -> list[int]:
    """How many characters each part on record holds."""
    found = [item.record for item in iter_records(audit) if isinstance(item, Entry)]
    return [one.chars for one in found if isinstance(one, records.Part)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    assert SHARED_MEMORY.is_dir(), "this test needs /dev/shm"
    with (
        ScriptedUpstream(says("a ", "few ", "words")) as upstream,
        tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as at,
    ):
        model = ModelSpec(asl=3, upstream=upstream.url, log={"parts_durable": True})
        credentials = write_configuration(tmp_path, models=[model])
        first, second = tmp_path / "var" / "audit", Path(at) / "audit"
        file = tmp_path / "guard.yaml"
        document = json.loads(file.read_text())
        document["storage"]["audit_second"] = str(second)
        file.write_text(json.dumps(document))
        second.mkdir()
        disk = FailingDisk(second, tmp_path)
        with GuardProcess(tmp_path, environment=disk.environment) as guard:
            yield Host(first, second, guard, disk, upstream, credentials.key)


def test_each_piece_is_on_both_before_it_is_sent_and_the_second_reads_as_the_first(host: Host) -> None:
    gate = Gate()
    host.upstream.script = sends(STREAM_HEAD, chunk(text("first ")), gate, LAST)
    with RawCaller(host.guard.data[1], host.key) as caller:
        caller.ask(stream=True)
        caller.until(b"first ")
        assert parts(host.first) == parts(host.second) == [len("first ")]
        synced = [sync.path for sync in host.disk.syncs() if not sync.error and "/bodies/" in sync.path]
        assert synced, "no text was synced on the second device before it was sent"
        gate.open()
        assert caller.answer().status == 200
    host.end()
    assert files(host.first) == files(host.second)
    assert verify(host.first, log_key(load(host.first.parents[1]))).intact


def test_while_the_second_fails_nothing_is_forwarded_and_what_runs_is_cut(host: Host) -> None:
    for order in (("fdatasync", errno.EIO, "/seg-"), ("write", errno.EIO, "worker-0/seg-"), ("write", 28, "/bodies/")):
        gate = Gate()
        host.upstream.script = sends(STREAM_HEAD, chunk(text("first ")), gate, LAST)
        with RawCaller(host.guard.data[1], host.key) as running:
            running.ask(stream=True)
            running.until(b"first ")
            reached = len(host.upstream.requests)
            with host.disk.failing(order):
                refused = host.ask()
                assert (refused.status, refused.code) == (503, "log_unavailable")
                assert len(host.upstream.requests) == reached
                gate.open()
                cut = running.answer()
                assert b"last" not in cut.body
                assert cut.code == "log_unavailable"
        host.upstream.script = says("a ", "few ", "words")
        wait_until(lambda: host.ask().status == 200, "it serves again")
    host.end()
    assert verify(host.first, log_key(load(host.first.parents[1]))).intact
    # What the second lacks of the failures, the next start gives it.
    with GuardProcess(host.first.parents[1]):
        pass
    assert files(host.first) == files(host.second)
