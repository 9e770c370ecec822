"""Real processes: draining, replacement, deafness, a dead supervisor, and a metrics page that survives them all.

One file, because all of it is what becomes of one set of processes.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, alive, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, says, sends, stream_body, text


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(says("hello")) as upstream:
        yield upstream


def configured(directory: Path, upstream: ScriptedUpstream, workers: int = 1, **supervision: float) -> Credentials:
    return write_configuration(
        directory, models=[ModelSpec(upstream=upstream.url)], workers=workers, supervision=supervision
    )


def sample(guard: GuardProcess, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    page = guard.get("/metrics").text
    return sum(
        each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
        if each.name == name and all(each.labels.get(label) == value for label, value in labels.items())
    )


def ask(guard: GuardProcess, key: str) -> int:
    """The status of one plain request."""
    with RawCaller(guard.data[1], key) as caller:
        caller.ask(stream=False)
        return caller.answer().status


def refused(address: tuple[str, int]) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(address, 1.0).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def streams_on_every_worker(guard: GuardProcess, key: str, workers: int, stack: ExitStack) -> list[RawCaller]:
    """Open streams until each worker has one; the kernel chooses who accepts."""
    callers: list[RawCaller] = []

    def enough() -> bool:
        busy = {line for line in range(workers) if sample(guard, "guard_requests_in_flight", worker=str(line)) > 0}
        if len(busy) == workers:
            return True
        if len(callers) < 60:
            caller = stack.enter_context(RawCaller(guard.data[1], key))
            caller.ask("count")
            caller.until(b"data: ")
            callers.append(caller)
        return False

    wait_until(enough, "every worker has a stream")
    return callers


def test_after_sigterm_to_the_whole_service_a_running_stream_finishes_and_new_connections_are_refused(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    gate = Gate()
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), gate, chunk(stream_body("two")) + LAST_CHUNK)
    key = configured(tmp_path, upstream, 3).key
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], key) as caller:
        caller.ask()
        caller.until(b"one ")
        address = guard.data
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 3, "all serve")
        for pid in guard.worker_pids():  # service managers signal every process, terminals a group
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        guard.signal(signal.SIGTERM)
        wait_until(lambda: refused(address), "new connections are refused")
        assert guard.get("/health/ready").status_code == 503
        gate.open()
        answer = caller.answer()
        assert answer.texts == "one two"
        assert answer.events[-1] == b"[DONE]"
        assert guard.wait() == 0
        assert not any(alive(pid) for pid in guard.worker_pids())
        guard.wait_for("ended")


def test_when_the_time_to_drain_is_up_a_stream_ends_with_an_error_event_and_without_done(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), Gate())
    key = configured(tmp_path, upstream, drain_seconds=0.5).key
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], key) as caller:
        caller.ask()
        caller.until(b"one ")
        guard.signal(signal.SIGTERM)
        answer = caller.answer()
        assert answer.code == "draining"
        assert answer.ended
        assert answer.closed
        assert b"[DONE]" not in answer.body
        assert guard.wait() == 0


def test_a_second_signal_ends_everything_at_once(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), Gate())
    key = configured(tmp_path, upstream, drain_seconds=600).key
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], key) as caller:
        caller.ask()
        caller.until(b"one ")
        guard.signal(signal.SIGINT)
        guard.wait_for("draining")
        guard.signal(signal.SIGINT)
        assert guard.wait() == 0
        assert not caller.answer().ended


def test_a_killed_worker_is_replaced_and_no_counter_goes_back(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    key = configured(tmp_path, upstream).key
    with GuardProcess(tmp_path) as guard:
        for _ in range(6):
            assert ask(guard, key) == 200
        wait_until(lambda: sample(guard, "guard_requests_total", outcome="served") == 6, "six are counted")
        first = guard.worker()
        os.kill(first, signal.SIGKILL)
        line = guard.wait_for("worker_exited", worker=0)
        assert line["reason"] == "ended by SIGKILL"
        wait_until(lambda: guard.worker() != first, "another runs")
        assert ask(guard, key) == 200  # whoever came in between has only waited
        assert guard.get("/health/ready").json() == {"ready": True, "serving": 1, "workers": 1, "troubles": []}
        assert sample(guard, "guard_worker_restarts_total", reason="exited") == 1
        wait_until(lambda: sample(guard, "guard_requests_total", outcome="served") == 7, "the seventh is counted")


def test_a_deaf_worker_is_killed_replaced_and_counted_and_the_others_go_on(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    key = configured(tmp_path, upstream, 2, deaf_seconds=1).key
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        deaf = guard.worker(1)
        os.kill(deaf, signal.SIGSTOP)
        guard.wait_for("worker_deaf", worker=1)
        guard.wait_for("worker_started", 2, worker=1)
        assert not alive(deaf)
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve again")
        assert sample(guard, "guard_worker_restarts_total", reason="deaf") == 1
        assert sample(guard, "guard_worker_restarts_total", reason="exited") == 0
        assert guard.lines("worker_started", worker=0) == guard.lines("worker_started", worker=0)[:1]
        assert ask(guard, key) == 200


def test_at_asl_3_a_worker_whose_loop_is_blocked_is_killed_after_a_second_whatever_is_set(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    models = (ModelSpec(upstream=upstream.url), ModelSpec("strict", asl=3, upstream=upstream.url))
    write_configuration(tmp_path, models=models, workers=2, supervision={"deaf_seconds": 60})
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        os.kill(guard.worker(1), signal.SIGSTOP)
        line = guard.wait_for("worker_deaf", worker=1)
        assert 1.0 <= line["silent_seconds"] < 30.0
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve again")


def test_a_supervisor_that_was_frozen_does_not_take_its_workers_for_deaf(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    key = configured(tmp_path, upstream, deaf_seconds=0.5).key
    with GuardProcess(tmp_path) as guard:
        guard.signal(signal.SIGSTOP)
        before = len(upstream.requests)
        for count in range(1, 4):  # the data path does not need it, and time passes
            assert ask(guard, key) == 200
            assert len(upstream.requests) == before + count
        wait_until_seconds_pass(1.5)
        guard.signal(signal.SIGCONT)
        wait_until(lambda: guard.get("/health/ready").status_code == 200, "it answers again")
        wait_until(lambda: sample(guard, "guard_requests_total", outcome="served") == 3, "the counters came through")
        assert not guard.lines("worker_deaf")
        assert len(guard.worker_pids()) == 1


def wait_until_seconds_pass(seconds: float) -> None:
    """What is waited for is the time itself: longer than a worker may be silent."""
    with pytest.raises(TimeoutError):
        wait_until(lambda: False, "nothing", seconds)


def test_without_their_supervisor_workers_end_and_a_new_guard_starts_at_once(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    key = configured(tmp_path, upstream, 3).key
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 3, "all serve")
        address = guard.data
        guard.signal(signal.SIGKILL)
        guard.wait()
        wait_until(lambda: refused(address), "the port is free")
        wait_until(lambda: not any(map(alive, guard.worker_pids())), "no worker is left")
        # On the same address, and with the same state and log.
        text = (tmp_path / "guard.yaml").read_text()
        (tmp_path / "guard.yaml").write_text(text.replace('"port": 0', f'"port": {address[1]}', 1))
        with GuardProcess(tmp_path) as second:
            assert second.data == address
            assert ask(second, key) == 200


def test_a_worker_that_lost_its_supervisor_lets_its_stream_finish(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), gate, chunk(stream_body("two")) + LAST_CHUNK)
    key = configured(tmp_path, upstream).key
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], key) as caller:
        caller.ask()
        caller.until(b"one ")
        address = guard.data
        guard.signal(signal.SIGKILL)
        wait_until(lambda: refused(address), "it takes no more")
        gate.open()
        assert caller.answer().events[-1] == b"[DONE]"
        wait_until(lambda: not alive(guard.worker()), "it has ended")


def test_a_worker_that_starts_while_the_files_are_broken_serves_the_policy_in_force(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    key = configured(tmp_path, upstream, 2).key
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        (tmp_path / "rules" / "test.yaml").write_text("version: [")
        first = guard.worker(1)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: guard.worker(1) != first, "another runs")
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        assert guard.get("/health/ready").json()["troubles"] == []
        assert ask(guard, key) == 200


def test_while_no_worker_can_start_readiness_says_why_and_orders_are_still_obeyed(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    configured(tmp_path, upstream)
    blocked = tmp_path / "var" / "audit" / "worker-0"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("not a folder")
    with GuardProcess(tmp_path, ready=False) as guard:
        own = guard.wait_for("config_refused", worker=0)
        assert "worker-0" in own["reason"]
        guard.wait_for("worker_exited", 2, worker=0, code=2)
        ready = guard.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {
            "ready": False,
            "serving": 0,
            "workers": 1,
            "troubles": ["worker 0: it could not begin or go on; its own line in the log says why"],
        }
        (tmp_path / "var" / "state" / "orders" / "STOP").touch()
        guard.wait_for("stop_ordered")
        blocked.unlink()
        wait_until(lambda: guard.get("/health/ready").status_code == 200, "it serves once the cause is gone")
        guard.signal(signal.SIGTERM)
        assert guard.wait() == 0


def test_the_merged_page_tells_workers_apart_and_adds_up(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), gate, chunk(stream_body("two")) + LAST_CHUNK)
    key = configured(tmp_path, upstream, 3).key
    with GuardProcess(tmp_path) as guard, ExitStack() as stack:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 3, "all serve")
        callers = streams_on_every_worker(guard, key, 3, stack)
        gate.open()
        for caller in callers:
            assert caller.answer().texts == "one two"
        wait_until(lambda: sample(guard, "guard_requests_total", outcome="served") == len(callers), "all are counted")
        assert all(sample(guard, "guard_requests_total", outcome="served", worker=str(one)) > 0 for one in range(3))
        wait_until(lambda: sample(guard, "guard_requests_in_flight") == 0, "none is running")
        os.kill(guard.worker(2), signal.SIGKILL)
        wait_until(lambda: sample(guard, "guard_worker_up") == 2, "one is gone")
        assert sample(guard, "guard_requests_total", outcome="served") == len(callers)
        wait_until(lambda: sample(guard, "guard_worker_up") == 3, "all are back")
        assert sample(guard, "guard_requests_total", outcome="served") == len(callers)
