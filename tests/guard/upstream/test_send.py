"""The request to the model is built from nothing of the caller's own bytes, and its connection is let end in peace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from guard.pipeline import Admitted, Mount, Pipeline
from guard.upstream import send as module
from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool
from guard.upstream.send import ModelServer
from guard.wire.dialect import NOTHING_GRANTED
from guard.wire.openai_chat import OpenAIChat
from guard.wire.strict_json import parse_object
from safeguards.base import Safeguard
from tests.guard.test_pipeline import EXCHANGE
from tests.guard.upstream.scripted_server import HEAD, LOOPS, Peer, ScriptedServer, answering, run, until

BODY = b'{"model":"demo","messages":[{"role":"user","content":"hi"}],"stream":%s}'


async def admitted(*, streamed: bool) -> Admitted:
    request = OpenAIChat().read_request(parse_object(BODY % (b"true" if streamed else b"false")), NOTHING_GRANTED)
    pipeline = Pipeline([Mount("nothing", Safeguard(), True, True, 1.0)])
    found = await pipeline.admit(pipeline.begin(EXCHANGE), request)
    assert isinstance(found, Admitted)
    return found


def model(pool: Pool, credential: str | None = None) -> ModelServer:
    headers = () if credential is None else (b"authorization: Bearer " + credential.encode(),)
    return ModelServer(pool, b"model:8000", b"/base", "real-name", headers, [OpenAIChat()])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("credential", [None, "secret"])
@pytest.mark.parametrize("streamed", [True, False])
def test_the_head_and_the_body_are_exactly_these(
    loop: Callable[[], asyncio.AbstractEventLoop], credential: str | None, streamed: bool
) -> None:
    seen: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        length = int(seen[0].split(b"content-length: ")[1].split(b"\r\n")[0])
        seen.append(await reader.readexactly(length))
        writer.write(answering(b"{}"))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        pool = Pool(endpoint, max_idle=1, rest_seconds=0.0, connect_seconds=20.0, first_byte_seconds=20.0)
        one = model(pool, credential)
        answer = await one.send(await admitted(streamed=streamed))
        assert await answer.read() == b"{}"
        await one.aclose()
        server.close()

    run(loop, main())
    lines = seen[0].decode().rstrip("\r\n").split("\r\n")
    assert lines == [
        "POST /base/v1/chat/completions HTTP/1.1",
        "host: model:8000",
        "content-type: application/json",
        "accept-encoding: identity",
        "user-agent: asl-guard",
        *(["authorization: Bearer secret"] if credential else []),
        f"accept: {'text/event-stream' if streamed else 'application/json'}",
        f"content-length: {len(seen[1])}",
        "x-request-id: id",
    ]
    messages = [{"role": "user", "content": "hi"}]
    assert json.loads(seen[1]) == {"model": "real-name", "messages": messages, "stream": streamed}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ends", [True, False])
def test_an_answer_that_is_settled_gives_its_connection_back_once_its_end_has_come(
    loop: Callable[[], asyncio.AbstractEventLoop], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 20.0 if ends else 0.02)

    async def main() -> None:
        gate = asyncio.Event()

        async def script(peer: Peer, _: bytes) -> None:
            await peer.send(HEAD + b"4\r\nlast\r\n")
            await gate.wait()
            await peer.send(b"5\r\nextra\r\n0\r\n\r\n")

        async with ScriptedServer(script) as server:
            pool = server.pool()
            one = model(pool)
            answer = await one.send(await admitted(streamed=True))
            assert await answer.read() == b"last"
            one.settle(answer)
            if ends:
                gate.set()
                await until(lambda: pool.idle == 1)
            else:
                await until(lambda: pool.open == 0)
            gate.set()
            await one.aclose()

    run(loop, main())


def test_an_answer_that_is_complete_is_settled_at_once() -> None:
    async def main() -> None:
        async def script(peer: Peer, _: bytes) -> None:
            await peer.send(HEAD + b"4\r\nlast\r\n0\r\n\r\n")

        async with ScriptedServer(script) as server:
            pool = server.pool()
            one = model(pool)
            answer = await one.send(await admitted(streamed=True))
            await until(lambda: answer.complete)
            before = asyncio.all_tasks()
            one.settle(answer)
            assert asyncio.all_tasks() == before
            assert pool.idle == 1
            await one.aclose()

    asyncio.run(main())


def test_more_answers_than_the_bound_are_closed_instead_of_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SETTLING", 1)

    async def main() -> None:
        async def script(peer: Peer, _: bytes) -> None:
            await peer.send(HEAD + b"4\r\nlast\r\n")
            await asyncio.Event().wait()

        async with ScriptedServer(script) as server:
            pool = server.pool()
            one = model(pool)
            first, second = [await one.send(await admitted(streamed=True)) for _ in range(2)]
            one.settle(first)
            one.settle(second)
            await until(lambda: pool.open == 1)
            await one.aclose()
            assert pool.open == 0

    asyncio.run(main())
