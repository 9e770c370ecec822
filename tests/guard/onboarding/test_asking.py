"""Asking a server whose manners nobody knows."""

from __future__ import annotations

import asyncio
import gzip
from time import monotonic

import pytest

from guard.onboarding.asking import MAX_BYTES, Answer, Asking, NoAnswerError, Probe
from tests.parts.ports import free_port
from tests.parts.upstream import Peer, Received, Script, ScriptedUpstream, answer, sends

ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"


def ask(script: Script, *, seconds: float = 5.0, times: int = 1) -> tuple[Answer, ScriptedUpstream]:
    async def asked(url: str) -> Answer:
        async with Asking(url, seconds=seconds) as asking:
            for _ in range(times - 1):
                await asking.ask("/x")
            return await asking.ask("/x")

    with ScriptedUpstream(script) as upstream:
        return asyncio.run(asked(upstream.url)), upstream


def test_a_body_is_read_up_to_the_bound_and_not_beyond() -> None:
    assert ask(sends(answer(b"x" * MAX_BYTES)))[0].body == b"x" * MAX_BYTES
    assert ask(sends(answer(b"x" * (MAX_BYTES + 1))))[0].body is None


def test_an_endless_body_ends_at_the_bound() -> None:
    async def endless(peer: Peer, _: Received) -> None:
        await peer.send(ENDLESS)
        while True:
            await peer.send(b" " * 65536)

    assert ask(endless)[0].body is None


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nx: ", ENDLESS])
def test_an_answer_that_drips_ends_in_time(start: bytes) -> None:
    async def drips(peer: Peer, _: Received) -> None:
        await peer.send(start)
        while True:
            await peer.send(b"H")
            await asyncio.sleep(0.05)

    began = monotonic()
    with pytest.raises(NoAnswerError, match=r"within 0\.3 seconds|understood"):
        ask(drips if start else sends(30.0), seconds=0.3)
    assert monotonic() - began < 5


def test_a_redirect_is_not_followed() -> None:
    found, upstream = ask(sends(answer(b"", status="302 Found", more="location: /elsewhere\r\n")))
    assert found.status == 302
    assert len(upstream.requests) == 1


def test_a_cookie_is_not_sent_back() -> None:
    _, upstream = ask(sends(answer(b"{}", more="set-cookie: a=b; path=/\r\n")), times=2)
    assert [b"cookie" in request.head.lower() for request in upstream.requests] == [False, False]


def test_a_compressed_body_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    found, upstream = ask(sends(answer(bomb, more="content-encoding: gzip\r\n")))
    assert found.body is None
    assert b"accept-encoding: identity" in upstream.requests[0].head.lower()


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000, b"\x00\xff"]
)
def test_what_is_not_http_is_said_to_be_none(garbage: bytes) -> None:
    with pytest.raises(NoAnswerError, match="understood"):
        ask(sends(garbage, close=True))


def test_a_port_where_nobody_listens_is_said_to_be_one() -> None:
    async def asked() -> None:
        async with Asking(f"http://127.0.0.1:{free_port()}") as asking:
            await asking.ask("/x")

    with pytest.raises(NoAnswerError, match="nobody accepts"):
        asyncio.run(asked())


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(sends(answer(b"{}")))[0].status == 200


def test_a_key_goes_into_the_one_request_it_is_given_for_and_a_probe_has_no_body() -> None:
    async def asked(url: str) -> None:
        async with Asking(url) as asking:
            await asking.ask("/a", key="sekret")
            await asking.ask("/b")
            await asking.ask("/c", Probe.POST, read=False)

    with ScriptedUpstream(sends(answer(b"{}"))) as upstream:
        asyncio.run(asked(upstream.url))
    heads = [request.head for request in upstream.requests]
    assert [b"Bearer sekret" in head for head in heads] == [True, False, False]
    assert heads[2].startswith(b"POST /c ")
    assert [request.body for request in upstream.requests] == [b"", b"", b""]


@pytest.mark.parametrize(
    "body", [b"", b"no", b"[1]", b"[" * 100_000, b"\xff\xfe", b'{"a": ' + b"9" * 5000 + b"}", None]
)
def test_a_body_that_is_no_json_object_holds_no_sign(body: bytes | None) -> None:
    assert Answer(200, "", body).json() == {}
    assert Answer(404, "", b'{"a": 1}').json() == {}
    assert Answer(200, "", b'{"a": 1}').json() == {"a": 1}
