"""The pool against scripted servers on loopback: reuse, lateness, deadlines, cancellation, on both loops.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from guard.upstream.endpoint import Endpoint
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits
from guard.upstream.pool import Pool
from tests.guard.upstream.scripted_server import (
    HEAD,
    LOOPS,
    REQUEST,
    Peer,
    ScriptedServer,
    answering,
    asking,
    echo,
    run,
    until,
    whole,
)
from tests.parts.ports import free_port

Factory = Callable[[], asyncio.AbstractEventLoop]
both_loops = pytest.mark.parametrize("loop", LOOPS, ids=("asyncio", "uvloop"))


async def refusal(pool: Pool) -> UpstreamFailure:
    with pytest.raises(UpstreamError) as caught:
        await whole(pool)
    return caught.value.kind


@both_loops
def test_two_hundred_requests_in_turn_use_one_connection(loop: Factory) -> None:
    async def main() -> None:
        async with ScriptedServer(echo) as server:
            pool = server.pool()
            for number in range(200):
                assert await whole(pool, asking(f"r{number}")) == b"r%d" % number
            assert (server.accepted, pool.dialled, pool.open, pool.idle) == (1, 1, 1, 1)
            await pool.aclose()
            assert (pool.open, pool.idle) == (0, 0)
            await until(lambda: server.open == 0)

    run(loop, main())


@both_loops
def test_thirty_two_callers_share_thirty_two_connections(loop: Factory) -> None:
    async def main() -> None:
        async with ScriptedServer(echo) as server:
            pool = server.pool()

            async def caller(name: int) -> None:
                for number in range(20):
                    assert await whole(pool, asking(f"{name}-{number}")) == b"%d-%d" % (name, number)

            await asyncio.gather(*(caller(name) for name in range(32)))
            assert server.accepted == pool.dialled <= 32
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_stream_is_read_as_it_comes(loop: Factory) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(HEAD)
        for piece in (b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"0\r\n\r\n"):
            await gate.wait()
            gate.clear()
            await peer.send(piece)

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            answer = await pool.request(REQUEST)
            assert (answer.status, answer.header(b"content-type")) == (200, b"text/event-stream")
            for expected in (b"first", b"second", None):
                gate.set()
                assert await answer.read() == expected
            assert pool.idle == 1
            await pool.aclose()

    run(loop, main())


@both_loops
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.04])
def test_a_second_answer_however_late_within_the_rest_is_never_anothers(loop: Factory, delay: float) -> None:
    async def script(peer: Peer, body: bytes) -> None:
        if not delay:
            await peer.send(answering(body) + answering(b"stale " + body))
            return
        await peer.send(answering(body))
        await asyncio.sleep(delay)
        await peer.send(answering(b"stale " + body))

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(rest_seconds=0.06)
            for number in range(12):
                assert await whole(pool, asking(f"r{number}")) == b"r%d" % number
                await asyncio.sleep(0.008 * (number % 4))
            assert server.accepted == 12  # no connection was ever used again
            await until(lambda: pool.open == 0)  # each was closed when its late answer came
            await pool.aclose()

    run(loop, main())


@both_loops
def test_without_a_rest_a_late_answer_would_be_anothers(loop: Factory) -> None:
    """Why the rest exists, and what it cannot cover: a second answer later than the rest."""
    stale: list[bytes] = []

    async def script(peer: Peer, body: bytes) -> None:
        await peer.send(stale.pop() if stale else answering(body))
        stale.append(answering(b"stale " + body))

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            assert await whole(pool, asking("one")) == b"one"
            assert await whole(pool, asking("two")) == b"stale one"
            await pool.aclose()

    run(loop, main())


@both_loops
def test_the_longest_rested_goes_first_and_only_after_its_rest(loop: Factory) -> None:
    now = [100.0]
    ports: list[int] = []

    async def script(peer: Peer, body: bytes) -> None:
        ports.append(peer.writer.get_extra_info("peername")[1])
        await peer.send(answering(body))

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(rest_seconds=1.0, idle_seconds=10.0, clock=lambda: now[0])
            for moment in (100.0, 100.5, 101.2, 101.6, 101.7):
                now[0] = moment
                await whole(pool)
            first, second, third, fourth, fifth = ports
            assert (third, fourth) == (first, second)  # rested since 100.0 and 100.5
            assert fifth not in {first, second}  # rested since 101.2 and 101.6
            now[0] = 120.0
            await whole(pool)
            assert ports[-1] not in ports[:-1]  # all have rested too long for a server's patience
            await until(lambda: pool.open == pool.idle == 1)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_bytes_that_only_the_kernel_knows_of_keep_a_connection_from_use(loop: Factory) -> None:
    async def main() -> None:
        running = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            pool = Pool(
                Endpoint("127.0.0.1", listener.getsockname()[1]),
                max_idle=4,
                rest_seconds=0.0,
                connect_seconds=20,
                first_byte_seconds=20,
            )

            async def serve(text: bytes) -> socket.socket:
                peer, _ = await running.sock_accept(listener)
                peer.setblocking(False)
                await running.sock_recv(peer, 65536)
                await running.sock_sendall(peer, answering(text))
                return peer

            serving = asyncio.create_task(serve(b"one"))
            assert await whole(pool) == b"one"
            first = await serving
            assert pool.idle == 1
            first.send(answering(b"stale"))  # from here to the next line the loop does not look at its sockets
            serving = asyncio.create_task(serve(b"two"))
            assert await whole(pool) == b"two"
            (await serving).close()
            first.close()
            await pool.aclose()

    run(loop, main())


@both_loops
def test_above_the_most_idle_connections_are_closed(loop: Factory) -> None:
    async def main() -> None:
        async with ScriptedServer(echo) as server:
            pool = server.pool(max_idle=3)
            await asyncio.gather(*(whole(pool) for _ in range(8)))
            await until(lambda: server.open == pool.idle == pool.open == 3)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_server_that_closes_an_idle_connection_costs_only_a_new_one(loop: Factory) -> None:
    async def script(peer: Peer, body: bytes) -> None:
        await peer.send(answering(body))
        peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            for _ in range(5):
                assert await whole(pool) == b"{}"
                await until(lambda: pool.open == 0)
                assert pool.idle == 0
            assert server.accepted == 5
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_request_that_meets_the_servers_close_fails_and_is_not_sent_again(loop: Factory) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer, body: bytes) -> None:
        seen.append(body)
        if len(seen) == 1:
            await peer.send(answering(body))
        else:
            peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            await whole(pool, asking("one"))
            with pytest.raises(UpstreamError) as caught:
                await whole(pool, asking("two"))
            assert caught.value.kind is UpstreamFailure.CLOSED
            assert seen == [b"one", b"two"]
            await pool.aclose()

    run(loop, main())


@both_loops
@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", UpstreamFailure.CLOSED),
        (b"HTTP/1.1 20", UpstreamFailure.TRUNCATED),
        (answering(b"abc")[:-1], UpstreamFailure.TRUNCATED),
        (HEAD + b"3\r\nabc\r\n", UpstreamFailure.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", UpstreamFailure.TRUNCATED),
        (b"HTTP/1.1 101 Switching\r\n\r\n", UpstreamFailure.BAD_HTTP),
        (answering(b"abc", b"content-encoding: gzip"), UpstreamFailure.UNEXPECTED_ENCODING),
    ],
)
def test_an_answer_without_proven_end_fails_and_leaves_no_connection(
    loop: Factory, wire: bytes, kind: UpstreamFailure
) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(wire)
        peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            assert await refusal(pool) is kind
            await until(lambda: pool.open == server.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_an_unframed_body_is_read_to_the_end_of_the_connection_where_that_is_allowed(loop: Factory) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(limits=Limits(allow_unframed=True))
            answer = await pool.request(REQUEST)
            assert await answer.read() == b"abc"
            assert await answer.read() is None
            assert not answer.proven
            await until(lambda: pool.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_head_that_does_not_come_in_time_fails_and_closes(loop: Factory, wire: bytes) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(wire)

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(first_byte_seconds=0.05)
            assert await refusal(pool) is UpstreamFailure.TIMEOUT_FIRST_BYTE
            await until(lambda: pool.open == server.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_the_deadline_of_the_head_does_not_bound_the_body(loop: Factory) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(HEAD)
        await gate.wait()
        await peer.send(b"3\r\nabc\r\n0\r\n\r\n")

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(first_byte_seconds=0.2)
            answer = await pool.request(REQUEST)
            reading = asyncio.create_task(answer.read())
            asyncio.get_running_loop().call_later(0.3, gate.set)
            assert await reading == b"abc"
            await pool.aclose()

    run(loop, main())


def stalled_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full: connects to it wait."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


@both_loops
def test_a_connect_that_takes_too_long_or_is_cancelled_leaves_nothing(loop: Factory) -> None:
    async def main() -> None:
        listener, fillers = stalled_listener()
        endpoint = Endpoint("127.0.0.1", listener.getsockname()[1])
        pool = Pool(endpoint, max_idle=1, rest_seconds=0, connect_seconds=0.05, first_byte_seconds=20)
        assert await refusal(pool) is UpstreamFailure.TIMEOUT_CONNECT
        patient = Pool(endpoint, max_idle=1, rest_seconds=0, connect_seconds=20, first_byte_seconds=20)
        asked = asyncio.create_task(patient.request(REQUEST))
        await asyncio.sleep(0.02)  # it waits for its connection; earlier points are swept below
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert (pool.open, patient.open) == (0, 0)
        await asyncio.gather(pool.aclose(), patient.aclose())
        for sock in (listener, *fillers):
            sock.close()

    run(loop, main())


@both_loops
def test_a_port_where_nobody_listens_and_a_name_nobody_has_are_connect_failures(loop: Factory) -> None:
    async def main() -> None:
        port = free_port()
        for host in ("localhost", "name.invalid"):
            pool = Pool(Endpoint(host, port), max_idle=1, rest_seconds=0, connect_seconds=20, first_byte_seconds=20)
            assert await refusal(pool) is UpstreamFailure.CONNECT
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_server_faster_than_the_reader_is_held_back(loop: Factory) -> None:
    total, sent = 24 << 20, [0]

    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent[0] < total:
            await peer.send(b"x" * 65536)
            sent[0] += 65536

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool(limits=Limits(held_bytes=100_000))
            answer = await pool.request(REQUEST)
            await until(lambda: answer.paused)
            assert 100_000 < answer.reader.held <= 100_000 + 262_144  # one read of the loop above the bound
            before = answer.reader.held
            for _ in range(20):
                await asyncio.sleep(0.002)
            assert answer.reader.held == before
            assert sent[0] < total
            received = 0
            while (piece := await answer.read()) is not None:
                received += len(piece)
                assert len(piece) <= 100_000 + 262_144
            assert received == total
            await pool.aclose()

    run(loop, main())


@both_loops
def test_closing_or_aborting_an_answer_frees_the_server_at_once(loop: Factory) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(HEAD + b"3\r\nabc\r\n")

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            answer = await pool.request(REQUEST)
            assert await answer.read() == b"abc"
            answer.close()
            await until(lambda: pool.open == server.open == 0)
            answer = await pool.request(REQUEST)
            assert await answer.read() == b"abc"
            reading = asyncio.create_task(answer.read())
            await until(lambda: answer.waiting)
            answer.abort(LookupError("stopped"))
            with pytest.raises(LookupError):
                await reading
            await until(lambda: pool.open == server.open == 0)
            assert pool.idle == 0
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_caller_cancelled_at_any_step_leaves_no_connection(loop: Factory) -> None:
    """The sweep must meet every phase: before the connection, before the head, within the body."""

    async def script(peer: Peer, _: bytes) -> None:
        await asyncio.sleep(0.001)
        await peer.send(HEAD)
        for _piece in range(5):
            await asyncio.sleep(0.001)
            await peer.send(b"3\r\nabc\r\n")
        await peer.request()  # never the end

    async def main() -> None:
        async with ScriptedServer(script) as server:
            phases: set[str] = set()
            for step in range(40):
                pool = Pool(
                    Endpoint("127.0.0.1", server.port),
                    max_idle=4,
                    rest_seconds=0,
                    connect_seconds=20,
                    first_byte_seconds=20,
                )
                phase = ["connect"]

                async def ask(pool: Pool = pool, phase: list[str] = phase) -> None:
                    answer = await pool.request(REQUEST)
                    phase[0] = "body"
                    while await answer.read() is not None:
                        pass

                asked = asyncio.create_task(ask())
                for _ in range(step % 8):
                    await asyncio.sleep(0)
                if step >= 8:
                    await asyncio.sleep(0.0003 * step)
                phases.add("head" if phase[0] == "connect" and pool.open else phase[0])
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await until(lambda pool=pool: pool.open == server.open == 0)  # type: ignore[misc]  # a bound default
                assert pool.idle == 0
                await pool.aclose()
            assert phases == {"connect", "head", "body"}

    run(loop, main())


@both_loops
def test_closing_the_pool_ends_what_is_under_way_and_refuses_what_comes_later(loop: Factory) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(HEAD)

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            await pool.aclose()
            assert await refusal(pool) is UpstreamFailure.ABORTED
            pool = server.pool()
            answer = await pool.request(REQUEST)
            reading = asyncio.create_task(answer.read())
            await until(lambda: answer.waiting)
            await asyncio.gather(pool.aclose(), pool.aclose())
            assert pool.open == 0
            with pytest.raises(UpstreamError):
                await reading
            await until(lambda: server.open == 0)

    run(loop, main())


@both_loops
def test_a_pool_closed_while_it_connects_leaves_no_connection(loop: Factory) -> None:
    async def silent(_: Peer, __: bytes) -> None:
        return

    async def main() -> None:
        async with ScriptedServer(silent) as server:
            for step in range(8):
                pool = server.pool()
                asked = asyncio.create_task(pool.request(REQUEST))
                for _ in range(step):
                    await asyncio.sleep(0)
                await pool.aclose()
                with pytest.raises(UpstreamError) as caught:
                    await asked
                assert caught.value.kind in {UpstreamFailure.ABORTED, UpstreamFailure.CLOSED}
                await until(lambda pool=pool: pool.open == server.open == 0)  # type: ignore[misc]  # a bound default

    run(loop, main())


@both_loops
def test_a_retired_pool_keeps_no_connection_and_lets_what_runs_end(loop: Factory) -> None:
    gate = asyncio.Event()

    async def script(peer: Peer, request: bytes) -> None:
        if b"slow" not in request:
            await echo(peer, request)
            return
        await peer.send(HEAD)
        await gate.wait()
        await peer.send(b"4\r\nlate\r\n0\r\n\r\n")

    async def main() -> None:
        async with ScriptedServer(script) as server:
            pool = server.pool()
            running = await pool.request(asking("slow"))
            assert await whole(pool, asking("one")) == b"one"
            assert (pool.open, pool.idle) == (2, 1)
            pool.retire()
            await until(lambda: pool.open == 1)  # the one at rest
            assert await whole(pool, asking("two")) == b"two"  # of an exchange that had begun before
            await until(lambda: pool.open == 1)
            gate.set()
            assert await running.read() == b"late"
            while await running.read() is not None:
                pass
            running.close()
            await until(lambda: pool.open == 0)
            await pool.aclose()

    run(loop, main())
