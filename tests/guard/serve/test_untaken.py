"""A caller who does not take the end of a stopped answer loses what he has not taken; one who does gets all of it."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from guard.serve.untaken import QUEUED, UNSENT, bound, reset, untaken
from tests.guard.serve.edge import PATIENCE, PIECE, Edge, Tls, listener_tls
from tests.parts.certificates import Authority
from tests.parts.guard_process import wait_until

STOPPED = b"GET /stopped HTTP/1.1\r\nhost: guard\r\n\r\n"
RECEIVED = 4096
FEW = 24


def until_reset(sock: socket.socket) -> tuple[int, bool]:
    """Bytes that could still be read, and whether they ended in a reset."""
    size = 0
    try:
        while piece := sock.recv(65_536):
            size += len(piece)
    except ConnectionResetError:
        return size, True
    return size, False


def slow(address: str | tuple[str, int]) -> socket.socket:
    """A caller's socket that takes little before it is read."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    sock.settimeout(PATIENCE)
    sock.connect(address)
    return sock


@pytest.fixture(scope="module", params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tls | None:
    folder = tmp_path_factory.mktemp("untaken")
    return None if request.param == "plain" else listener_tls(Authority(folder / "authority"), folder)


@pytest.fixture
def edge(tls: Tls | None) -> Edge:
    return Edge(tls=tls)


def test_a_caller_that_reads_gets_the_end(edge: Edge) -> None:
    edge.most = FEW
    with edge:
        got = edge.say(STOPPED)
    assert got.count(PIECE) == FEW + 1
    assert got.endswith(b"7\r\nstopped\r\n0\r\n\r\n")


@pytest.mark.parametrize("small", [False, True], ids=["full", "with room"])
def test_what_a_caller_does_not_take_is_thrown_away(edge: Edge, small: bool) -> None:
    """Whether the server waits for him with the last words, or could still put them behind what waits."""
    if small:
        edge.most = FEW  # more than he takes, less than his connection
    with edge, ExitStack() as stack:
        sock = raw = stack.enter_context(slow(("127.0.0.1", edge.port)))
        if edge.tls is not None:
            sock = stack.enter_context(edge.tls.caller.wrap_socket(raw, server_hostname="127.0.0.1"))
        sock.sendall(STOPPED)
        wait_until(lambda: edge.ended == 1, "the answer was cut")
        wait_until(lambda: edge.connections == 0, "the connection is gone")
        under = stack.enter_context(socket.socket(fileno=os.dup(sock.fileno())))
        size, cut = until_reset(under)
        assert cut
        assert size < 4 * RECEIVED


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_little_is_untaken_and_a_reset_leaves_nothing_of_it(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[asyncio.Transport] = []
        connected = asyncio.Event()

        class Served(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                bound(transport)
                made.append(transport)
                connected.set()

        address: str | tuple[str, int] = str(tmp_path / "socket")
        if kind == "unix":
            serving: asyncio.Server = await loop.create_unix_server(Served, tmp_path / "socket")
        else:
            serving = await loop.create_server(Served, "127.0.0.1", 0)
            address = serving.sockets[0].getsockname()
        with slow(address) as sock:
            await asyncio.wait_for(connected.wait(), PATIENCE)
            (transport,) = made
            assert untaken(transport) == 0
            transport.write(bytes(10_000_000))
            kept = untaken(transport) - transport.get_write_buffer_size()
            assert 0 < kept <= 4 * QUEUED if kind == "unix" else UNSENT + 16 * RECEIVED
            reset(transport)
            reset(transport)  # again: nothing happens
            await asyncio.sleep(0)
            size, cut = await asyncio.to_thread(until_reset, sock)
            assert cut == (kind == "tcp")
            assert size <= (4 * QUEUED if kind == "unix" else 4 * RECEIVED)
        serving.close()

    asyncio.run(main())
