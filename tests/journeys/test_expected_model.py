"""An upstream that must name its model, and lies: in every dialect, streamed and whole, what it says is withheld."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from guard.policy.tiers import Operation
from guard.wire.routes import ROUTES
from tests.parts.answer_places import (
    CHAT,
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    encode,
    everything,
    everything_whole,
)
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.llama import LlamaServer
from tests.parts.model_names import GONE, REQUESTS, SERVED, STREAMED, naming, places
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, answer, chunk, sends

WRONG: Final = pytest.mark.parametrize("wrong", ["another", GONE], ids=["another", "none"])
EXPECTING: Final = tuple(each for each in Operation if each is not Operation.COUNT_TOKENS)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard that expects `served` in every answer of an upstream that is told what to say."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str

    def ask(self, path: bytes, *pieces: bytes | Gate, streamed: bool) -> tuple[int, bytes]:
        """Send a request and read the whole answer."""
        self.upstream.script = sends(*pieces)
        link = http.client.HTTPConnection("127.0.0.1", self.guard.port, timeout=30)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        body = {"model": "demo", **REQUESTS[path], **({"stream": True} if streamed else {})}
        link.request("POST", path.decode(), json.dumps(body), headers)
        with link.getresponse() as response:
            found = response.status, response.read()
        link.close()
        return found

    def streams(self, path: bytes, events: list[Any]) -> tuple[int, bytes]:
        """Let the upstream stream these events, each in a chunk of its own."""
        return self.ask(path, STREAM_HEAD, *(chunk(encode(path, event)) for event in events), LAST_CHUNK, streamed=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("expecting")
    with ScriptedUpstream(sends()) as upstream:
        operations = tuple(each.value for each in EXPECTING)
        credentials = write_configuration(directory, models=[ModelSpec(upstream=upstream.url, operations=operations)])
        expect(directory)
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key)


def expect(directory: Path, name: str = SERVED) -> None:
    """Let the model's file expect this name."""
    file = directory / "models" / "demo.yaml"
    content = json.loads(file.read_text())
    content["upstream"]["expect_model"] = name
    file.write_text(json.dumps(content, indent=1))


@pytest.mark.parametrize("path", REQUESTS)
def test_an_answer_of_the_model_that_is_expected_is_passed_on(bench: Bench, path: bytes) -> None:
    status, body = bench.ask(path, answer(json.dumps(naming(everything_whole(path))).encode()), streamed=False)
    assert (status, b"served" in body) == (200, False)
    if path in STREAMED:
        status, body = bench.streams(path, naming(everything(path)))
        assert (status, b"served" in body, b"error" in body.replace(b'"error":null', b"")) == (200, False, False)


@WRONG
@pytest.mark.parametrize("path", REQUESTS)
def test_a_whole_answer_of_another_or_of_none_is_withheld(bench: Bench, path: bytes, wrong: object) -> None:
    body = naming(everything_whole(path), wrong, 0)
    status, got = bench.ask(path, answer(json.dumps(body).encode()), streamed=False)
    assert status == 502
    assert json.loads(got)["error"]["message"].startswith("The model's server failed.")


@WRONG
@pytest.mark.parametrize("path", STREAMED)
def test_a_stream_that_begins_with_another_or_with_none_is_a_plain_error(
    bench: Bench, path: bytes, wrong: object
) -> None:
    status, got = bench.streams(path, naming(everything(path), wrong, 0))
    assert status == 502
    assert json.loads(got)["error"]["message"].startswith("The model's server failed.")


@WRONG
@pytest.mark.parametrize("path", [path for path in STREAMED if sum(1 for _ in places(everything(path))) > 1])
def test_a_stream_that_names_another_or_none_later_fails_there(bench: Bench, path: bytes, wrong: object) -> None:
    honest = naming(everything(path))
    last = sum(1 for _ in places(honest)) - 1
    lying = naming(everything(path), wrong, last)
    _, whole = bench.streams(path, honest)
    status, got = bench.streams(path, lying)
    assert status in {200, 502}  # what comes in one read with the lie is not released
    assert b"upstream_failed" in got
    assert b"[DONE]" not in got
    assert b"response.completed" not in got
    assert b"response.incomplete" not in got
    assert len(got) < len(whole)


@pytest.mark.parametrize("streamed", [False, True])
def test_llama_cpp_names_its_model_but_where_it_streams_a_response(tmp_path: Path, streamed: bool) -> None:
    operations = ("chat", "completions", "responses", "messages")
    with LlamaServer(tmp_path) as server:
        credentials = write_configuration(
            tmp_path / "config", models=[ModelSpec(upstream=server.url, operations=operations)]
        )
        expect(tmp_path / "config", "tiny")
        with GuardThread(tmp_path / "config") as guard:
            headers = {"authorization": f"Bearer {credentials.key}"}
            for path in (CHAT, COMPLETIONS, RESPONSES, MESSAGES):
                asked = {key: value for key, value in REQUESTS[path].items() if key != "n"}
                body = {"model": "demo", **asked, **({"stream": True} if streamed else {})}
                got = httpx.post(guard.url + path.decode(), json=body, headers=headers, timeout=60)
                # Its streamed responses name the model only at their end, when their text would have left.
                assert got.status_code == (502 if streamed and path == RESPONSES else 200), (path, got.text)


def test_every_operation_is_here_or_is_refused() -> None:
    named = {dialect.operation for dialect in ROUTES.values() if dialect.names_model}
    assert named == {each.value for each in EXPECTING}
