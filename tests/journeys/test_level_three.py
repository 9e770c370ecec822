"""At ASL-3 nothing reaches the model or the caller before it is written, and no safeguard fails open.

One file: the matrix of failures and the bench that runs it belong together.
"""

from __future__ import annotations

import asyncio
import errno
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from guard.app import Worker
from guard.audit import records
from guard.audit.disk import LocalDisk
from guard.pipeline import Mount, Pipeline
from guard.serving import Serving
from safeguards.base import Safeguard
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.verdict import PASS, Block, Cleared, Code
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    Script,
    ScriptedUpstream,
    chunk,
    completion,
    delta,
    says,
    sends,
    text,
)
from tests.parts.upstream import answer as whole_answer


class Faulty(LocalDisk):
    """A disk whose syncs can be held up or made to fail."""

    def __init__(self) -> None:
        """Work."""
        self.held = threading.Event()
        self.held.set()
        self.waiting = threading.Event()
        self.failing = False

    def fdatasync(self, descriptor: int) -> None:
        """Sync, or not."""
        if self.failing:
            raise OSError(errno.EIO, "no")
        if not self.held.is_set():
            self.waiting.set()
            self.held.wait(30)
        super().fdatasync(descriptor)


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_forwarded_before_the_intent_is_on_disk(tmp_path: Path, stream: bool) -> None:
    disk = Faulty()
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            disk.held.clear()
            caller.ask(stream=stream)
            assert disk.waiting.wait(30)
            # The intent is written, so the journey has come as far as it can: it waits for the disk alone.
            intents = [each for each in guard.entries() if isinstance(each, records.Intent)]
            assert len(intents) == 1
            assert upstream.accepted == 0
            disk.held.set()
            assert caller.answer().status == 200
            assert len(upstream.requests) == 1


def test_when_the_disk_fails_nothing_is_forwarded(tmp_path: Path) -> None:
    disk = Faulty()
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard:
            disk.failing = True
            for _ in range(3):
                with RawCaller(guard.port, credentials.key) as caller:
                    caller.ask()
                    got = caller.answer()
                assert (got.status, got.code) == (503, "log_unavailable")
                assert got.headers["x-should-retry"] == "false"
            assert upstream.accepted == 0
            disk.failing = False

            def served() -> bool:
                with RawCaller(guard.port, credentials.key) as caller:
                    caller.ask()
                    return caller.answer().status == 200

            guard.wait_until(served, "the log had recovered")


def test_a_disk_that_hangs_is_a_refusal_after_the_deadline(tmp_path: Path) -> None:
    disk = Faulty()
    short = {"request_log": {"deadline_seconds": 0.2}}
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url, safeguards=short)])
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            disk.held.clear()
            caller.ask()
            disk.waiting.wait(30)
            threading.Timer(1.0, disk.held.set).start()  # the outcome is durable too, and close waits for it
            assert caller.answer().code == "log_unavailable"
            assert upstream.accepted == 0


def test_a_text_is_written_before_it_is_released(tmp_path: Path) -> None:
    gate = Gate()
    script = sends(STREAM_HEAD, chunk(text("first ")), gate)
    with ScriptedUpstream(script) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path) as guard, RawCaller(guard.port, credentials.key) as caller:
            caller.ask()
            caller.until(b"first ")
            parts = [each for each in guard.entries() if isinstance(each, records.Part)]
            assert [text for part in parts for text in guard.texts(part.id, records.Part)] == ["first "]


LAST = chunk(delta({}, finish="stop"), DONE) + LAST_CHUNK


def outcomes(guard: GuardThread) -> list[records.Outcome]:
    return [each for each in guard.entries() if isinstance(each, records.Outcome)]


def arrived(caller: RawCaller) -> bytes:
    """What lies in the caller's socket by now, without taking it."""
    ready, _, _ = select.select([caller.socket], [], [], 0)
    return caller.socket.recv(65536, socket.MSG_PEEK) if ready else b""


def about_to_end(gate: Gate, *, stream: bool) -> Script:
    """An answer whose last words wait at a gate."""
    if stream:
        return sends(STREAM_HEAD, chunk(text("first ")), gate, chunk(text("last")) + LAST)
    return sends(gate, whole_answer(completion("whole")))


@pytest.mark.parametrize("stream", [True, False])
def test_the_last_of_an_answer_is_held_until_the_outcome_is_on_disk(tmp_path: Path, stream: bool) -> None:
    disk, gate = Faulty(), Gate()
    with ScriptedUpstream(about_to_end(gate, stream=stream)) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            caller.ask(stream=stream)
            upstream.wait_for_requests(1)
            if stream:
                caller.until(b"first ")
            disk.held.clear()
            gate.open()
            guard.wait_until(lambda: bool(outcomes(guard)), "the outcome was written")
            assert disk.waiting.wait(30)
            assert arrived(caller) == b""
            disk.held.set()
            got = caller.answer()
            assert got.status == 200
            guard.quiet()
            (outcome,) = outcomes(guard)
            assert (outcome.ending, outcome.sent_bytes) == ("served", len(got.body))


@pytest.mark.parametrize("stream", [True, False])
def test_when_the_outcome_cannot_be_put_on_disk_the_answer_does_not_end_as_if_it_were_whole(
    tmp_path: Path, stream: bool
) -> None:
    disk, gate = Faulty(), Gate()
    with ScriptedUpstream(about_to_end(gate, stream=stream)) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            caller.ask(stream=stream)
            upstream.wait_for_requests(1)
            if stream:
                caller.until(b"first ")
            disk.failing = True
            gate.open()
            got = caller.answer()
            assert got.code == "log_unavailable"
            assert b"[DONE]" not in got.body
            assert b"last" not in got.body
            assert b"whole" not in got.body


def test_a_caller_who_leaves_while_the_last_is_held_is_on_record_as_gone(tmp_path: Path) -> None:
    disk, gate = Faulty(), Gate()
    with ScriptedUpstream(about_to_end(gate, stream=True)) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard:
            with RawCaller(guard.port, credentials.key) as caller:
                caller.ask()
                caller.until(b"first ")
                disk.held.clear()
                gate.open()
                guard.wait_until(lambda: bool(outcomes(guard)), "the outcome was written")
            guard.wait_until(lambda: len(outcomes(guard)) > 1, "it was set right")
            disk.held.set()
            found = guard.found(outcomes(guard)[0].id)
            assert found.outcome is not None
            assert found.outcome.ending == "caller_gone"
            assert found.outcome.sent_bytes < outcomes(guard)[0].sent_bytes


@pytest.mark.parametrize("level", [1, 2])
def test_below_level_three_nobody_waits_for_the_outcome(tmp_path: Path, level: int) -> None:
    disk = Faulty()
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=level, upstream=upstream.url)])
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            disk.held.clear()
            caller.ask()
            assert caller.answer().status == 200
            disk.held.set()


class Full(LocalDisk):
    """A disk that takes nothing while it is full."""

    full = False

    def create(self, path: Path) -> int:
        """Create, or not."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write, or not."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(descriptor, data)


@pytest.mark.parametrize("stream", [True, False])
def test_below_level_three_a_policy_may_serve_through_an_outage_and_loses_no_record(
    tmp_path: Path, stream: bool
) -> None:
    disk, patient = Full(), {"outage_seconds": 60, "parts": True}
    with ScriptedUpstream(says("hel", "lo")) as upstream:
        models = [
            ModelSpec(asl=2, upstream=upstream.url, log=patient),
            ModelSpec("strict", asl=3, upstream=upstream.url),
        ]
        credentials = write_configuration(tmp_path, models=models)
        with GuardThread(tmp_path, disk=disk) as guard, RawCaller(guard.port, credentials.key) as caller:
            disk.full = True
            caller.ask("served on", stream=stream)
            got = caller.answer()
            assert got.status == 200
            with RawCaller(guard.port, credentials.key) as other:
                other.ask(model="strict", stream=stream)
                assert other.answer().code == "log_unavailable"
            assert guard.worker.ledger.stats().waiting > 0
            disk.full = False

            def written() -> bool:
                def tended() -> int:
                    guard.worker.ledger.tend()
                    return guard.worker.ledger.stats().waiting

                return guard.call(tended) == 0

            guard.wait_until(written, "what waited was written")
            request = got.headers["x-request-id"]
            assert guard.texts(request, records.Intent) == ["served on"]
            assert "".join(guard.texts(request, records.Part)) == "hello"
            found = guard.found(request)
            assert found.outcome is not None
            assert (found.outcome.ending, found.outcome.sent_bytes) == ("served", len(got.body))


class Answers(Safeguard):
    """A safeguard of some kind that gives a prepared answer, or raises it, at one of its moments."""

    watches = True

    def __init__(self, kind: str, moment: str, act: Callable[[], Any]) -> None:
        """Act at this moment, and have nothing against anything at the others."""
        self.kind = kind  # type: ignore[misc]  # stands for each of the kinds in turn
        self._moment = moment
        self._act = act

    def admit(self, exchange: Exchange) -> Any:
        """Answer, perhaps nonsense."""
        return self._act() if self._moment == "admit" else PASS

    def watch(self, exchange: Exchange, channel: Channel) -> Any:
        """Answer, perhaps nonsense."""
        return self._act() if self._moment == "watch" else Cleared(channel.end)


def raising(problem: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise problem

    return act


async def _never() -> Any:
    await asyncio.Event().wait()


async def _cancelled() -> Any:
    raise asyncio.CancelledError


async def _late(answer: Any) -> Any:
    await asyncio.sleep(0)
    return answer


KINDS = ("request_log", "kill_switch", "evidence", "access", "limits", "classifier")
FAILURES: dict[str, tuple[Failure, Callable[[], Any]]] = {
    "does not answer in time": (Failure.TIMEOUT, _never),
    "crashes": (Failure.CRASH, raising(KeyError("text of a prompt"))),
    "crashes while it awaits": (Failure.CRASH, lambda: _late_raise(ZeroDivisionError())),
    "is cancelled within": (Failure.CRASH, _cancelled),
    "answers nothing": (Failure.BAD_ANSWER, lambda: None),
    "answers a text": (Failure.BAD_ANSWER, lambda: "pass"),
    "answers true": (Failure.BAD_ANSWER, lambda: True),
    "answers nothing after a while": (Failure.BAD_ANSWER, lambda: _late(None)),
    "is overloaded": (Failure.OVERLOAD, raising(Unavailable(Failure.OVERLOAD, "queue full"))),
    "cannot be reached": (Failure.UNREACHABLE, raising(Unavailable(Failure.UNREACHABLE, "refused"))),
    "is not authorised": (Failure.UNAUTHORISED, raising(Unavailable(Failure.UNAUTHORISED, "401"))),
}
ONLY_WATCH: dict[str, tuple[Failure, Callable[[], Any]]] = {
    "clears more than there is": (Failure.BAD_ANSWER, lambda: Cleared(10_000)),
    "clears a negative number": (Failure.BAD_ANSWER, lambda: Cleared(-1)),
    "clears true": (Failure.BAD_ANSWER, lambda: Cleared(True)),
    "clears a text": (Failure.BAD_ANSWER, lambda: Cleared("1")),  # type: ignore[arg-type]  # the point
    "clears nothing": (Failure.BAD_ANSWER, lambda: Cleared(None)),  # type: ignore[arg-type]  # the point
    "passes in place of clearing": (Failure.BAD_ANSWER, lambda: PASS),
}
MATRIX = [
    *(pytest.param(at, *found, id=f"{at} {name}") for at in ("admit", "watch") for name, found in FAILURES.items()),
    *(pytest.param("watch", *found, id=f"watch {name}") for name, found in ONLY_WATCH.items()),
]
EACH = pytest.mark.parametrize(("moment", "failure", "act"), MATRIX)


async def _late_raise(problem: Exception) -> Any:
    await asyncio.sleep(0)
    raise problem


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard whose model's pipeline can have one more mount."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str
    pipeline: Pipeline

    def mount(self, safeguard: Safeguard, *, enforce: bool = True, block_on_failure: bool = True) -> None:
        """Put it after the others, but for what rests: that is always the last."""
        mount = Mount("tested", safeguard, enforce=enforce, block_on_failure=block_on_failure, deadline=0.02)
        pipeline = Pipeline([*self.pipeline.mounts[:-1], mount, self.pipeline.mounts[-1]])
        self.guard.call(lambda: serve(self.guard.worker, pipeline))

    def ask(self) -> Any:
        """Ask for a stream."""
        with RawCaller(self.guard.port, self.key) as caller:
            caller.ask()
            return caller.answer()

    def decisions(self, request: str, target: str) -> list[records.Decision]:
        """What the tested mount is on record with."""
        outcome = self.guard.found(request).outcome
        assert outcome is not None
        return [each for each in outcome.decisions if (each.safeguard, each.target) == ("tested", target)]


def serve(worker: Worker, pipeline: Pipeline) -> None:
    known: dict[str, Serving] = worker.models._serving
    known["demo"] = replace(known["demo"], pipeline=pipeline)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("matrix")
    with ScriptedUpstream(says("hello ", "there")) as upstream:
        credentials = write_configuration(directory, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(directory) as guard:
            pipeline = guard.call(lambda: guard.worker.models._serving["demo"].pipeline)
            yield Bench(guard, upstream, credentials.key, pipeline)


@pytest.mark.parametrize("kind", KINDS)
@EACH
def test_a_safeguard_that_fails_blocks(
    bench: Bench, kind: str, moment: str, failure: Failure, act: Callable[[], Any]
) -> None:
    before = len(bench.upstream.requests)
    bench.mount(Answers(kind, moment, act))
    got = bench.ask()
    assert (got.status, got.code) == (503, "log_unavailable" if kind == "request_log" else "safeguard_failed")
    assert b"hello" not in got.body
    assert len(bench.upstream.requests) == before + (moment == "watch")
    target = "input" if moment == "admit" else "output"
    (decision,) = bench.decisions(got.headers["x-request-id"], target)
    assert (decision.failure, decision.denied, decision.blocked) == (failure.value, True, True)
    assert "text of a prompt" not in json.dumps(decision.reason)


@EACH
def test_with_on_failure_pass_it_goes_on_and_is_recorded_and_counted(
    bench: Bench, moment: str, failure: Failure, act: Callable[[], Any]
) -> None:
    before = bench.guard.metric("guard_unscanned_total", "demo", "failed_open")
    bench.mount(Answers("classifier", moment, act), block_on_failure=False)
    got = bench.ask()
    assert (got.status, got.texts) == (200, "hello there")
    (decision,) = bench.decisions(got.headers["x-request-id"], "input" if moment == "admit" else "output")
    assert (decision.failure, decision.denied, decision.blocked) == (failure.value, False, False)
    assert bench.guard.metric("guard_unscanned_total", "demo", "failed_open") == before + 1


@EACH
def test_in_shadow_a_failure_is_recorded_and_blocks_nothing(
    bench: Bench, moment: str, failure: Failure, act: Callable[[], Any]
) -> None:
    before = bench.guard.metric("guard_unscanned_total", "demo", "failed_open")
    bench.mount(Answers("classifier", moment, act), enforce=False)
    got = bench.ask()
    assert (got.status, got.texts) == (200, "hello there")
    (decision,) = bench.decisions(got.headers["x-request-id"], "input" if moment == "admit" else "output")
    assert (decision.failure, decision.denied, decision.blocked) == (failure.value, True, False)
    assert bench.guard.metric("guard_unscanned_total", "demo", "failed_open") == before


@pytest.mark.parametrize("moment", ["admit", "watch"])
def test_a_denial_in_shadow_is_recorded_and_blocks_nothing(bench: Bench, moment: str) -> None:
    denial = Block(Code.CONTENT_BLOCKED, "would have blocked", category="other", rule="r1")
    bench.mount(Answers("classifier", moment, lambda: denial), enforce=False)
    got = bench.ask()
    assert (got.status, got.texts) == (200, "hello there")
    (decision,) = bench.decisions(got.headers["x-request-id"], "input" if moment == "admit" else "output")
    assert (decision.denied, decision.blocked, decision.enforced, decision.rule) == (True, False, False, "r1")


def test_a_shadow_that_clears_nothing_holds_nothing_back(bench: Bench) -> None:
    bench.mount(Answers("classifier", "watch", lambda: Cleared(0)), enforce=False)
    assert bench.ask().texts == "hello there"


def test_text_that_is_never_cleared_is_withheld(bench: Bench) -> None:
    bench.mount(Answers("classifier", "watch", lambda: Cleared(0)))
    got = bench.ask()
    assert (got.status, got.code) == (502, "held_too_much")
    assert b"hello" not in got.body


def test_a_safeguard_that_fails_to_close_does_not_keep_the_others_from_it(bench: Bench) -> None:
    closed = []

    class Bad(Safeguard):
        kind = "classifier"

        async def close(self, exchange: Exchange, outcome: Any) -> None:
            closed.append(exchange.id)
            raise KeyError("nothing")

    mount = Mount("bad", Bad(), enforce=True, block_on_failure=True, deadline=1)
    bench.guard.call(lambda: serve(bench.guard.worker, Pipeline([mount, *bench.pipeline.mounts])))
    got = bench.ask()
    found = bench.guard.found(got.headers["x-request-id"])
    assert found.outcome is not None
    assert found.outcome.ending == "served"
    assert closed == [got.headers["x-request-id"]]
