"""Requests that fit the dialects' tables and requests that do not, made by Schemathesis, to the running guard.

The description that it works from is made out of the tables themselves, so a table that takes more than it says, or
less, is found here: what fits is served and forwarded as it was understood; what does not fit is refused in the
dialect's own envelope, forwarded to nobody, and nothing of it is said back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, Response

import guard
from guard.policy.tiers import Operation
from guard.wire.dialect import TOLD, Grants
from guard.wire.routes import ROUTES
from tests.parts.answer_places import COMPLETIONS, MESSAGES, RESPONSES
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.every_dialect import speak
from tests.parts.guard_thread import GuardThread
from tests.parts.openapi import description, opened
from tests.parts.route_tables import KIND
from tests.parts.upstream import ScriptedUpstream, answer, sends

DESCRIPTION: Final = description("demo")
SCHEMA: Final = schemathesis.openapi.from_dict(DESCRIPTION)
OPENED: Final = schemathesis.openapi.from_dict(opened(DESCRIPTION))
WORDS: Final = json.dumps(DESCRIPTION) + "".join(told.sentence for told in TOLD.values())
# Hypothesis draws texts that stand in the project's source: whoever sends "a number" may be told of one.
OUR_OWN: Final = WORDS + "".join(path.read_text() for path in Path(guard.__file__).parent.rglob("*.py"))
PATHS: Final = tuple(path.decode() for path in ROUTES)
BOUNDED: Final = settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a failure is told as it was found: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard with every operation, its upstream, and a caller's key."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str

    def send(self, case: Case[Any]) -> tuple[Response, list[Any]]:
        """Send a case; returns the answer and what was forwarded meanwhile."""
        before = len(self.upstream.requests)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        got = case.call(base_url=self.guard.url, headers=headers, timeout=20)
        return got, [request.json for request in self.upstream.requests[before:]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("openapi")
    with ScriptedUpstream(speak) as upstream:
        spec = ModelSpec(upstream=upstream.url, kind=KIND, operations=tuple(each.value for each in Operation))
        credentials = write_configuration(directory, models=[spec])
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key)


def whole_numbers(value: Any) -> Any:
    """The same with ``3`` for ``3.0``, which are one number in JSON Schema and two in the tables."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: whole_numbers(each) for key, each in value.items()}
    return [whole_numbers(each) for each in value] if isinstance(value, list) else value


def understood(value: Any) -> Any:
    """What is sent on of a body: what is null was not given, and nothing depends on a mark for caches."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if each is not None and key != "cache_control"}
        return {key: understood(each) for key, each in kept.items()}
    return [understood(each) for each in value] if isinstance(value, list) else value


def strings(value: Any) -> Iterator[str]:
    """Every string in a body, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def uninspected(path: str, body: Any) -> list[str]:
    """The strings of a request that go on and stand in none of its passages, the tables' own words apart."""
    read = ROUTES[path.encode()].read_request(body, Grants(KIND))
    texts = [passage.text for passage in read.passages]
    return [each for each in strings(read.fields) if each not in WORDS and not any(each in text for text in texts)]


def error_code(path: str, got: Response) -> str:
    """The code of a refusal; it is in the envelope of the route's dialect, names the request, and says nothing back."""
    identity = got.headers["x-request-id"][0]
    envelope = got.json()
    error = envelope["error"]
    if path.startswith(MESSAGES.decode()):
        assert (set(envelope), envelope["type"]) == ({"type", "error", "request_id"}, "error")
        assert set(error) == {"type", "message", "details"}
        assert envelope["request_id"] == identity
        return str(error["details"]["error_code"])
    assert set(envelope) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert identity in error["message"]
    return str(error["code"])


def says_nothing_back(case: Case[Any], got: Response) -> None:
    """No text of the caller's stands in what is said, apart from words that are our own."""
    said = got.json()["error"]["message"].replace(got.headers["x-request-id"][0], "")
    if isinstance(case.body, bytes):
        texts: Iterator[str] = iter((case.body.decode(errors="replace"),))
    else:
        texts = strings(case.body)
    echoed = [text for text in texts if len(text) > 3 and text in said and text not in OUR_OWN]
    assert echoed == []


@pytest.mark.parametrize("path", PATHS)
def test_what_fits_the_table_is_served_and_forwarded_as_it_was_understood(bench: Bench, path: str) -> None:
    @BOUNDED
    @given(SCHEMA[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def holds(case: Case[Any]) -> None:
        case.body = whole_numbers(case.body)
        got, forwarded = bench.send(case)
        if path == COMPLETIONS.decode() and got.status_code == 400:
            assert got.json()["error"]["param"] == "n"  # prompts times n: what no schema says
            assert forwarded == []
            return
        assert got.status_code == 200, got.content
        stored = {"store": False} if path == RESPONSES.decode() else {}
        assert forwarded == [{**understood(case.body), **stored, "model": "tiny"}]
        assert uninspected(path, case.body) == []
        streamed = bool(forwarded[0].get("stream"))
        kind = "text/event-stream; charset=utf-8" if streamed else "application/json"
        assert got.headers["content-type"] == [kind]
        assert got.headers["x-request-id"]

    bench.upstream.script = speak
    holds()


@pytest.mark.parametrize("path", PATHS)
def test_what_does_not_fit_is_refused_and_forwarded_to_nobody(bench: Bench, path: str) -> None:
    @BOUNDED
    @given(OPENED[path]["POST"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def holds(case: Case[Any]) -> None:
        got, forwarded = bench.send(case)
        assert forwarded == []
        code = error_code(path, got)
        assert (got.status_code, code) in {(400, "bad_request"), (404, "unknown_model")}, (case.body, got.content)
        says_nothing_back(case, got)

    bench.upstream.script = speak
    holds()


@pytest.mark.parametrize("path", PATHS)
def test_what_fits_and_meets_a_broken_upstream_gets_the_error_of_that(bench: Bench, path: str) -> None:
    @settings(BOUNDED, max_examples=5)
    @given(SCHEMA[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def holds(case: Case[Any]) -> None:
        case.body = whole_numbers(case.body)
        got, _ = bench.send(case)
        assert (got.status_code, error_code(path, got)) in {(502, "upstream_failed"), (400, "bad_request")}
        assert b"inside-words" not in got.content
        says_nothing_back(case, got)

    bench.upstream.script = sends(answer(b'{"error":"inside-words"}', status="500 Internal Server Error"))
    holds()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_not_allowed(bench: Bench, path: str, method: Any) -> None:
    case = SCHEMA[path]["POST"].Case(method=method, body={"model": "demo"}, media_type="application/json")
    got, forwarded = bench.send(case)
    assert (got.status_code, forwarded) == (405, [])
    assert got.headers["x-request-id"]
    if method != "HEAD":
        assert error_code(path, got) == "method_not_allowed"
