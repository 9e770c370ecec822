"""Input of each wrong kind: an error in OpenAI's envelope that names the field; nothing forwarded, nothing echoed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

ECHO = "words-of-the-caller"
GOOD: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": ECHO}]}


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard that takes bodies of at most 4,096 bytes, within half a second."""

    guard: GuardThread
    upstream: ScriptedUpstream
    credentials: Credentials


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("bad")
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(
            directory,
            models=[ModelSpec(upstream=upstream.url), ModelSpec("elsewhere", surfaces=("internal",))],
            limits={"body_bytes": 4096, "body_seconds": 0.5},
            surfaces={"internal": 0},
        )
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials)


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is wrong in one way, and what is said about it; ``param`` is the field that is named."""

    name: str
    status: int
    code: str
    param: str | None = None
    body: object = None
    raw: bytes | None = None
    headers: tuple[str, ...] = ()
    path: str = "/v1/chat/completions"
    method: str = "POST"
    key: str = ""


def field(name: str, param: str, **changes: Any) -> Case:
    return Case(name, 400, "bad_request", param, {**GOOD, **changes})


def message(name: str, param: str, *messages: Any) -> Case:
    return field(name, param, messages=list(messages))


USER = {"role": "user", "content": ECHO}
JSON = "content-type: application/json"
CASES = (
    Case("an unknown route", 404, "unknown_route", path=f"/v1/{ECHO}"),
    Case("a route that would be the same once normalised", 404, "unknown_route", path="/v1//chat/completions"),
    Case("a route with an encoded letter", 404, "unknown_route", path="/v1/chat/%63ompletions"),
    Case("a route in capitals", 404, "unknown_route", path="/V1/chat/completions"),
    Case("a route with a slash at its end", 404, "unknown_route", path="/v1/chat/completions/"),
    Case("the wrong method", 405, "method_not_allowed", method="PUT"),
    Case("a query", 400, "bad_request", "query", path=f"/v1/chat/completions?{ECHO}=1"),
    Case("no content type", 400, "bad_request", "content-type", headers=("x-nothing: 1",)),
    Case("another content type", 400, "bad_request", "content-type", headers=("content-type: text/plain",)),
    Case("another charset", 400, "bad_request", "content-type", headers=(f"{JSON}; charset=utf-7",)),
    Case("a form", 400, "bad_request", "content-type", headers=("content-type: multipart/form-data; boundary=x",)),
    Case("two content types", 400, "bad_request", "content-type", headers=(JSON, JSON)),
    Case("a compressed body", 400, "bad_request", "content-encoding", headers=(JSON, "content-encoding: gzip")),
    Case("a body too large", 413, "too_large", raw=b" " * 5000),
    Case("an empty body", 400, "bad_request", raw=b""),
    Case("not JSON", 400, "bad_request", raw=ECHO.encode()),
    Case("a list", 400, "bad_request", body=[ECHO]),
    Case("not UTF-8", 400, "bad_request", raw=b'{"model": "demo\xff"}'),
    Case("a key twice", 400, "bad_request", raw=b'{"model": "demo", "model": "%s"}' % ECHO.encode()),
    Case("too deep", 400, "bad_request", "a", raw=b'{"model":"demo","a":' + b'{"a":' * 500 + b"1" + b"}" * 501),
    Case(
        "half a surrogate", 400, "bad_request", raw=b'{"model":"demo","messages":[{"role":"user","content":"\\ud800"}]}'
    ),
    Case("no key", 401, "unauthenticated", key="?"),
    Case("an unknown key", 401, "unauthenticated", key=f"sk-guard-{ECHO}"),
    Case("two keys", 401, "unauthenticated", headers=(JSON, "authorization: Bearer sk-guard-aaaaaaaaaaaaa")),
    Case("an unknown model", 404, "unknown_model", body={**GOOD, "model": ECHO}),
    Case("a model in another case", 404, "unknown_model", body={**GOOD, "model": "Demo"}),
    Case("a model of another surface", 404, "unknown_model", body={**GOOD, "model": "elsewhere"}),
    Case("no model", 400, "bad_request", "model", {"messages": [USER]}),
    Case("no messages", 400, "bad_request", "messages", {"model": "demo"}),
    field("a model that is no text", "model", model=7),
    field("an unknown field", "prompt_logits", prompt_logits=ECHO),
    field("a field that is not offered", "logprobs", logprobs=True),
    field("a number out of bounds", "n", n=1000),
    field("a number that is a text", "max_tokens", max_tokens=ECHO),
    field("no message at all", "messages", messages=[]),
    message("an unknown role", "messages[0].role", {"role": ECHO, "content": ECHO}),
    message("an unknown key of a message", "messages[1].extra", USER, {**USER, "extra": ECHO}),
    message("an image", "messages[0].content[0].type", {"role": "user", "content": [{"type": "image_url"}]}),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_is_named_and_neither_forwarded_nor_echoed(bench: Bench, case: Case) -> None:
    before = len(bench.upstream.requests)
    body = case.raw if case.raw is not None else json.dumps(case.body or GOOD).encode()
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        caller.post(body, *case.headers, path=case.path, method=case.method, key=case.key)
        got = caller.answer()
    error = got.json["error"]
    assert (got.status, error["code"], error["param"]) == (case.status, case.code, case.param)
    assert set(error) == {"message", "type", "param", "code"}
    assert got.headers["x-request-id"] in error["message"]
    assert got.headers["x-should-retry"] == "false"
    assert got.headers["content-type"] == "application/json"
    assert ECHO.encode() not in got.body
    assert (got.ended, got.closed) == (True, True)
    assert len(bench.upstream.requests) == before


def test_a_body_that_does_not_arrive_in_time_is_refused(bench: Bench) -> None:
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {bench.credentials.key}\r\n"
        caller.socket.sendall(f"{head}{JSON}\r\ncontent-length: 100\r\n\r\n{{".encode())
        got = caller.answer()
    assert (got.status, got.json["error"]["param"], got.closed) == (400, "body", True)


def test_a_caller_that_leaves_within_its_body_leaves_nothing_behind(bench: Bench) -> None:
    before = bench.guard.metric("guard_refusals_total", "caller_gone")
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {bench.credentials.key}\r\n"
        caller.socket.sendall(f"{head}{JSON}\r\ncontent-length: 100\r\n\r\n{{".encode())
    bench.guard.wait_until(lambda: bench.guard.metric("guard_refusals_total", "caller_gone") == before + 1)
    assert bench.guard.worker.live.arriving == 0


def test_headers_that_would_steer_are_not_forwarded(bench: Bench) -> None:
    with RawCaller(bench.guard.port, bench.credentials.key) as caller:
        steering = ("x-http-method-override: DELETE", "openai-organization: other", f"x-model: {ECHO}", "cookie: a=b")
        caller.post(json.dumps(GOOD).encode(), JSON, *steering)
        assert caller.answer().status == 200
    head = bench.upstream.requests[-1].head.decode()
    names = [line.partition(":")[0] for line in head.split("\r\n")[1:] if line]
    assert names == [
        *("host", "content-type", "accept-encoding", "user-agent"),
        *("accept", "content-length", "x-request-id"),
    ]
    assert bench.upstream.requests[-1].json == {**GOOD, "model": "tiny"}


def test_a_model_of_another_surface_is_served_there(bench: Bench) -> None:
    with RawCaller(bench.guard.ports["internal"], bench.credentials.key) as caller:
        caller.ask(model="demo")
        assert caller.answer().status == 404
        # its upstream is not there, which is known only after it was found
    with RawCaller(bench.guard.ports["internal"], bench.credentials.key) as caller:
        caller.ask(model="elsewhere")
        assert caller.answer().code == "upstream_failed"
