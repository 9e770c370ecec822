"""The official OpenAI SDK with only its URL and key changed: what it sees at each ending, as one table.

One file, because it is one table and the four ways to read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.parts.configuration import MARKER, Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    Peer,
    Received,
    Script,
    ScriptedUpstream,
    chunk,
    says,
    sends,
    stream_body,
    text,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard in front of a scripted upstream, with a model at its floor (demo) and one below it (low)."""

    guard: GuardThread
    upstream: ScriptedUpstream
    credentials: Credentials


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("sdk")
    with ScriptedUpstream(says("Hello", " there", ", caller")) as upstream:
        models = [ModelSpec(upstream=upstream.url), ModelSpec("low", upstream=upstream.url, claims=())]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller of the SDK got: texts and finish reasons by choice, or how the SDK raised it."""

    text: str = ""
    finish: str | None = None
    error: type[openai.APIError] | None = None
    status: int | None = None
    code: str | None = None
    param: str | None = None
    attempts: int = 1


Scripted = Callable[[Gate], Script]


def hi(_: Gate) -> Script:
    """Greet."""
    return says("Hello", " there", ", caller")


def halting(first: str, *rest: str, fail: bool = False) -> Scripted:
    """Send a first text, and the rest of the stream once the caller has it: else all could come in one batch."""

    def scripted(gate: Gate) -> Script:
        whole = says(first, *rest)
        after = b"" if fail else chunk(stream_body(*rest)) + LAST_CHUNK
        streamed = sends(STREAM_HEAD, chunk(text(first)), gate, after, close=fail)

        async def script(peer: Peer, request: Received) -> None:
            if not request.streamed and fail:
                peer.writer.close()
                return
            await (streamed if request.streamed else whole)(peer, request)

        return script

    return scripted


@dataclass(frozen=True, slots=True)
class Case:
    """One ending: what is asked, what the upstream does, and what is seen, whole and streamed."""

    name: str
    whole: Seen
    streamed: Seen
    prompt: str = "hello"
    model: str = "demo"
    key: str = "key"
    script: Scripted = hi
    stopped: bool = False
    fields: tuple[tuple[str, Any], ...] = ()


def refused(
    name: str, error: type[openai.APIError], status: int, code: str, *, param: str | None = None, **arranged: Any
) -> Case:
    """Nothing had been sent: both forms see the same."""
    seen = Seen(error=error, status=status, code=code, param=param)
    return Case(name, seen, seen, **arranged)


HELLO = Seen("Hello there, caller", "stop")
CASES = (
    Case("allowed", HELLO, HELLO),
    refused("prompt blocked", openai.PermissionDeniedError, 403, "content_blocked", prompt=f"say {MARKER}"),
    Case(
        "answer blocked",
        Seen(error=openai.PermissionDeniedError, status=403, code="content_blocked"),
        Seen("It begins well, ", "content_filter"),
        script=halting("It begins well, ", "and then FORBIDDEN", "-MARKER", " and more"),
    ),
    refused("stopped before", openai.InternalServerError, 503, "stopped", stopped=True),
    refused("unknown model", openai.NotFoundError, 404, "unknown_model", model="nobody"),
    refused("below its floor", openai.InternalServerError, 503, "not_routable", model="low"),
    refused("no such key", openai.AuthenticationError, 401, "unauthenticated", key="sk-guard-nobody-nothing"),
    refused("an expired key", openai.AuthenticationError, 401, "key_expired", key="lapsed"),
    refused("a tier without the model", openai.PermissionDeniedError, 403, "access_denied", key="stranger"),
    refused(
        "a field of the wrong type",
        openai.BadRequestError,
        400,
        "bad_request",
        param="temperature",
        fields=(("temperature", "hot"),),
    ),
    refused(
        "a field that is not known",
        openai.BadRequestError,
        400,
        "bad_request",
        param="steer",
        fields=(("steer", "left"),),
    ),
    refused(
        "the upstream fails before it answers",
        openai.InternalServerError,
        502,
        "upstream_failed",
        script=lambda _: sends(close=True),
    ),
    Case(
        "the upstream fails in the middle",
        Seen(error=openai.InternalServerError, status=502, code="upstream_failed"),
        Seen("It begins well", error=openai.APIError, code="upstream_failed"),
        script=halting("It begins well", fail=True),
    ),
)


def ask(bench: Bench, case: Case, gate: Gate, *, streamed: bool) -> dict[str, Any]:
    """Arrange a case, whose stream goes on once the gate is open; returns what is asked of the SDK."""
    bench.upstream.script = case.script(gate)
    return {
        "model": case.model,
        "messages": [{"role": "user", "content": case.prompt}],
        "stream": streamed,
        "extra_body": dict(case.fields),
    }


def key_of(bench: Bench, case: Case) -> str:
    return getattr(bench.credentials, case.key, case.key)


def client(bench: Bench, case: Case) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{bench.guard.url}/v1", api_key=key_of(bench, case))


def taken(chunks: list[ChatCompletionChunk]) -> Seen:
    """What a stream brought in all."""
    choices = [choice for each in chunks for choice in each.choices]
    finishes = [choice.finish_reason for choice in choices if choice.finish_reason]
    assert len(finishes) <= 1
    return Seen("".join(choice.delta.content or "" for choice in choices), finishes[0] if finishes else None)


def raised(seen: Seen, problem: openai.APIError) -> Seen:
    status = problem.status_code if isinstance(problem, openai.APIStatusError) else None
    return replace(seen, error=type(problem), status=status, code=problem.code, param=problem.param)


def attempts(bench: Bench, before: float) -> int:
    """How many requests reached the guard; an upstream's failure is not retried by the SDK."""
    bench.guard.quiet()
    return int(bench.guard.call(lambda: seen_by(bench)) - before)


def seen_by(bench: Bench) -> float:
    return bench.guard.metric("guard_requests_total") + bench.guard.metric("guard_refusals_total")


@pytest.fixture
def case(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Case]:
    case: Case = request.param
    if not case.stopped:
        yield case
        return
    order = bench.guard.stop("model:demo")
    yield case
    bench.guard.resume(order)


ALL = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES], indirect=True)


def sync_whole(bench: Bench, case: Case) -> Seen:
    with client(bench, case) as sdk:
        try:
            answer = sdk.chat.completions.create(**ask(bench, case, Gate(), streamed=False))
        except openai.APIError as problem:
            return raised(Seen(), problem)
        return Seen(answer.choices[0].message.content, answer.choices[0].finish_reason)


def sync_streamed(bench: Bench, case: Case) -> Seen:
    chunks: list[ChatCompletionChunk] = []
    gate = Gate()
    with client(bench, case) as sdk:
        try:
            with sdk.chat.completions.create(**ask(bench, case, gate, streamed=True)) as stream:
                for each in stream:
                    chunks.append(each)
                    gate.open()
        except openai.APIError as problem:
            return raised(taken(chunks), problem)
    return taken(chunks)


async def async_seen(bench: Bench, case: Case, *, streamed: bool) -> Seen:
    chunks: list[ChatCompletionChunk] = []
    gate = Gate()
    async with openai.AsyncOpenAI(base_url=f"{bench.guard.url}/v1", api_key=key_of(bench, case)) as sdk:
        try:
            answer = await sdk.chat.completions.create(**ask(bench, case, gate, streamed=streamed))
            if not streamed:
                return Seen(answer.choices[0].message.content, answer.choices[0].finish_reason)
            async with answer:
                async for each in answer:
                    chunks.append(each)
                    gate.open()
        except openai.APIError as problem:
            return raised(taken(chunks), problem)
    return taken(chunks)


@ALL
def test_a_caller_of_the_sdk_sees_this_ending(bench: Bench, case: Case) -> None:
    ways: tuple[tuple[Callable[[], Seen], Seen], ...] = (
        (lambda: sync_whole(bench, case), case.whole),
        (lambda: sync_streamed(bench, case), case.streamed),
        (lambda: asyncio.run(async_seen(bench, case, streamed=False)), case.whole),
        (lambda: asyncio.run(async_seen(bench, case, streamed=True)), case.streamed),
    )
    for way, expected in ways:
        before = bench.guard.call(lambda: seen_by(bench))
        seen = way()
        assert replace(seen, attempts=attempts(bench, before)) == expected


def test_a_stream_that_is_stopped_raises_with_the_guards_code_and_its_text_is_kept(bench: Bench) -> None:
    case = Case("", HELLO, HELLO, script=lambda gate: sends(STREAM_HEAD, chunk(text("tick "), text("tock ")), gate))
    chunks: list[ChatCompletionChunk] = []
    gate = Gate()
    with client(bench, case) as sdk:
        stream = sdk.chat.completions.create(**ask(bench, case, gate, streamed=True))
        with stream, pytest.raises(openai.APIError) as caught:  # noqa: PT012 - the stop comes in the middle
            for each in stream:
                chunks.append(each)
                if len(chunks) == 2:
                    order = bench.guard.stop("model:demo")
    gate.open()
    bench.guard.resume(order)
    assert taken(chunks) == Seen("tick tock ")
    assert (type(caught.value), caught.value.code) == (openai.APIError, "stopped")


def test_a_caller_over_its_rate_is_told_when_to_come_again(bench: Bench) -> None:
    case = Case("", HELLO, HELLO, key="slow")
    asked = ask(bench, case, Gate(), streamed=False)
    with client(bench, case).with_options(max_retries=0) as sdk:
        sdk.chat.completions.create(**asked)
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat.completions.create(**asked)
    assert caught.value.code == "rate_limited"
    assert 3590 <= int(caught.value.response.headers["retry-after"]) <= 3601
    assert caught.value.response.headers["x-should-retry"] == "false"  # an hour is not for an SDK to sleep through


def test_every_answer_carries_the_id_under_which_it_is_recorded(bench: Bench) -> None:
    case = Case("", HELLO, HELLO)
    with client(bench, case) as sdk:
        answer = sdk.chat.completions.with_raw_response.create(**ask(bench, case, Gate(), streamed=False))
    request = answer.headers["x-request-id"]
    assert answer.parse().id == f"chatcmpl-{request}"
    found = bench.guard.found(request)
    assert found.intent is not None
    assert found.outcome is not None
    assert bench.upstream.requests[-1].identity == request
