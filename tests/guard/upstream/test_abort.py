"""Asking a server to stop generating: what is sent, what becomes of it, and that number and time are bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.telemetry.metric import Abort
from guard.upstream import abort as module
from guard.upstream.abort import Aborted, Aborter, takes_id, with_id
from guard.wire.dialect import Request
from guard.wire.request import written
from tests.guard.upstream.scripted_server import LOOPS, Peer, ScriptedServer, answering, run, until

HEAD = b"POST /abort_request HTTP/1.1\r\nhost: model\r\ncontent-length: "
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"


def test_the_results_are_those_that_are_counted() -> None:
    assert [each.value for each in Aborted] == [each.value for each in Abort]


@pytest.mark.parametrize(
    ("dialect", "fields", "takes"),
    [
        ("openai.chat", {}, True),
        ("openai.completions", {"n": 1}, True),
        ("openai.chat", {"n": None}, True),
        ("openai.chat", {"n": 2}, False),
        ("openai.chat", {"rid": "callers-own"}, False),
        ("openai.responses", {}, False),
        ("anthropic.messages", {}, False),
    ],
)
def test_only_one_answer_of_a_body_with_a_place_for_it_is_named(
    dialect: str, fields: dict[str, object], takes: bool
) -> None:
    assert takes_id(dialect, Request("demo", True, (), fields)) is takes


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key not in {"rid", "model"}), st.text(max_size=5)))
def test_the_id_comes_to_a_body_and_nothing_else_changes(fields: dict[str, str]) -> None:
    body = written(Request("demo", True, (), dict(fields)), "tiny") if _sendable(fields) else b'{"model":"tiny"}'
    assert json.loads(with_id(body, "0123abcd")) == {"rid": "0123abcd", **json.loads(body)}


def _sendable(fields: dict[str, str]) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("said", "result"),
    [
        (answering(b"null"), Aborted.DONE),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Aborted.DONE),
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", Aborted.REFUSED),
        (b"HTTP/1.1 307 Elsewhere\r\ncontent-length: 0\r\nlocation: /\r\n\r\n", Aborted.REFUSED),
        (b"nothing of HTTP\r\n\r\n", Aborted.FAILED),
        (HALF, Aborted.FAILED),
        (b"", Aborted.FAILED),
    ],
    ids=["done", "without a body", "refused", "a redirect", "no HTTP", "half an answer", "silence"],
)
def test_what_becomes_of_it_is_told_once(
    loop: Callable[[], asyncio.AbstractEventLoop], said: bytes, result: Aborted
) -> None:
    told: list[Aborted] = []
    bodies: list[bytes] = []

    async def main() -> None:
        async def script(peer: Peer, body: bytes) -> None:
            bodies.append(body)
            await peer.send(said)

        async with ScriptedServer(script) as server:
            pool = server.pool()
            aborter = Aborter(pool, HEAD, 20.0 if result is not Aborted.FAILED else 0.2)
            aborter.ask("0123abcd", told.append)
            assert told == []
            await until(lambda: bool(told))
            await pool.aclose()

    run(loop, main())
    assert told == [result]
    assert [json.loads(body) for body in bodies] == [{"rid": "0123abcd"}]


def test_nobody_there_is_told_as_failed_and_too_many_at_once_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASKING", 2)
    told: list[Aborted] = []

    async def main() -> None:
        async def script(_: Peer, __: bytes) -> None:
            await asyncio.sleep(60)

        async with ScriptedServer(script) as server:
            pool = server.pool()
            aborter = Aborter(pool, HEAD, 20.0)
            for number in range(4):
                aborter.ask(f"{number}", told.append)
            assert told == [Aborted.DROPPED] * 2
            await until(lambda: server.accepted == 2)
            await pool.aclose()  # as when the policy that used it has gone
            await until(lambda: len(told) == 4)
            assert told[2:] == [Aborted.FAILED] * 2
        gone = server.pool(connect_seconds=5.0)
        Aborter(gone, HEAD, 20.0).ask("x", told.append)
        await until(lambda: len(told) == 5)
        assert told[4] is Aborted.FAILED

    run(LOOPS[0], main())
