"""Every failure on the way has one code, and its reason holds nothing of what the upstream said."""

from __future__ import annotations

import asyncio

import pytest

from guard.ending import map_failure, map_status
from guard.refusal import Ended
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.wire.sse import BadStream
from safeguards.decision import Ending
from safeguards.verdict import Code
from tests.guard.road import Answering


@pytest.mark.parametrize("kind", list(UpstreamFailure))
def test_an_upstreams_failure_is_a_timeout_or_a_failure(kind: UpstreamFailure) -> None:
    ended = map_failure(UpstreamError(kind, "why"))
    expected = Code.UPSTREAM_TIMEOUT if kind.value.startswith("timeout") else Code.UPSTREAM_FAILED
    assert (ended.ending, ended.block.code, ended.block.rule) == (Ending.ERROR, expected, kind.value)


def test_an_answer_that_is_none_is_an_upstreams_failure() -> None:
    assert map_failure(BadStream("an event is not JSON")).block.code is Code.UPSTREAM_FAILED


def test_what_nobody_foresaw_is_internal_and_unquoted() -> None:
    ended = map_failure(KeyError("words of a prompt"))
    assert (ended.block.code, ended.block.reason) == (Code.INTERNAL, "KeyError")


def answer(status: int, content_type: bytes) -> Answering:
    async def make() -> Answering:
        return Answering([], status, content_type)

    return asyncio.run(make())


@pytest.mark.parametrize("status", [*range(201, 600, 7), 400, 401, 404, 413, 422, 429, 500, 503])
def test_only_200_is_an_answer(status: int) -> None:
    expected = {400: Code.BAD_REQUEST, 413: Code.BAD_REQUEST, 422: Code.BAD_REQUEST}
    expected |= {429: Code.OVERLOADED, 503: Code.OVERLOADED}
    with pytest.raises(Ended) as caught:
        map_status(answer(status, b"text/event-stream"), streamed=True)
    assert caught.value.block.code is expected.get(status, Code.UPSTREAM_FAILED)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("found", [b"", b"text/html", b"application/json", b"Text/Event-Stream; charset=utf-8"])
def test_the_content_type_is_the_one_asked_for(found: bytes, streamed: bool) -> None:
    right = found.lower().startswith(b"text/event" if streamed else b"application/json")
    if right:
        map_status(answer(200, found), streamed=streamed)
        return
    with pytest.raises(Ended) as caught:
        map_status(answer(200, found), streamed=streamed)
    assert caught.value.block.rule == "content_type"
