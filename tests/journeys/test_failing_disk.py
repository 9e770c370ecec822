"""The real guard on a disk whose system calls fail: nothing passes unrecorded, nothing is lost, and it goes on."""

from __future__ import annotations

import errno
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.audit import records
from guard.audit.read import Damage, iter_records
from guard.audit.verify import verify
from guard.policy.load import load
from guard.serve.sealing import log_key
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.failing_disk import KINDS, FailingDisk, Sync, orders
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import DONE, LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, delta, says, sends, text

IO = "Input/output error"
SPACE = "No space left on device"
REASONS = {
    "syncs fail": {IO},
    "syncs of texts fail": {IO},
    "writes fail": {IO},
    "full": {SPACE},
    "full, also for names": {SPACE},
    "read-only": {IO, "Read-only file system"},
}


@dataclass(frozen=True, slots=True)
class Host:
    """A guard on a failing disk, and one caller's key."""

    path: Path
    guard: GuardProcess
    disk: FailingDisk
    upstream: ScriptedUpstream
    key: str

    def ask(self, model: str = "strict", *, stream: bool = True) -> Whole:
        """One request on a connection of its own."""
        with RawCaller(self.guard.data[1], self.key) as caller:
            caller.ask(stream=stream, model=model)
            return caller.answer()

    def figure(self, name: str) -> float:
        """A metric's value, 0 while it has none."""
        lines = [line for line in self.guard.get("/metrics").text.splitlines() if line.startswith(name)]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    def recover(self) -> None:
        """Wait until it serves again and everything is on the disk."""
        wait_until(lambda: self.ask().status == 200, "it serves again")
        wait_until(lambda: self.figure(BACKLOG) == 0, "all is on the disk")

    def end(self) -> None:
        """Have the guard end by itself."""
        self.guard.signal(signal.SIGTERM)
        assert self.guard.wait() == 0


BACKLOG = 'guard_audit_backlog_records{worker="0"}'
FAILED = 'guard_audit_records_total{result="failed",worker="0"}'


@contextmanager
def hosted(path: Path) -> Iterator[Host]:
    """A guard with a model at ASL-3 and one at ASL-2 that may be served through an outage."""
    with ScriptedUpstream(says("a ", "few ", "words")) as upstream:
        patient = {"outage_seconds": 60, "parts": True}
        models = [
            ModelSpec("strict", asl=3, upstream=upstream.url),
            ModelSpec("patient", asl=2, upstream=upstream.url, log=patient),
        ]
        credentials = write_configuration(path, models=models)
        (path / "var" / "audit").mkdir(parents=True)
        disk = FailingDisk(path / "var" / "audit", path)
        with GuardProcess(path, environment=disk.environment) as guard:
            yield Host(path, guard, disk, upstream, credentials.key)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One guard for all kinds of failures, one after another."""
    with hosted(tmp_path_factory.mktemp("host")) as made:
        yield made


def recorded(path: Path) -> tuple[list[records.Record], list[Damage]]:
    items = list(iter_records(path / "var" / "audit"))
    return (
        [item.record for item in items if not isinstance(item, Damage)],
        [item for item in items if isinstance(item, Damage)],
    )


def intact(path: Path) -> bool:
    report = verify(path / "var" / "audit", log_key(load(path)))
    assert report.intact, report.findings
    return True


def failed_segments(path: Path) -> list[str]:
    found, _ = recorded(path)
    return [one.reason for one in found if isinstance(one, records.Recovered) and one.what == "failed_segment"]


def synced_again(disk: FailingDisk) -> list[Sync]:
    """Syncs that a worker asked for of a segment whose sync had failed it before."""
    failed: set[tuple[int, str]] = set()
    again = []
    for sync in disk.syncs():
        if (sync.pid, sync.path) in failed:
            again.append(sync)
        if sync.error and sync.path.startswith("worker-") and "/seg-" in sync.path:
            failed.add((sync.pid, sync.path))
    return again


@pytest.mark.parametrize("kind", KINDS)
def test_at_level_three_nothing_is_forwarded_nothing_ends_as_if_whole_and_it_recovers(host: Host, kind: str) -> None:
    gate = Gate()
    last = chunk(text("last"), delta({}, finish="stop"), DONE) + LAST_CHUNK
    host.upstream.script = sends(STREAM_HEAD, chunk(text("first ")), gate, last)
    before = failed_segments(host.path)
    with RawCaller(host.guard.data[1], host.key) as running:
        running.ask(model="strict")
        running.until(b"first ")
        reached = len(host.upstream.requests)
        with host.disk.failing(*orders(kind)):
            for _ in range(3):
                refused = host.ask()
                assert (refused.status, refused.code) == (503, "log_unavailable")
                assert refused.headers["x-should-retry"] == "false"
            assert len(host.upstream.requests) == reached
            gate.open()
            cut = running.answer()
            assert DONE not in cut.body
            assert cut.code == "log_unavailable"
    host.upstream.script = says("a ", "few ", "words")
    host.recover()
    assert host.figure(FAILED) > 0
    causes = failed_segments(host.path)[len(before) :]
    assert causes
    assert set(causes) <= REASONS[kind]
    if kind.startswith("syncs"):
        assert any(sync.error for sync in host.disk.syncs())
    assert synced_again(host.disk) == []
    assert_complete(host)


@pytest.mark.parametrize("kind", KINDS)
def test_below_level_three_with_patience_it_serves_on_and_every_record_is_there_afterwards(
    host: Host, kind: str
) -> None:
    before = failed_segments(host.path)
    errors = failed_syncs(host)
    with host.disk.failing(*orders(kind)):
        answers = [host.ask("patient", stream=number % 2 == 0) for number in range(4)]
        assert [each.status for each in answers] == [200] * 4
        wait_until(lambda: host.figure(BACKLOG) > 0, "the metric tells of it")
        if kind.startswith("syncs"):
            wait_until(lambda: failed_syncs(host) > errors, "a sync of the worker's log has failed")
    assert host.ask("patient").status == 200
    host.recover()
    asked = {each.headers["x-request-id"] for each in answers}
    found, _ = recorded(host.path)
    assert asked <= {one.id for one in found if isinstance(one, records.Intent)}
    assert asked <= {one.id for one in found if isinstance(one, records.Outcome) and one.ending == "served"}
    wait_until(lambda: len(failed_segments(host.path)) > len(before), "the failed segment is on record")
    assert set(failed_segments(host.path)[len(before) :]) <= REASONS[kind]
    assert_complete(host)


def failed_syncs(host: Host) -> int:
    """How many syncs of the worker's own segments have failed; the supervisor's files are not its log."""
    return len([sync for sync in host.disk.syncs() if sync.error and sync.path.startswith("worker-0/")])


def assert_complete(host: Host) -> None:
    """Every request that the model saw has its intent, and nothing but torn ends of failed segments is unreadable."""
    reached = {request.identity for request in host.upstream.requests}
    found, damage = recorded(host.path)
    assert reached <= {one.id for one in found if isinstance(one, records.Intent)}
    assert {one.reason for one in damage} <= {"torn"}
    assert intact(host.path)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_the_disk_does_under_load_what_reached_the_model_is_on_record(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    ended = threading.Event()
    whole: list[str] = []
    with hosted(tmp_path) as host:

        def load() -> None:
            while not ended.is_set():
                with suppress(OSError, EOFError):
                    answer = host.ask()
                    if answer.status == 200 and DONE in answer.body:
                        whole.append(answer.headers["x-request-id"])

        callers = [threading.Thread(target=load) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for kind in chosen.sample(KINDS, 2):
                host.upstream.wait_for_requests(len(host.upstream.requests) + chosen.randrange(1, 40))
                before = host.figure(FAILED)
                with host.disk.failing(*orders(kind)):
                    wait_until(lambda before=before: host.figure(FAILED) > before, "a record failed")  # type: ignore[misc]  # bound at once
        finally:
            ended.set()
            for caller in callers:
                caller.join(30)
        host.recover()
        host.end()
        assert_complete(host)
    found, _ = recorded(tmp_path)
    assert whole
    assert set(whole) <= {one.id for one in found if isinstance(one, records.Outcome) and one.ending == "served"}


def test_while_the_supervisor_cannot_seal_requests_go_on_and_are_sealed_afterwards(tmp_path: Path) -> None:
    with hosted(tmp_path) as host:
        with host.disk.failing(("fdatasync", errno.EIO, "fleet/"), ("fsync", errno.EIO, "checkpoint")):
            host.guard.wait_for("seal_failed")
            assert [host.ask().status for _ in range(3)] == [200] * 3
        wait_until(lambda: host.figure('guard_audit_unsealed_records{writer="worker-0"}') == 0, "all is sealed")
        host.end()
    report = verify(tmp_path / "var" / "audit", log_key(load(tmp_path)))
    assert report.intact, report.findings
    assert all(log.size == log.signed for log in report.logs)
