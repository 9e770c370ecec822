"""However a stream ends early, and in whichever phase, its request to the model is closed promptly.

A model that computes on for nobody costs as much as one that is used, and one that computes on after a stop has not
stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest

from safeguards.decision import Ending
from tests.parts.answer_places import CHAT, COMPLETIONS, FORMS, MESSAGES, RESPONSES, encode
from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.llama import LlamaServer
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.scripted_model import LOOP, SCRIPTS
from tests.parts.upstream import STREAM_HEAD, Gate, Peer, Received, ScriptedUpstream, chunk, sends

PROMPT_SECONDS: Final = 10.0
BRIEF_SECONDS: Final = 1.5
OPERATIONS: Final = ("chat", "completions", "responses", "messages")
PATHS: Final = (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
TEXTS: Final = {CHAT: "content", COMPLETIONS: "text", RESPONSES: "text", MESSAGES: "text"}
SO_FAR: Final = "so far "
PHASES: Final = ("before the head", "before the first text", "in the middle", "while text is held")
EACH_PHASE: Final = pytest.mark.parametrize("phase", PHASES)
EACH_PATH: Final = pytest.mark.parametrize("path", PATHS, ids=[path.decode() for path in PATHS])
CLEAN: Final[Mapping[bytes, bytes]] = {
    CHAT: b'"finish_reason":"content_filter"',
    COMPLETIONS: b'"finish_reason":"content_filter"',
    RESPONSES: b'"reason":"content_filter"',
    MESSAGES: b'"stop_reason":"refusal"',
}


def request(path: bytes, prompt: str, model: str) -> bytes:
    """A streamed request for this prompt."""
    said = [{"role": "user", "content": prompt}]
    asked: dict[bytes, dict[str, Any]] = {
        CHAT: {"messages": said},
        COMPLETIONS: {"prompt": prompt},
        RESPONSES: {"input": prompt},
        MESSAGES: {"messages": said, "max_tokens": 100_000},
    }
    return json.dumps({"model": model, "stream": True, **asked[path]}).encode()


def code(path: bytes, got: Whole) -> str:
    """The code of the error with which an answer ends, in any envelope."""
    last = json.loads(got.body.rstrip().rpartition(b"data: ")[2])
    error = last.get("error", last)
    return str(error["details"]["error_code"] if path == MESSAGES else error["code"])


def steps(path: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The events of an answer: what precedes its text, a text, the half of a marker, and the other half."""
    events = [encode(path, event) for event in FORMS[path][TEXTS[path]].streamed([SO_FAR, MARKER[:9], MARKER[9:]])]
    first = next(index for index, event in enumerate(events) if SO_FAR.encode() in event)
    opening = b"" if path == COMPLETIONS else b"".join(events[:first])  # there the first event has text already
    return opening, events[first], events[first + 1], events[first + 2]


def pieces(path: bytes, phase: str) -> list[bytes]:
    """What the upstream has sent when it falls silent in this phase."""
    opening, text, half, _ = steps(path)
    if phase == PHASES[0]:
        return []
    sent = {PHASES[1]: opening, PHASES[2]: opening + text, PHASES[3]: opening + text + half}[phase]
    return [STREAM_HEAD, chunk(sent)] if sent else [STREAM_HEAD]


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard with a model that has time (demo) and one that has little (brief), before one scripted upstream."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str

    def script(self, phase: str) -> None:
        """Let the upstream fall silent in this phase of every dialect's answer."""

        async def script(peer: Peer, received: Received) -> None:
            path = received.head.split(b" ", 2)[1]
            await sends(*pieces(path, phase), Gate())(peer, received)

        self.upstream.script = script

    def begin(self, caller: RawCaller, path: bytes, phase: str, model: str = "demo") -> None:
        """Ask, and wait until the guard is in this phase."""
        before = len(self.upstream.requests)
        caller.post(request(path, "hello", model), path=path.decode())
        self.upstream.wait_for_requests(before + 1)
        if phase in PHASES[2:]:
            assert MARKER[:9].encode() not in caller.until(SO_FAR.encode())
        elif phase == PHASES[1] and steps(path)[0]:
            caller.until(b"\r\n\r\n")
        elif phase == PHASES[1]:
            self.guard.wait_until(lambda: self.guard.call(self._heads), "the head had come")

    def _heads(self) -> bool:
        return all(live.answer is not None for live in self.guard.worker.live)

    def closed_promptly(self, since: float) -> None:
        """The upstream has seen the end of every request, soon after this moment; the guard keeps none either."""
        self.upstream.wait_until(lambda: self.upstream.busy == 0)
        assert time.monotonic() - since < PROMPT_SECONDS
        self.guard.quiet()
        assert len(self.guard.worker.live) == 0

    def endings(self) -> dict[str, float]:
        """How many exchanges ended how."""
        metric = self.guard.metric
        return self.guard.call(lambda: {each.value: metric("guard_requests_total", each.value) for each in Ending})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("aborts")
    with ScriptedUpstream(sends()) as upstream:
        brief = {"total_seconds": BRIEF_SECONDS}
        models = [
            ModelSpec(upstream=upstream.url, operations=OPERATIONS),
            ModelSpec("brief", upstream=upstream.url, operations=OPERATIONS, times=brief),
        ]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key)


@EACH_PHASE
@EACH_PATH
def test_a_caller_that_leaves_closes_the_request_to_the_model(bench: Bench, path: bytes, phase: str) -> None:
    bench.script(phase)
    before = bench.endings()
    with RawCaller(bench.guard.port, bench.key) as caller:
        bench.begin(caller, path, phase)
        assert bench.upstream.busy == 1
        left = time.monotonic()
    bench.closed_promptly(left)
    assert bench.endings() == {**before, "caller_gone": before["caller_gone"] + 1}


@EACH_PHASE
def test_a_stop_closes_the_requests_of_all_dialects_to_the_model(bench: Bench, phase: str) -> None:
    bench.script(phase)
    before = bench.endings()
    with ExitStack() as open_callers:
        callers = {path: open_callers.enter_context(RawCaller(bench.guard.port, bench.key)) for path in PATHS}
        for path, caller in callers.items():
            bench.begin(caller, path, phase)
        assert bench.upstream.busy == len(PATHS)
        stopped = time.monotonic()
        order = bench.guard.stop("model:demo")
        bench.closed_promptly(stopped)
        for path, caller in callers.items():
            got = caller.answer()
            assert (got.status in (200, 503), code(path, got), got.ended) == (True, "stopped", True)
            assert MARKER[:9].encode() not in got.body
    bench.guard.resume(order)
    assert bench.endings() == {**before, "stopped": before["stopped"] + len(PATHS)}


@EACH_PHASE
def test_the_deadline_closes_the_requests_of_all_dialects_to_the_model(bench: Bench, phase: str) -> None:
    bench.script(phase)
    before = bench.endings()
    with ExitStack() as open_callers:
        callers = {path: open_callers.enter_context(RawCaller(bench.guard.port, bench.key)) for path in PATHS}
        for path, caller in callers.items():
            bench.begin(caller, path, phase, "brief")
        bench.closed_promptly(time.monotonic() + BRIEF_SECONDS)
        for path, caller in callers.items():
            got = caller.answer()
            assert (got.status in (200, 504), code(path, got), got.ended) == (True, "deadline", True)
            assert MARKER[:9].encode() not in got.body
    assert bench.endings() == {**before, "error": before["error"] + len(PATHS)}


@pytest.mark.parametrize("phase", PHASES[1:])
@EACH_PATH
def test_a_block_closes_the_request_to_the_model(bench: Bench, path: bytes, phase: str) -> None:
    gate = Gate()
    opening, _, half, other_half = steps(path)
    rest = other_half if phase == PHASES[3] else half + other_half
    bench.upstream.script = sends(*pieces(path, phase), gate, chunk(rest), Gate())
    before = bench.endings()
    with RawCaller(bench.guard.port, bench.key) as caller:
        bench.begin(caller, path, phase)
        assert bench.upstream.busy == 1
        blocked = time.monotonic()
        gate.open()
        bench.closed_promptly(blocked)
        # What had nothing of an answer yet gets a plain error.
        seen = caller.until(CLEAN[path] if phase != PHASES[1] or opening else b'"code":"content_blocked"')
        assert MARKER[9:].encode() not in seen
    assert bench.endings() == {**before, "blocked_output": before["blocked_output"] + 1}


# The same with llama.cpp's own server, by its own count of what it works on.

TRAP: Final = (*(f" tock{number}" for number in range(1, 201)), " FORB", "IDDEN", "-MAR", "KER", " and", " on", LOOP)


@dataclass(frozen=True, slots=True)
class Real:
    """A guard in front of the real server."""

    guard: GuardThread
    server: LlamaServer
    key: str

    def working(self, count: int) -> None:
        """Wait until the server works on so many requests."""
        self.guard.wait_until(lambda: self.server.requests_processing() == count, f"it worked on {count}")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    directory = tmp_path_factory.mktemp("real")
    scripts = {"hello": SCRIPTS["hello"], "endless": SCRIPTS["endless"], "trap": TRAP}
    with LlamaServer(tmp_path_factory.mktemp("llama"), scripts, width=2048) as server:
        models = [
            ModelSpec(upstream=server.url, operations=OPERATIONS),
            ModelSpec("brief", upstream=server.url, operations=OPERATIONS, times={"total_seconds": 1.0}),
        ]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield Real(guard, server, credentials.key)


def script(path: bytes, name: str) -> str:
    """What makes the model speak this script; a raw prompt must name its first token."""
    return f"<|{name}|>" if path == COMPLETIONS else f"script:{name}"


@EACH_PATH
def test_the_real_server_s_slot_is_free_when_the_caller_has_left(real: Real, path: bytes) -> None:
    with RawCaller(real.guard.port, real.key) as caller:
        caller.post(request(path, script(path, "endless"), "demo"), path=path.decode())
        caller.until(b"tick3")
        real.working(1)
    real.working(0)


@EACH_PATH
def test_the_real_server_s_slot_is_free_when_the_model_is_stopped(real: Real, path: bytes) -> None:
    with RawCaller(real.guard.port, real.key) as caller:
        caller.post(request(path, script(path, "endless"), "demo"), path=path.decode())
        caller.until(b"tick3")
        order = real.guard.stop("model:demo")
        real.working(0)
        assert code(path, caller.answer()) == "stopped"
    real.guard.resume(order)


@EACH_PATH
def test_the_real_server_s_slot_is_free_when_its_answer_was_blocked(real: Real, path: bytes) -> None:
    with RawCaller(real.guard.port, real.key) as caller:
        caller.post(request(path, script(path, "trap"), "demo"), path=path.decode())
        seen = caller.until(CLEAN[path])
        assert b"tock20" in seen  # what came in the same read as the marker is withheld with it
        assert b"IDDEN" not in seen
        real.working(0)


def test_the_real_server_s_slots_are_free_after_the_deadline(real: Real) -> None:
    with ExitStack() as open_callers:
        callers = {path: open_callers.enter_context(RawCaller(real.guard.port, real.key)) for path in PATHS}
        for path, caller in callers.items():
            caller.post(request(path, script(path, "endless"), "brief"), path=path.decode())
        for path, caller in callers.items():
            caller.until(b"tick3")
            assert code(path, caller.answer()) == "deadline"
        real.working(0)
