"""httpx over the pool: what goes on the wire, what comes back, what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from guard.upstream.failure import UpstreamError
from guard.upstream.tls import client_tls
from guard.upstream.transport import PoolTransport
from tests.guard.upstream.scripted_server import HEAD, Peer, ScriptedServer, answering, until
from tests.parts.certificates import Authority


async def mirror(peer: Peer, body: bytes) -> None:
    await peer.send(answering(body, b"set-cookie: a=b", b"content-type: text/plain"))


class _Recorder:
    """Answers with what it was sent, head and all."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answering(b"", b"connection: close"))
        await writer.drain()
        writer.close()


def test_the_wire_carries_only_the_headers_the_transport_stands_for() -> None:
    async def main() -> None:
        recorder = _Recorder()
        server = await asyncio.start_server(recorder, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pool = ScriptedServer(mirror)
        pool.port = port
        async with httpx.AsyncClient(transport=PoolTransport(pool.pool()), cookies={"a": "b"}) as client:
            headers = {"authorization": "Bearer x", "x-evil": "1", "transfer-encoding": "chunked", "host": "other"}
            await client.post(f"http://localhost:{port}/v1/x?y=%20z", json={}, headers=headers)
            await client.get(f"http://localhost:{port}/health")
        server.close()
        assert recorder.heads == [
            b"POST /v1/x?y=%%20z HTTP/1.1\r\nhost: localhost:%d\r\naccept-encoding: identity\r\naccept: */*\r\n"
            b"authorization: Bearer x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n" % port,
            b"GET /health HTTP/1.1\r\nhost: localhost:%d\r\naccept-encoding: identity\r\naccept: */*\r\n\r\n" % port,
        ]

    asyncio.run(main())


def test_answers_come_back_and_the_connection_is_used_again() -> None:
    async def main() -> None:
        async with ScriptedServer(mirror) as server:
            pool = server.pool()
            async with httpx.AsyncClient(transport=PoolTransport(pool)) as client:
                for number in range(5):
                    response = await client.post(f"http://localhost:{server.port}/", content=b"%d" % number)
                    assert (response.status_code, response.text) == (200, str(number))
                    assert response.headers["content-type"] == "text/plain"
                assert server.accepted == 1
            assert pool.open == 0

    asyncio.run(main())


def test_a_response_left_early_closes_its_connection() -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(HEAD + b"3\r\nabc\r\n")

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            async with httpx.AsyncClient(transport=PoolTransport(pool)) as client:
                async with client.stream("POST", f"http://localhost:{server.port}/") as response:
                    async for piece in response.aiter_raw():
                        assert piece == b"abc"
                        break
                await until(lambda: pool.open == server.open == 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (HEAD + b"3\r\nabc\r\n", httpx.RemoteProtocolError),
        (answering(b"x", b"content-encoding: br"), httpx.RemoteProtocolError),
    ],
)
def test_failures_are_errors_of_httpx_with_their_cause(wire: bytes, error: type[httpx.TransportError]) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(wire)
        peer.writer.close()

    async def main() -> None:
        async with (
            ScriptedServer(script) as server,
            httpx.AsyncClient(transport=PoolTransport(server.pool())) as client,
        ):
            with pytest.raises(error) as caught:
                await client.post(f"http://localhost:{server.port}/")
            causes = []
            cause: BaseException | None = caught.value
            while cause is not None:
                causes.append(type(cause))
                cause = cause.__cause__
            assert UpstreamError in causes

    asyncio.run(main())


def test_timeouts_and_refused_connections_are_httpx_own() -> None:
    async def silent(_: Peer, __: bytes) -> None:
        return

    async def main() -> None:
        async with ScriptedServer(silent) as server:
            pool = server.pool(first_byte_seconds=0.05)
            async with httpx.AsyncClient(transport=PoolTransport(pool)) as client:
                with pytest.raises(httpx.ReadTimeout):
                    await client.get(f"http://localhost:{server.port}/")
        async with httpx.AsyncClient(transport=PoolTransport(server.pool())) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://localhost:{server.port}/")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "http://elsewhere:1/"), ("GET", "http://localhost:2/"), ("GET", "https://localhost:1/"), ("HEAD", "http://localhost:1/")],
)  # fmt: skip
def test_other_endpoints_and_methods_are_refused_before_anything_is_dialled(method: str, url: str) -> None:
    async def main() -> None:
        server = ScriptedServer(mirror)
        server.port = 1
        transport = PoolTransport(server.pool())
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(httpx.Request(method, url))

    asyncio.run(main())


def test_a_header_value_that_would_end_its_line_is_refused() -> None:
    async def main() -> None:
        server = ScriptedServer(mirror)
        server.port = 1
        request = httpx.Request("POST", "http://localhost:1/", headers={"authorization": "x\r\nx-evil: 1"})
        with pytest.raises(httpx.LocalProtocolError):
            await PoolTransport(server.pool()).handle_async_request(request)

    asyncio.run(main())


def test_a_pool_over_tls_has_urls_of_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    tls = client_tls("localhost", authority.pem.read_bytes())

    async def main() -> None:
        async with (
            ScriptedServer(mirror, tls=authority.issue("localhost").server()) as server,
            httpx.AsyncClient(transport=PoolTransport(server.pool(tls=tls))) as client,
        ):
            assert (await client.post(f"https://localhost:{server.port}/", content=b"x")).text == "x"
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get(f"http://localhost:{server.port}/")
        async with (
            ScriptedServer(mirror, tls=authority.issue("elsewhere").server()) as server,
            httpx.AsyncClient(transport=PoolTransport(server.pool(tls=tls))) as client,
        ):
            with pytest.raises(httpx.ConnectError):
                await client.get(f"https://localhost:{server.port}/")

    asyncio.run(main())
