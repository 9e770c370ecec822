"""Connections over TLS: the proofs of plain ones hold, every refusal has its kind, and every end is seen at once.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.upstream.answer import Answer
from guard.upstream.endpoint import Endpoint
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits
from guard.upstream.pool import Pool
from guard.upstream.secured import Records, SecuredConnection
from guard.upstream.tls import Tls, client_tls
from tests.guard.upstream.scripted_server import (
    HEAD,
    LOOPS,
    PATIENCE,
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
from tests.parts.certificates import Authority, Issued

Factory = Callable[[], asyncio.AbstractEventLoop]
both_loops = pytest.mark.parametrize("loop", LOOPS, ids=("asyncio", "uvloop"))
both_versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("secured") / "authority")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("localhost")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Tls:
    return client_tls("localhost", authority.pem.read_bytes())


async def refusal(pool: Pool) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await whole(pool)
    return caught.value


# Over real sockets


@both_loops
@both_versions
def test_requests_in_turn_use_one_connection(loop: Factory, version: ssl.TLSVersion, issued: Issued, tls: Tls) -> None:
    async def main() -> None:
        async with ScriptedServer(echo, tls=issued.server(version=version)) as server:
            pool = server.pool(tls=tls)
            for text in (*(f"r{number}" for number in range(50)), "x" * 1_000_000, "last"):
                assert await whole(pool, asking(text)) == text.encode()
            assert (server.accepted, pool.dialled, pool.open, pool.idle) == (1, 1, 1, 1)
            await pool.aclose()
            await until(lambda: server.open == 0)

    run(loop, main())


@both_loops
def test_many_callers_at_once_keep_their_answers_apart(loop: Factory, issued: Issued, tls: Tls) -> None:
    async def main() -> None:
        async with ScriptedServer(echo, tls=issued.server()) as server:
            pool = server.pool(tls=tls)

            async def caller(name: int) -> None:
                for number in range(10):
                    assert await whole(pool, asking(f"{name}-{number}")) == b"%d-%d" % (name, number)

            await asyncio.gather(*(caller(name) for name in range(16)))
            assert server.accepted == pool.dialled <= 16
            await pool.aclose()

    run(loop, main())


@both_loops
def test_certificates_of_another_name_or_authority_or_time_are_refused(
    loop: Factory, authority: Authority, tls: Tls, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger") / "authority")
    heard: list[bytes] = []

    async def script(_: Peer, body: bytes) -> None:
        heard.append(body)

    async def main() -> None:
        for shown, words in (
            (authority.issue("elsewhere"), "hostname mismatch"),
            (authority.issue(), "hostname mismatch"),
            (stranger.issue("localhost"), "unable to get local issuer"),
            (authority.issue("localhost", expired=True), "has expired"),
        ):
            async with ScriptedServer(script, tls=shown.server()) as server:
                pool = server.pool(tls=tls)
                failure = await refusal(pool)
                assert failure.kind is UpstreamFailure.TLS
                assert words in failure.reason.lower()
                await until(lambda pool=pool: pool.open == 0)  # type: ignore[misc]  # a bound default
                await pool.aclose()
        assert heard == []

    run(loop, main())


@both_loops
def test_an_address_needs_a_certificate_of_the_address(loop: Factory, authority: Authority, issued: Issued) -> None:
    async def main() -> None:
        tls = client_tls("127.0.0.1", authority.pem.read_bytes())
        async with ScriptedServer(echo, tls=issued.server()) as server:
            assert (await refusal(server.pool(tls=tls))).kind is UpstreamFailure.TLS
        async with ScriptedServer(echo, tls=authority.issue("127.0.0.1").server()) as server:
            pool = server.pool(tls=tls)
            assert await whole(pool) == b"{}"
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_server_that_speaks_plainly_or_nonsense_or_not_at_all_is_refused(loop: Factory, tls: Tls) -> None:
    async def main() -> None:
        for wire in (answering(b"plain words"), b"\x16\x03\x01\x00\x05abcde", b"\x00" * 100, b""):

            async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: bytes = wire) -> None:
                writer.write(wire)
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            endpoint = Endpoint("localhost", server.sockets[0].getsockname()[1], tls)
            pool = Pool(endpoint, max_idle=1, rest_seconds=0, connect_seconds=20, first_byte_seconds=20)
            failure = await refusal(pool)
            assert failure.kind is UpstreamFailure.TLS
            assert "plain words" not in str(failure)
            await until(lambda pool=pool: pool.open == 0)  # type: ignore[misc]  # a bound default
            server.close()
            await pool.aclose()

    run(loop, main())


@contextlib.contextmanager
def demanding(context: ssl.SSLContext) -> Iterator[int]:
    """A server in a thread that shakes hands once, sends its alert where that fails, and waits for the client to go."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            peer.settimeout(PATIENCE)
            secured = context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
            try:
                secured.do_handshake()
                secured.recv(65536)
                secured.sendall(answering(b"welcome"))
            except ssl.SSLError:
                pass
            with socket.socket(fileno=secured.detach()) as raw, contextlib.suppress(ConnectionError):
                raw.settimeout(PATIENCE)
                while raw.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
        assert not thread.is_alive()


@both_loops
@both_versions
def test_a_client_certificate_that_is_demanded_is_shown_or_the_server_refuses(
    loop: Factory, version: ssl.TLSVersion, authority: Authority, issued: Issued, tls: Tls
) -> None:
    own = authority.issue(common_name="guard")
    showing = client_tls("localhost", authority.pem.read_bytes(), own.certificate.read_bytes(), own.key.read_bytes())

    async def ask(port: int, tls: Tls) -> bytes:
        pool = Pool(
            Endpoint("localhost", port, tls), max_idle=1, rest_seconds=0, connect_seconds=20, first_byte_seconds=20
        )
        try:
            return await whole(pool)
        finally:
            await pool.aclose()

    async def main() -> None:
        with demanding(issued.server(clients=authority.pem, version=version)) as port:
            assert await ask(port, showing) == b"welcome"
        with demanding(issued.server(clients=authority.pem, version=version)) as port:
            with pytest.raises(UpstreamError) as caught:
                await ask(port, tls)
            assert caught.value.kind is UpstreamFailure.TLS

    run(loop, main())


@both_loops
@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", UpstreamFailure.CLOSED),
        (answering(b"abc")[:-1], UpstreamFailure.TRUNCATED),
        (HEAD + b"3\r\nabc\r\n", UpstreamFailure.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", UpstreamFailure.TRUNCATED),
        (b"nonsense", UpstreamFailure.BAD_HTTP),
        (b"PRI * HTTP/2.0\r\n\r\n", UpstreamFailure.BAD_HTTP),
    ],
)
def test_an_answer_without_proven_end_fails_and_leaves_no_connection(
    loop: Factory, wire: bytes, kind: UpstreamFailure, issued: Issued, tls: Tls
) -> None:
    async def script(peer: Peer, _: bytes) -> None:
        await peer.send(wire)
        peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script, tls=issued.server()) as server:
            pool = server.pool(tls=tls)
            assert (await refusal(pool)).kind is kind
            await until(lambda: pool.open == server.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_fast_server_is_held_back_and_its_body_is_whole_though_it_has_gone(
    loop: Factory, issued: Issued, tls: Tls
) -> None:
    total = 8 << 20

    async def script(peer: Peer, _body: bytes) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // 65536):
            await peer.send(b"x" * 65536)
        peer.writer.close()

    async def main() -> None:
        async with ScriptedServer(script, tls=issued.server()) as server:
            pool = server.pool(tls=tls, limits=Limits(held_bytes=100_000))
            answer = await pool.request(REQUEST)
            await until(lambda: answer.paused)
            before = answer.reader.held
            assert before <= 100_000 + 262_144 + 16_384  # one read of the loop above the bound, and a record's rest
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert answer.reader.held == before
            received = 0
            while (piece := await answer.read()) is not None:
                received += len(piece)
            assert received == total
            await until(lambda: pool.open == server.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_request_given_up_at_any_point_ends_its_connection(loop: Factory, issued: Issued, tls: Tls) -> None:
    phases: set[str] = set()

    async def main() -> None:
        phase = ["connect"]

        async def script(peer: Peer, _: bytes) -> None:
            phase[0] = "head"
            await asyncio.sleep(0.002)
            await peer.send(HEAD + b"3\r\nabc\r\n")
            phase[0] = "body"

        async with ScriptedServer(script, tls=issued.server()) as server:
            for step in range(400):
                if step >= 40 and len(phases) == 4:
                    break
                phase[0] = "connect"
                pool = server.pool(tls=tls)
                asked = asyncio.create_task(whole(pool))
                for _ in range(step % 16):
                    await asyncio.sleep(0)
                if step % 40 >= 16:
                    await asyncio.sleep(0.0005 * (step % 40 - 16))
                phases.add("handshake" if phase[0] == "connect" and pool.open else phase[0])
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await until(lambda pool=pool: pool.open == server.open == 0)  # type: ignore[misc]  # a bound default
                await pool.aclose()

    run(loop, main())
    assert phases == {"connect", "handshake", "head", "body"}


@both_loops
def test_a_handshake_that_does_not_come_is_given_up_in_time_or_with_its_caller_or_its_pool(
    loop: Factory, tls: Tls
) -> None:
    async def main() -> None:
        gone = asyncio.Event()
        begun = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(5)
            begun.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        endpoint = Endpoint("localhost", server.sockets[0].getsockname()[1], tls)
        for how in ("time", "caller", "pool"):
            gone.clear()
            begun.clear()
            patience = 0.1 if how == "time" else 20
            pool = Pool(endpoint, max_idle=1, rest_seconds=0, connect_seconds=patience, first_byte_seconds=20)
            asked = asyncio.create_task(pool.request(REQUEST))
            await begun.wait()
            assert pool.open == 1
            if how == "caller":
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
            else:
                if how == "pool":
                    await pool.aclose()
                with pytest.raises(UpstreamError) as caught:
                    await asked
                expected = UpstreamFailure.TIMEOUT_CONNECT if how == "time" else UpstreamFailure.ABORTED
                assert caught.value.kind is expected
            await gone.wait()
            await until(lambda pool=pool: pool.open == 0)  # type: ignore[misc]  # a bound default
            await pool.aclose()
        server.close()

    run(loop, main())


@both_loops
@pytest.mark.parametrize("paused", [False, True])
def test_an_answer_closed_early_is_seen_by_the_server_at_once(
    loop: Factory, paused: bool, issued: Issued, tls: Tls
) -> None:
    async def script(peer: Peer, _body: bytes) -> None:
        await peer.send(HEAD)
        await peer.send(b"3\r\nabc\r\n")
        for _ in range(200 if paused else 0):
            await peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    async def main() -> None:
        async with ScriptedServer(script, tls=issued.server()) as server:
            pool = server.pool(tls=tls)
            answer = await pool.request(REQUEST)
            if paused:
                await until(lambda: answer.paused)
            else:
                assert await answer.read() == b"abc"
            answer.close()
            await until(lambda: server.open == pool.open == 0)
            await pool.aclose()

    run(loop, main())


@both_loops
def test_a_second_answer_however_it_comes_is_never_anothers(loop: Factory, issued: Issued, tls: Tls) -> None:
    async def main() -> None:
        for delay in (None, 0.0, 0.01, 0.04):

            async def script(peer: Peer, body: bytes, delay: float | None = delay) -> None:
                if delay is None:
                    await peer.send(answering(body) + answering(b"stale"))
                    return
                await peer.send(answering(body))
                await asyncio.sleep(delay)
                await peer.send(answering(b"stale"))

            async with ScriptedServer(script, tls=issued.server()) as server:
                pool = server.pool(tls=tls, rest_seconds=0.06)
                for number in range(6):
                    assert await whole(pool, asking(f"r{number}")) == b"r%d" % number
                    await asyncio.sleep(0.008 * (number % 4))
                await until(lambda pool=pool: pool.open == 0)  # type: ignore[misc]  # a bound default
                await pool.aclose()

    run(loop, main())


# In memory


class _Wire(asyncio.Transport):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.written = b""
        self.unsent = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.aborted
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


class _Owner:
    def __init__(self) -> None:
        self.resting = False

    def joined(self, connection: object) -> None:
        return

    def rested(self, connection: object) -> None:
        self.resting = True

    def lost(self, connection: object) -> None:
        return


class _Bench:
    """A secured connection whose server is the other half of OpenSSL, in this process."""

    def __init__(self, tls: Tls, server: ssl.SSLContext, limits: Limits | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.pair = socket.socketpair()
        self.wire, self.owner = _Wire(self.pair[0]), _Owner()
        self.connection = SecuredConnection(self.owner, self.loop, limits or Limits(), lambda: 5.0, tls)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self._in, self._out, server_side=True)
        self.connection.connection_made(self.wire)
        for _ in range(3):
            self.hear()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.server.do_handshake()
            self.connection.data_received(self._out.read())
        self.loop.run_until_complete(self.connection.secured())

    def hear(self) -> None:
        """Give the server what was written."""
        self._in.write(self.wire.written)
        self.wire.written = b""

    def sealed(self, *texts: bytes) -> bytes:
        """What the server would send for these, each in records of its own."""
        for text in texts:
            self.server.write(text)
        return self._out.read()

    def farewell(self) -> bytes:
        """What the server would send to end TLS in order."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.unwrap()
        return self._out.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.close()
        for sock in self.pair:
            sock.close()


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def test_a_clean_complete_answer_lets_it_rest(tls: Tls, issued: Issued) -> None:
    with _Bench(tls, issued.server()) as bench:
        answer = bench.connection.send(b"request")
        bench.hear()
        assert bench.server.read() == b"request"
        bench.connection.data_received(bench.sealed(ANSWER))
        assert (answer.complete, bench.owner.resting, bench.wire.aborted) == (True, True, False)


@pytest.mark.parametrize("cut", [1, 4, 5, 6, -1])
def test_half_a_record_behind_the_answer_keeps_it_from_use(tls: Tls, issued: Issued, cut: int) -> None:
    with _Bench(tls, issued.server()) as bench:
        answer = bench.connection.send(b"request")
        bench.connection.data_received(bench.sealed(ANSWER) + bench.sealed(ANSWER)[:cut])
        assert (answer.complete, bench.wire.aborted, bench.connection.silent()) == (True, True, False)


def test_any_byte_while_it_rests_ends_it(tls: Tls, issued: Issued) -> None:
    with _Bench(tls, issued.server()) as bench:
        bench.connection.send(b"request")
        bench.connection.data_received(bench.sealed(ANSWER))
        bench.connection.data_received(bench.sealed(ANSWER)[:1])
        assert bench.wire.aborted


def test_an_answer_complete_before_its_request_was_written_ends_it(tls: Tls, issued: Issued) -> None:
    with _Bench(tls, issued.server()) as bench:
        bench.connection.send(b"request")
        bench.wire.unsent = 1
        bench.connection.data_received(bench.sealed(ANSWER))
        assert (bench.owner.resting, bench.wire.aborted) == (False, True)


@given(data=st.data())
def test_an_answer_is_the_same_however_its_records_are_cut(tls: Tls, issued: Issued, data: st.DataObject) -> None:
    with _Bench(tls, issued.server()) as bench:
        answer = bench.connection.send(b"request")
        pieces = data.draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
        plain = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        at = sorted(data.draw(st.lists(st.integers(0, len(plain)), max_size=4)))
        sealed = bench.sealed(*(plain[a:b] for a, b in zip([0, *at], [*at, len(plain)], strict=True) if a < b))
        at = sorted(data.draw(st.lists(st.integers(0, len(sealed)), max_size=6)))
        for a, b in zip([0, *at], [*at, len(sealed)], strict=True):
            if a < b:
                bench.connection.data_received(sealed[a:b])
        assert answer.complete
        assert answer.reader.take() == b"".join(pieces)


@given(data=st.data())
def test_a_changed_byte_anywhere_fails_the_answer(tls: Tls, issued: Issued, data: st.DataObject) -> None:
    with _Bench(tls, issued.server()) as bench:
        answer = bench.connection.send(b"request")
        sealed = bytearray(bench.sealed(ANSWER[:-3], ANSWER[-3:]))
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
        bench.connection.data_received(bytes(sealed))
        bench.connection.eof_received()  # a longer record was announced: only the end tells
        assert not answer.complete
        with pytest.raises(UpstreamError) as caught:
            bench.loop.run_until_complete(_to_the_end(answer))
        assert caught.value.kind in {UpstreamFailure.TLS, UpstreamFailure.CLOSED, UpstreamFailure.TRUNCATED}


async def _to_the_end(answer: Answer) -> None:
    await answer.head()
    while await answer.read() is not None:
        pass


@pytest.mark.parametrize("orderly", [False, True])
def test_an_unframed_body_ends_only_with_tls_itself_even_where_it_is_allowed(
    tls: Tls, issued: Issued, orderly: bool
) -> None:
    with _Bench(tls, issued.server(), Limits(allow_unframed=True)) as bench:
        answer = bench.connection.send(b"request")
        bench.connection.data_received(bench.sealed(b"HTTP/1.1 200 OK\r\n\r\nabc"))
        if orderly:
            bench.connection.data_received(bench.farewell())
        bench.connection.eof_received()
        bench.connection.connection_lost(None)
        assert answer.complete is orderly
        assert answer.proven is not orderly


def test_a_request_before_the_handshake_is_refused_and_ends_it(tls: Tls) -> None:
    loop = asyncio.new_event_loop()
    with socket.socket() as sock:
        wire = _Wire(sock)
        connection = SecuredConnection(_Owner(), loop, Limits(), lambda: 5.0, tls)
        connection.connection_made(wire)
        with pytest.raises(UpstreamError) as caught:
            connection.send(b"request")
        assert (caught.value.kind, wire.aborted) == (UpstreamFailure.TLS, True)
        assert b"request" not in wire.written
    loop.close()


RECORDS = st.lists(st.binary(max_size=30), max_size=8)


@given(RECORDS, st.data())
def test_records_are_followed_through_any_cuts(bodies: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(b"\x17\x03\x03" + len(body).to_bytes(2) + body for body in bodies)
    ends = {0}
    for body in bodies:
        ends.add(max(ends) + 5 + len(body))
    at = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    records = Records()
    for a, b in zip([0, *at], at, strict=False):
        records.feed(wire[a:b])
        assert records.whole is (b in ends)
