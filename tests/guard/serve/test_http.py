"""The HTTP edge on raw sockets, plain and over TLS: every refusal is told, closes, and lets nothing through.

One file, because the table of what is refused is sent whole, in pieces, and followed by a good request.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guard.serve.edge import GOOD, Edge, Tls, exactly, half_close, listener_tls, rest
from tests.parts.certificates import Authority
from tests.parts.guard_process import wait_until

HEAD = b"POST /x HTTP/1.1\r\nhost: guard\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("edge") / "authority")


@pytest.fixture(scope="module", params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Tls | None:
    if request.param == "plain":
        return None
    return listener_tls(authority, tmp_path_factory.mktemp("listener"))


@pytest.fixture(scope="module")
def shared(tls: Tls | None) -> Iterator[Edge]:
    with Edge(tls=tls) as edge:
        yield edge


@pytest.fixture
def edge(shared: Edge) -> Edge:
    shared.seen.clear()
    return shared


def refusal(got: bytes) -> tuple[int, str]:
    """The status and message of exactly one answer in our form that closes the connection."""
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[1:] == [
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"connection: close",
    ], got
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(lines[0].split()[1]), error["message"]


def still_serves(edge: Edge) -> None:
    edge.seen.clear()
    with edge.connect() as sock:
        sock.sendall(GOOD)
        assert exactly(sock, len(OK)) == OK
    assert [target for target, _, _ in edge.seen] == [b"/good"]


REFUSED = {
    "too many headers": (HEAD + b"".join(b"x-%d: 1\r\n" % n for n in range(101)) + b"\r\n", 431),
    "one large header": (HEAD + b"x: " + b"a" * 5000 + b"\r\n\r\n", 431),
    "a header without an end": (HEAD + b"x: " + b"a" * 200_000, 431),
    "a header's name without an end": (HEAD + b"a" * 200_000, 431),
    "a large target": (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: guard\r\n\r\n", 431),
    "a target without an end": (b"GET /" + b"a" * 200_000, 431),
    "many small headers": (HEAD + b"a: b\r\n" * 30_000, 431),
    "empty lines without an end": (b"\r\n" * 100_000, 431),
    "length and chunks": (HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and length": (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n", 400),
    "two lengths that differ": (HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ", 400),
    "two lengths that agree": (HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a list of lengths": (HEAD + b"content-length: 2, 2\r\n\r\n{}", 400),
    "a signed length": (HEAD + b"content-length: +2\r\n\r\n{}", 400),
    "a negative length": (HEAD + b"content-length: -2\r\n\r\n{}", 400),
    "a hexadecimal length": (HEAD + b"content-length: 0x2\r\n\r\n{}", 400),
    "an empty length": (HEAD + b"content-length:\r\n\r\n{}", 400),
    "a length beyond any number": (HEAD + b"content-length: 99999999999999999999999\r\n\r\n{}", 400),
    "gzip": (HEAD + b"transfer-encoding: gzip\r\n\r\n", 400),
    "gzip, chunked": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, identity": (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "xchunked": (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "a quoted coding": (HEAD + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "a vertical tab before the coding": (HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /x HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a chunk of a bad size": (HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk that is longer than it says": (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk of a huge size": (HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}", 400),
    "a trailer": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nauthorization: x\r\n\r\n", 400),
    "an upgrade": (HEAD + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\n{}", 400),
    "an upgrade to HTTP/2": (
        HEAD + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n",
        400,
    ),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2 by name": (b"POST /x HTTP/2.0\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}", 505),
    "HTTP/0.9 by name": (b"GET /x HTTP/0.9\r\nhost: a\r\n\r\n", 505),
    "another protocol": (b"GET /x HTPT/1.1\r\nhost: a\r\n\r\n", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, 400),
    "garbage": (b"\x00\xff\xfe garbage\r\n\r\n", 400),
    "no host": (b"POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 400),
    "two hosts": (b"POST /x HTTP/1.1\r\nhost: a\r\nHost: b\r\ncontent-length: 2\r\n\r\n{}", 400),
    "an absolute target": (b"POST http://evil/x HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a target with a host": (b"POST //evil/x HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a target with a fragment": (b"POST /x#y HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a target of a star": (b"OPTIONS * HTTP/1.1\r\nhost: guard\r\n\r\n", 400),
    "a tunnel": (b"CONNECT evil:443 HTTP/1.1\r\nhost: guard\r\n\r\n", 400),
    "a target beyond ASCII": (b"POST /\xc3\xa9 HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a folded header": (HEAD + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a blank before the colon": (HEAD + b"content-length : 2\r\n\r\n{}", 400),
    "a blank before the name": (HEAD + b" content-length: 2\r\n\r\n{}", 400),
    "a header without a name": (HEAD + b": 2\r\n\r\n{}", 400),
    "a zero byte in a header": (HEAD + b"x: a\x00b\r\ncontent-length: 2\r\n\r\n{}", 400),
    "a bare carriage return": (HEAD + b"x: a\rcontent-length: 2\r\n\r\n{}", 400),
    "a line feed alone": (b"POST /x HTTP/1.1\nhost: guard\ncontent-length: 2\n\n{}", 400),
    "a second request too early": (GOOD + GOOD, 400),
    "garbage after a request": (GOOD + b"\x01\x02\x03", 400),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_no_request_may_be_is_refused_and_never_reaches_the_application(
    raw: tuple[bytes, int], edge: Edge
) -> None:
    sent, status = raw
    assert refusal(edge.say(sent))[0] == status
    wait_until(lambda: edge.connections == 0, "the connection is closed")
    assert edge.seen == []
    still_serves(edge)


# The long ones come in many pieces anyhow.
SHORT = {name: raw for name, raw in REFUSED.items() if len(raw[0]) < 10_000}


@pytest.mark.parametrize("raw", SHORT.values(), ids=SHORT)
def test_what_is_refused_in_one_piece_is_refused_in_many(raw: tuple[bytes, int], edge: Edge) -> None:
    sent, status = raw
    edge.open.clear()
    try:
        with edge.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(sent), 7):
                sock.sendall(sent[start : start + 7])
            assert refusal(rest(sock))[0] == status
    finally:
        edge.open.set()
    assert all(target == b"/good" for target, _, _ in edge.seen)


HOSTS = ("api.example", "127.0.0.1", "::1")
OURS = (b"api.example", b"API.Example", b"api.example:443", b"127.0.0.1:1", b"[::1]", b"[::1]:8080")
FOREIGN = (
    *(b"evil.example", b"api.example.", b"api.example.evil", b"xapi.example", b"", b":443", b"api.example:"),
    *(b"api.example:x", b"api.example:1:2", b"user@api.example", b"api.example, evil", b"[::2]", b"http://api.example"),
)


def test_where_hosts_are_listed_no_other_is_answered(tls: Tls | None) -> None:
    ask = b"POST /x HTTP/1.1\r\nhost: %b\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    with Edge(hosts=HOSTS, tls=tls) as edge:
        for host in OURS:
            assert edge.say(ask % host).startswith(b"HTTP/1.1 200"), host
        assert len(edge.seen) == len(OURS)
        for host in FOREIGN:
            assert refusal(edge.say(ask % host)) == (421, "the Host is not served here"), host
        assert refusal(edge.say(ask.replace(b"host: ", b"host: api.example\r\nhost: ") % b"evil"))[0] == 400
        assert len(edge.seen) == len(OURS)


def test_http_0_9_gets_no_answer_that_is_one(edge: Edge) -> None:
    assert refusal(edge.say(b"GET /x\r\n\r\n"))[0] in {400, 505}
    assert edge.seen == []


def test_two_requests_one_after_the_other_share_a_connection(edge: Edge) -> None:
    with edge.connect() as sock:
        for _ in range(2):
            sock.sendall(GOOD)
            assert exactly(sock, len(OK)) == OK
    assert len(edge.seen) == 2


def test_chunks_are_put_together_and_header_names_are_lower_case(edge: Edge) -> None:
    edge.say(
        HEAD
        + b"X-Name: Value\r\nconnection: close\r\ntransfer-encoding: Chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n"
    )
    ((target, headers, body),) = edge.seen
    assert (target, body) == (b"/x", b"{}")
    assert (b"x-name", b"Value") in headers


def test_a_body_larger_than_the_bound_of_headers_is_no_header(edge: Edge) -> None:
    body = b"a" * 100_000
    assert edge.say(HEAD + b"connection: close\r\ncontent-length: 100000\r\n\r\n" + body).startswith(b"HTTP/1.1 200")
    assert edge.seen[0][2] == body


@pytest.mark.parametrize("sent", [b"", b"POST /x HT", HEAD, HEAD + b"x: a", b"\r\n"], ids=repr)
def test_headers_that_do_not_come_in_time_are_answered_408(sent: bytes, tls: Tls | None) -> None:
    with Edge(header_seconds=0.5, tls=tls) as edge:
        assert refusal(edge.say(sent))[0] == 408
        assert edge.seen == []
        still_serves(edge)


def test_the_headers_of_a_second_request_have_their_time_too(tls: Tls | None) -> None:
    with Edge(header_seconds=0.5, tls=tls) as edge:
        for late in (b"POST /x", b"\r\n"):
            with edge.connect() as sock:
                sock.sendall(GOOD)
                assert exactly(sock, len(OK)) == OK
                sock.sendall(late)
                assert refusal(rest(sock))[0] == 408


def test_dripping_does_not_lengthen_the_time_for_headers(tls: Tls | None) -> None:
    with Edge(header_seconds=0.3, tls=tls) as edge, edge.connect() as sock:
        sock.settimeout(0.05)
        sock.sendall(HEAD)
        got = b""
        while not got:
            try:
                got = sock.recv(4096)
            except TimeoutError:
                sock.sendall(b"a")
        assert got.startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_closed_without_a_word(tls: Tls | None) -> None:
    with Edge(keep_alive=0, tls=tls) as edge:
        assert edge.say(GOOD) == OK


def test_an_incomplete_body_is_never_a_request(edge: Edge) -> None:
    for sent in (
        HEAD + b"content-length: 10\r\n\r\n{",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    ):
        gone = edge.gone
        with edge.connect() as sock:
            sock.sendall(sent)
        wait_until(lambda gone=gone: edge.gone == gone + 1, "the application heard that the caller left")  # type: ignore[misc]  # bound at once
    assert edge.seen == []
    still_serves(edge)


def test_a_caller_who_resets_the_connection_is_gone(edge: Edge) -> None:
    gone = edge.gone
    edge.open.clear()
    try:
        with edge.connect() as sock:
            sock.sendall(GOOD)
            wait_until(lambda: len(edge.seen) == 1, "the request is there")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: edge.gone == gone + 1, "the application heard it")
    finally:
        edge.open.set()
    still_serves(edge)


def test_a_caller_who_closes_its_own_direction_is_taken_as_gone(edge: Edge) -> None:
    gone = edge.gone
    edge.open.clear()
    try:
        with edge.connect() as sock:
            sock.sendall(GOOD)
            wait_until(lambda: len(edge.seen) == 1, "the request is there")
            half_close(sock)
            assert rest(sock, cut=True) == b""
        wait_until(lambda: edge.gone == gone + 1, "the application heard it")
    finally:
        edge.open.set()
    still_serves(edge)


def test_a_second_request_before_the_first_is_answered_ends_both(edge: Edge) -> None:
    gone = edge.gone
    edge.open.clear()
    try:
        with edge.connect() as sock:
            sock.sendall(GOOD)
            wait_until(lambda: len(edge.seen) == 1, "the first is with the application")
            sock.sendall(GOOD)
            status, message = refusal(rest(sock))
        assert (status, message) == (400, "a second request came before the first was answered")
        wait_until(lambda: edge.gone == gone + 1, "the first has ended")
    finally:
        edge.open.set()
    still_serves(edge)


def test_an_answer_before_the_body_reaches_a_caller_who_sends_on_and_the_rest_is_thrown_away(edge: Edge) -> None:
    size = 8_000_000
    with edge.connect() as sock:
        sock.sendall(b"POST /refused HTTP/1.1\r\nhost: guard\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 100_000):
            sock.sendall(b"a" * 100_000)
        got = rest(sock)
    assert got.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n")
    assert got.endswith(b"ok")


def test_what_follows_a_refusal_is_not_another_request(edge: Edge) -> None:
    with edge.connect() as sock:
        sock.sendall(b"POST /refused HTTP/1.1\r\nhost: guard\r\ncontent-length: 10\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.sendall(b"0123456789" + GOOD)
        half_close(sock)
        rest(sock, cut=True)
    wait_until(lambda: edge.connections == 0, "the connection is closed")
    assert edge.seen == []


def test_a_caller_who_neither_reads_nor_leaves_after_a_refusal_loses_the_connection(edge: Edge) -> None:
    with edge.connect() as sock:
        sock.sendall(b"garbage\r\n\r\n")
        wait_until(lambda: edge.connections == 1, "it is refused")
        wait_until(lambda: edge.connections == 0, "it is closed by the server alone", 10.0)


def test_beyond_the_bound_of_connections_a_new_one_is_closed_and_the_others_are_served(tls: Tls | None) -> None:
    with Edge(connections=3, tls=tls) as edge, ExitStack() as stack:
        kept = [stack.enter_context(edge.connect()) for _ in range(3)]
        wait_until(lambda: edge.connections == 3, "three are open")
        with suppress(ConnectionResetError, ssl.SSLError), edge.connect() as fourth:
            assert fourth.recv(1) == b""
        for sock in kept:
            sock.sendall(GOOD)
            assert exactly(sock, len(OK)) == OK


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"GET /good  HTTP/1.1\r\n",
            b"GET  /good HTTP/1.1\r\n",
            b"GET\t/good HTTP/1.1\r\n",
            b"GET /good HTTP/1.1 \r\n",
        ),
        *(
            b"\rGET /good HTTP/1.1\r\n",
            b"\nGET /good HTTP/1.1\r\n",
            b" GET /good HTTP/1.1\r\n",
            b"GET /good HTTP/1.1\n",
        ),
        *(b"GET /g\xc3\xb6 HTTP/1.1\r\n", b"GET /good\r\n", b"\r\n\rGET /good HTTP/1.1\r\n"),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 5, 12])
def test_a_request_line_is_one_method_one_target_and_one_version(edge: Edge, line: bytes, cut: int) -> None:
    with edge.connect() as sock:
        sock.sendall(line[:cut])
        sock.sendall(line[cut:] + b"host: guard\r\n\r\n")
        assert refusal(rest(sock)) == (400, "the request is not valid HTTP")
    assert edge.seen == []
    still_serves(edge)


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("cut", [1, 2, 3, 9])
def test_an_empty_line_before_a_request_is_passed_over_and_the_next_request_is_read_anew(
    edge: Edge, before: bytes, cut: int
) -> None:
    data = before + GOOD
    with edge.connect() as sock:
        for _ in range(2):
            sock.sendall(data[:cut])
            sock.sendall(data[cut:])
            assert exactly(sock, len(OK)) == OK
        sock.sendall(GOOD.replace(b"/good ", b"/good  "))
        assert refusal(rest(sock)) == (400, "the request is not valid HTTP")


@pytest.mark.parametrize("bad", [b"garbage\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 5000])
def test_a_refusal_is_told_and_carries_the_id_that_it_is_given(bad: bytes, tls: Tls | None) -> None:
    told: list[str] = []

    def tell(reason: str) -> str:
        told.append(reason)
        return f"0123abcd{len(told)}"

    with Edge(tls=tls, tell=tell) as edge:
        for number in (1, 2):
            with edge.connect() as sock:
                sock.sendall(bad)
                head, _, body = rest(sock).partition(b"\r\n\r\n")
            assert head.endswith(b"\r\nx-request-id: 0123abcd%d" % number)
            assert json.loads(body)["error"]["message"] == f"{told[-1]} (request 0123abcd{number})"
    assert len(told) == 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_disturb_the_server(edge: Edge, data: bytes) -> None:
    with edge.connect() as sock:
        sock.sendall(data)
        half_close(sock)
        got = rest(sock, cut=True)
    assert got == b"" or refusal(got)[0] in {400, 431, 505} or edge.seen


def test_after_any_bytes_the_server_still_serves(edge: Edge) -> None:
    still_serves(edge)
