"""A stop asks the model's server to stop generating, over real sockets: once, by the right id, and in nobody's way.

The server is made as SGLang is said to be: it generates on when a connection closes, takes the ``rid`` of a request's
body, and ends whatever has an id that begins with what ``/abort_request`` names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, answer, chunk, text

OPERATIONS = ("chat", "completions", "responses")
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES = [{"role": "user", "content": "hi"}]
PROMPTS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": MESSAGES},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
}


@dataclass
class Engine:
    """What the server computes, by the id that it was given; ``mood`` is how it answers who asks it to stop."""

    generating: dict[str, str] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    mood: str = "obeys"

    async def script(self, peer: Peer, request: Received) -> None:
        """Answer one request."""
        path = request.head.split(b" ", 2)[1].decode()
        if path != "/abort_request":
            self.bodies.append(request.json)
            self.generating[request.json.get("rid", f"without {len(self.bodies)}")] = path
            first = b'data: {"id":"a","object":"text_completion","created":1,"model":"tiny","choices":'
            first += b'[{"index":0,"text":"so far ","finish_reason":null}]}\n\n'
            begun = {CHAT: [chunk(text("so far "))], COMPLETIONS: [chunk(first)]}
            await peer.send(STREAM_HEAD, *begun.get(path, []))
            return await asyncio.sleep(60)
        self.asked.append(request.json)
        if self.mood == "hangs":
            return await asyncio.sleep(60)
        if self.mood == "refuses":
            return await peer.send(answer(b"{}", status="404 Not Found"))
        for rid in [each for each in self.generating if each.startswith(request.json["rid"])]:
            del self.generating[rid]
        return await peer.send(answer(b"null"))


@dataclass(frozen=True)
class Bench:
    """A guard with two models of one engine, the one asked to stop and the other not."""

    guard: GuardThread
    engine: Engine
    upstream: ScriptedUpstream
    key: str

    def begin(self, stack: ExitStack, path: str = CHAT, model: str = "demo", **more: object) -> RawCaller:
        """Ask for a stream, and wait until the engine generates for it."""
        before = len(self.engine.bodies)
        caller = stack.enter_context(RawCaller(self.guard.port, self.key))
        caller.post(json.dumps({"model": model, "stream": True, **PROMPTS[path], **more}).encode(), path=path)
        self.upstream.wait_until(lambda: len(self.engine.bodies) > before)
        return caller

    def aborts(self, result: str) -> float:
        """How many requests to stop generating ended so."""
        return self.guard.call(lambda: self.guard.metric("guard_upstream_aborts_total", "demo", result))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    engine = Engine()
    with ScriptedUpstream(engine.script) as upstream:
        models = [
            ModelSpec(name, upstream=f"{upstream.url}/v1", kind="sglang", operations=OPERATIONS)
            for name in ("demo", "other")
        ]
        credentials = write_configuration(tmp_path, models=models)
        file = tmp_path / "models" / "demo.yaml"
        model = json.loads(file.read_text())
        model["upstream"]["abort"] = {"seconds": 0.5}
        file.write_text(json.dumps(model))
        with GuardThread(tmp_path) as guard:
            yield Bench(guard, engine, upstream, credentials.key)


def test_what_a_stop_cuts_is_not_generated_on_and_everything_else_is(bench: Bench) -> None:
    engine = bench.engine
    with ExitStack() as stack:
        cut = [bench.begin(stack, path) for path in (CHAT, CHAT, COMPLETIONS)]
        bench.begin(stack, CHAT, "other")
        wanted = [each["rid"] for each in engine.bodies[:3]]
        assert all(len(rid) == len(wanted[0]) and rid for rid in wanted)
        assert len(set(wanted)) == 3
        assert "rid" not in engine.bodies[3]
        bench.guard.stop("model:demo")
        assert [caller.answer().code for caller in cut] == ["stopped"] * 3
        bench.upstream.wait_until(lambda: len(engine.generating) == 1)
        assert sorted(each["rid"] for each in engine.asked) == sorted(wanted)
        assert list(engine.generating.values()) == [CHAT]
        bench.guard.wait_until(lambda: bench.aborts("done") == 3.0)


def test_what_the_server_is_told_besides_the_id_is_what_was_inspected(bench: Bench) -> None:
    with ExitStack() as stack:
        bench.begin(stack, temperature=0.5)
        (body,) = bench.engine.bodies
        identity = bench.upstream.requests[0].identity
    assert body == {"rid": identity, "model": "tiny", "messages": MESSAGES, "stream": True, "temperature": 0.5}


def test_several_answers_to_one_request_and_other_dialects_are_not_named_and_not_asked_about(bench: Bench) -> None:
    with ExitStack() as stack:
        callers = [bench.begin(stack, n=2), bench.begin(stack, RESPONSES), bench.begin(stack)]
        assert ["rid" in each for each in bench.engine.bodies] == [False, False, True]
        bench.guard.stop("model:demo")
        for caller in callers:
            assert b"stopped" in caller.answer().body
        bench.guard.wait_until(lambda: bench.aborts("done") == 1.0)
        assert [each["rid"] for each in bench.engine.asked] == [bench.engine.bodies[2]["rid"]]


def test_a_caller_that_leaves_asks_for_nothing(bench: Bench) -> None:
    with ExitStack() as stack:
        bench.begin(stack)
    bench.guard.quiet()
    with ExitStack() as stack:
        caller = bench.begin(stack)
        bench.guard.stop("model:demo")
        assert caller.answer().code == "stopped"
        bench.guard.wait_until(lambda: bench.aborts("done") == 1.0)
    assert [each["rid"] for each in bench.engine.asked] == [bench.engine.bodies[1]["rid"]]


@pytest.mark.parametrize(("mood", "result"), [("hangs", "failed"), ("refuses", "refused")])
def test_a_server_that_does_not_do_it_holds_up_no_stop_and_is_counted(bench: Bench, mood: str, result: str) -> None:
    bench.engine.mood = mood
    with ExitStack() as stack:
        callers = [bench.begin(stack) for _ in range(3)]
        bench.guard.stop("model:demo")
        assert [caller.answer().code for caller in callers] == ["stopped"] * 3
        bench.upstream.wait_until(lambda: len(bench.engine.asked) == 3)
        bench.guard.wait_until(lambda: bench.aborts(result) == 3.0)
        bench.guard.quiet()
    assert bench.aborts("done") == 0.0
