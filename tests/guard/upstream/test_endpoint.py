"""What an endpoint is called, and the sockets it is dialled at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from guard.upstream.endpoint import Endpoint
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.pool import Pool
from guard.upstream.tls import Tls
from tests.guard.upstream.scripted_server import (
    HEAD,
    LOOPS,
    REQUEST,
    Peer,
    ScriptedServer,
    asking,
    echo,
    run,
    until,
    whole,
)

Factory = Callable[[], asyncio.AbstractEventLoop]
both_loops = pytest.mark.parametrize("loop", LOOPS, ids=("asyncio", "uvloop"))
SOME_TLS = Tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "x")


@pytest.mark.parametrize(
    ("endpoint", "called"),
    [
        (Endpoint("models.example", 8080), "models.example:8080"),
        (Endpoint("models.example", 80), "models.example"),
        (Endpoint("models.example", 443), "models.example:443"),
        (Endpoint("models.example", 443, SOME_TLS), "models.example"),
        (Endpoint("models.example", 80, SOME_TLS), "models.example:80"),
        (Endpoint("::1", 8080), "[::1]:8080"),
        (Endpoint("::1", 443, SOME_TLS), "[::1]"),
        (Endpoint("localhost", 80, unix="/run/model.sock"), "localhost"),
    ],
)
def test_the_host_header_leaves_out_only_the_schemes_own_port(endpoint: Endpoint, called: str) -> None:
    assert endpoint.authority == called


@both_loops
def test_a_unix_socket_is_dialled_and_used_again(loop: Factory, tmp_path: Path) -> None:
    async def main() -> None:
        async with ScriptedServer(echo, unix=str(tmp_path / "s")) as server:
            pool = server.pool()
            for number in range(50):
                assert await whole(pool, asking(f"r{number}")) == b"r%d" % number
            assert (server.accepted, pool.open, pool.idle) == (1, 1, 1)
            await pool.aclose()
            await until(lambda: server.open == 0)

    run(loop, main())


@both_loops
def test_a_unix_socket_that_is_not_there_is_a_connect_failure(loop: Factory, tmp_path: Path) -> None:
    async def main() -> None:
        plain = tmp_path / "plain"
        plain.touch()
        for path in (tmp_path / "none", plain):
            endpoint = Endpoint("localhost", 80, unix=str(path))
            pool = Pool(endpoint, max_idle=1, rest_seconds=0, connect_seconds=20, first_byte_seconds=20)
            with pytest.raises(UpstreamError) as caught:
                await pool.request(REQUEST)
            assert caught.value.kind is UpstreamFailure.CONNECT
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_request_given_up_at_any_point_ends_its_unix_connection(loop: Factory, tmp_path: Path) -> None:
    reached: list[str] = []

    async def script(peer: Peer, _: bytes) -> None:
        reached.append("head")
        await peer.send(HEAD)
        await peer.send(b"3\r\nabc\r\n")

    async def main() -> None:
        async with ScriptedServer(script, unix=str(tmp_path / "s")) as server:
            for step in range(24):
                pool = server.pool()
                asked = asyncio.create_task(whole(pool))
                for _ in range(step % 8):
                    await asyncio.sleep(0)
                if step >= 8:
                    await asyncio.sleep(0.0003 * step)
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await until(lambda pool=pool: pool.open == server.open == 0)  # type: ignore[misc]  # a bound default
                await pool.aclose()
            assert 0 < len(reached) < 24  # given up before and after the server had it

    run(loop, main())
