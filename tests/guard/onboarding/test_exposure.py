"""Which routes are open, and that none is called to find out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from guard.onboarding.asking import Asking, Probe
from guard.onboarding.exposure import Standing, expose, judge
from guard.onboarding.routes import TABLE, Danger
from guard.policy.model import ServerKind
from tests.parts.inference_servers import SERVERS, methods, played
from tests.parts.llama import LlamaServer
from tests.parts.upstream import ScriptedUpstream, answer, sends

OPEN, REFUSED, ABSENT, UNKNOWN = Standing.OPEN, Standing.REFUSED, Standing.ABSENT, Standing.UNKNOWN


def look(url: str, kind: ServerKind) -> Mapping[str, Standing]:
    async def looked() -> Mapping[str, Standing]:
        async with Asking(url, seconds=5) as asking:
            return {path: state for each in await expose(asking, TABLE[kind]) for path, state in each.standings}

    return asyncio.run(looked())


def test_the_real_llama_servers_open_routes_are_found(tmp_path: Path) -> None:
    with LlamaServer(tmp_path) as llama:
        found = look(llama.url, ServerKind.LLAMACPP)
        processing = llama.requests_processing()
    opened = {path for path, state in found.items() if state is OPEN}
    assert opened >= {"/slots", "/props", "/lora-adapters", "/metrics", "/tokenize", "/detokenize", "/apply-template"}
    assert found["/tools"] is REFUSED  # it is not switched on
    assert found["/completion"] is UNKNOWN
    assert processing == 0


@pytest.mark.parametrize(
    ("kind", "opened"),
    [
        (
            ServerKind.VLLM,
            {"/v1/completions", "/invocations", "/v1/load_lora_adapter", "/collective_rpc", "/tokenize", "/metrics"},
        ),
        (
            ServerKind.SGLANG,
            {
                *("/generate", "/health_generate", "/update_weights_from_disk", "/flush_cache", "/abort_request"),
                *("/open_session", "/server_info"),
            },
        ),
        (ServerKind.TGI, {"/", "/generate", "/generate_stream", "/info", "/chat_tokenize"}),
        (ServerKind.OLLAMA, {"/api/chat", "/api/pull", "/api/delete", "/api/tags"}),
        (ServerKind.OPENAI, set[str]()),
    ],
)
def test_what_is_there_is_open_what_is_not_is_absent_and_nothing_that_acts_is_called(
    kind: ServerKind, opened: set[str]
) -> None:
    with ScriptedUpstream(played(kind)) as upstream:
        found = look(upstream.url, kind)
        asked = methods(upstream.requests)
    assert {path for path, state in found.items() if state is OPEN} == opened
    assert {state for path, state in found.items() if path not in opened} == {ABSENT}
    acting = {*SERVERS[kind][1], "/flush_cache", "/health", "/health_generate"}
    assert {method for method, path in asked if path in acting} <= {"PROPFIND"}
    assert {method for method, _ in asked} <= {"GET", "PROPFIND"}


def test_a_key_that_covers_a_part_shows_the_rest_as_open() -> None:
    with ScriptedUpstream(played(ServerKind.VLLM, key="k", guarded=("/v1", "/inference"))) as upstream:
        found = look(upstream.url, ServerKind.VLLM)
    assert (found["/tokenize"], found["/invocations"], found["/collective_rpc"]) == (OPEN, OPEN, OPEN)
    assert (found["/v1/completions"], found["/v1/load_lora_adapter"]) == (REFUSED, REFUSED)


def test_a_key_that_covers_everything_shows_nothing_as_open() -> None:
    with ScriptedUpstream(played(ServerKind.SGLANG, key="k")) as upstream:
        assert set(look(upstream.url, ServerKind.SGLANG).values()) == {REFUSED}


@pytest.mark.parametrize("status", ["200 OK", "405 Method Not Allowed", "302 Found", "500 Internal Server Error"])
def test_a_server_that_answers_for_everything_tells_nothing(status: str) -> None:
    with ScriptedUpstream(sends(answer(b"{}", status=status))) as upstream:
        assert set(look(upstream.url, ServerKind.VLLM).values()) == {UNKNOWN}
        assert {path for _, path in methods(upstream.requests)} == {"/guard-init-no-such-route"}


def test_a_server_that_answers_nothing_tells_nothing() -> None:
    with ScriptedUpstream(sends(close=True)) as upstream:
        assert set(look(upstream.url, ServerKind.TGI).values()) == {UNKNOWN}


def test_when_the_time_is_over_the_rest_could_not_be_told() -> None:
    moments = iter([0.0, 0.0, 0.0, 99.0, 99.0])
    danger = Danger("x", "y", Probe.GET, ("/metrics", "/a", "/b"))

    async def looked(url: str) -> list[Standing]:
        async with Asking(url) as asking:
            found = await expose(asking, [danger], seconds=10, monotonic=lambda: next(moments))
            return [state for _, state in found[0].standings]

    with ScriptedUpstream(played(ServerKind.VLLM)) as upstream:
        assert asyncio.run(looked(upstream.url)) == [OPEN, UNKNOWN, UNKNOWN]
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("status", "standing"),
    [(200, OPEN), (400, OPEN), (405, OPEN), (422, OPEN), (401, REFUSED), (403, REFUSED), (404, ABSENT), (501, ABSENT)]
    + [(status, UNKNOWN) for status in (0, 301, 307, 408, 429, 500, 502, 503)],
)
def test_a_status_is_judged(status: int, standing: Standing) -> None:
    assert judge(status) is standing


@contextmanager
def starlette_server(called: list[str]) -> Iterator[str]:
    """The web framework of vLLM and SGLang on their server, with routes that note when they are called."""

    async def act(request: Request) -> Response:
        called.append(f"{request.method} {request.url.path}")
        return Response()

    app = Starlette(
        routes=[
            Route("/tokenize", act, methods=["POST"]),
            Route("/sleep", act, methods=["POST"]),
            Route("/collective_rpc", act, methods=["GET", "POST"]),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", http="httptools"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def test_the_real_web_framework_of_vllm_and_sglang_tells_routes_from_none_without_calling_one() -> None:
    called: list[str] = []
    with starlette_server(called) as url:
        found = look(url, ServerKind.VLLM)
    assert {path for path, state in found.items() if state is OPEN} == {"/tokenize", "/sleep", "/collective_rpc"}
    assert {state for state in found.values() if state is not OPEN} == {ABSENT}
    assert called == []
