"""llama.cpp's own server behind the guard: texts arrive whole, the marker never does, an ended stream frees its slot.

Only streams: this server does not look whether a caller of a whole answer is still there, and computes on to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest

from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.llama import LlamaServer
from tests.parts.raw_caller import RawCaller
from tests.parts.scripted_model import SCRIPTS, script_text


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard in front of the real server."""

    guard: GuardThread
    server: LlamaServer
    credentials: Credentials

    def sdk(self) -> openai.OpenAI:
        """The official client."""
        return openai.OpenAI(base_url=f"{self.guard.url}/v1", api_key=self.credentials.key)

    def idle(self) -> None:
        """Wait until the server works on nothing, by its own count."""
        self.guard.wait_until(lambda: self.server.requests_processing() == 0, "the server's slots were free")

    def busy(self) -> None:
        """Wait until the server works on one request, by its own count."""
        self.guard.wait_until(lambda: self.server.requests_processing() == 1, "the server was working")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("real")
    with LlamaServer(tmp_path_factory.mktemp("llama"), width=2048) as server:
        credentials = write_configuration(directory, models=[ModelSpec(asl=2, upstream=server.url)])
        with GuardThread(directory) as guard:
            yield Bench(guard, server, credentials)


def user(script: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": f"script:{script}"}]


@pytest.mark.parametrize("script", ["hello", "unicode", "long"])
def test_a_script_arrives_whole_in_both_forms(bench: Bench, script: str) -> None:
    expected = script_text(SCRIPTS[script])
    with bench.sdk() as sdk:
        whole = sdk.chat.completions.create(model="demo", messages=user(script))
        assert whole.choices[0].message.content == expected
        assert whole.choices[0].finish_reason == "stop"
        with sdk.chat.completions.create(model="demo", messages=user(script), stream=True) as stream:
            chunks = [choice for each in stream for choice in each.choices]
    assert "".join(choice.delta.content or "" for choice in chunks) == expected
    assert chunks[-1].finish_reason == "stop"


def test_the_marker_never_reaches_the_caller(bench: Bench) -> None:
    # How much came in the same read as the marker is the server's timing: a block withholds the whole read. If that is
    # all of it, the answer is a plain refusal, and another is asked for.
    for _ in range(20):
        with RawCaller(bench.guard.port, bench.credentials.key) as caller:
            caller.ask("script:marker")
            got = caller.answer()
        if got.status == 200:
            break
    assert "The weather is fine: ".startswith(got.texts)
    assert b'"finish_reason":"content_filter"' in got.events[-2]
    assert not any(MARKER[:length].encode() in got.body for length in range(5, len(MARKER)))
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask("script:marker", stream=False)
        got = caller.answer()
    assert (got.status, got.code) == (403, "content_blocked")
    assert b"weather" not in got.body
    bench.idle()


def test_a_caller_that_leaves_frees_the_servers_slot(bench: Bench) -> None:
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask("script:endless")
        caller.until(b"tick3")
        bench.busy()
    bench.idle()


def test_a_stop_frees_the_servers_slot(bench: Bench) -> None:
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask("script:endless")
        caller.until(b"tick3")
        bench.busy()
        order = bench.guard.stop("model:demo")
        bench.idle()
        assert caller.answer().code == "stopped"
    bench.guard.resume(order)


def test_a_prompt_that_is_blocked_never_reaches_the_server(bench: Bench) -> None:
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.ask(f"script:endless {MARKER}")
        assert caller.answer().code == "content_blocked"
    assert bench.server.requests_processing() == 0
