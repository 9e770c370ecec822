"""What is particular to TLS: the handshake, its end, callers' certificates; the rest is `test_http`'s, over TLS too.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.serve import secured
from guard.serve.secured import SecuredTransport
from tests.guard.serve.edge import GOOD, LARGE, Edge, Tls, exactly, listener_tls, rest
from tests.parts.certificates import Authority, Issued
from tests.parts.guard_process import wait_until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("secured") / "authority")


@pytest.fixture(scope="module")
def tls(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return listener_tls(authority, tmp_path_factory.mktemp("listener"))


@pytest.fixture(scope="module")
def edge(tls: Tls) -> Iterator[Edge]:
    with Edge(tls=tls) as edge:
        yield edge


def trusting(authority: Authority, shown: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.pem)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def asked(edge: Edge, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """A connection on which one request was answered."""
    sock = edge.connect(context)
    assert isinstance(sock, ssl.SSLSocket)
    try:
        sock.sendall(GOOD)
        assert exactly(sock, len(OK)) == OK
    except BaseException:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(version: ssl.TLSVersion, edge: Edge, authority: Authority) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    with asked(edge, context) as sock:
        assert sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]


def test_tls_1_1_is_not(edge: Edge, tls: Tls, authority: Authority) -> None:
    context = trusting(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, for naming the old version at all
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        asked(edge, context)
    assert tls.certificates.failed["unsupported protocol"] == 1


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)])
def test_http_1_1_is_the_only_protocol_that_is_chosen(
    offered: list[str], chosen: str | None, edge: Edge, authority: Authority
) -> None:
    context = trusting(authority)
    context.set_alpn_protocols(offered)
    with asked(edge, context) as sock:
        assert sock.selected_alpn_protocol() == chosen


def test_a_caller_who_mistakes_the_scheme_is_told(edge: Edge, tls: Tls) -> None:
    seen, refused = len(edge.seen), tls.certificates.failed["http request"]
    with edge.dial() as sock:
        sock.sendall(GOOD)
        got = rest(sock)
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"TLS is spoken here: use https" in got
    assert (len(edge.seen), tls.certificates.failed["http request"]) == (seen, refused + 1)


@pytest.mark.parametrize("sent", [b"", HELLO[:1], HELLO], ids=["nothing", "a byte", "half a hello"])
def test_a_handshake_has_the_time_of_headers(sent: bytes, tls: Tls) -> None:
    with Edge(tls=tls, header_seconds=0.5) as edge, edge.dial() as sock:
        sock.sendall(sent)
        with suppress(ConnectionResetError):
            assert rest(sock) == b""
        asked(edge).close()


def test_connections_in_their_handshake_count(tls: Tls) -> None:
    with Edge(tls=tls, connections=2) as edge, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(edge.dial())
        wait_until(lambda: edge.connections == 2, "two are open")
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            asked(edge)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(HELLO.__add__)))
def test_no_bytes_in_place_of_a_handshake_disturb_the_listener(edge: Edge, data: bytes) -> None:
    seen = len(edge.seen)
    with edge.dial() as sock, suppress(ConnectionResetError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        rest(sock)
    assert len(edge.seen) == seen


def test_after_any_bytes_the_listener_still_serves(edge: Edge) -> None:
    asked(edge).close()


def test_a_long_answer_arrives_whole_and_is_ended_by_tls(edge: Edge) -> None:
    got = edge.say(b"GET /large HTTP/1.1\r\nhost: guard\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    size, _, text = body.partition(b"\r\n")
    assert (int(size, 16), text[: len(LARGE)] == LARGE, text[len(LARGE) :]) == (len(LARGE), True, b"\r\n0\r\n\r\n")


def test_a_cut_does_not_look_like_an_end(edge: Edge) -> None:
    with edge.connect() as sock:
        sock.sendall(b"GET /cut HTTP/1.1\r\nhost: guard\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            rest(sock)


def test_a_caller_who_ends_tls_is_gone(edge: Edge) -> None:
    gone, seen = edge.gone, len(edge.seen)
    edge.open.clear()
    try:
        with edge.connect() as sock:
            assert isinstance(sock, ssl.SSLSocket)
            sock.sendall(GOOD)
            wait_until(lambda: len(edge.seen) == seen + 1, "the request is there")
            sock.unwrap().close()  # sends its end and waits for ours
        wait_until(lambda: edge.gone == gone + 1, "the application heard it")
    finally:
        edge.open.set()


def test_a_record_that_was_tampered_with_ends_the_connection(edge: Edge) -> None:
    seen = len(edge.seen)
    with asked(edge) as sock:
        socket.socket.sendall(sock, b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
        with suppress(ssl.SSLError, ConnectionResetError):
            assert rest(sock) == b""
    wait_until(lambda: edge.connections == 0, "it is closed")
    assert len(edge.seen) == seen + 1


# Callers' certificates


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("callers") / "authority", "callers")


def mutual(authority: Authority, callers: Authority, folder: Path, clients: str) -> Tls:
    return listener_tls(authority, folder, clients, callers.pem)


versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@versions
@pytest.mark.parametrize("clients", ["required", "optional"])
def test_a_caller_is_known_by_its_certificate(
    clients: str, version: ssl.TLSVersion, authority: Authority, callers: Authority, tmp_path: Path
) -> None:
    workload = callers.issue("spiffe://example/chat", common_name="chat")
    person = callers.issue(common_name="alice")
    with Edge(tls=mutual(authority, callers, tmp_path, clients)) as edge:
        for shown in (workload, person):
            context = trusting(authority, shown)
            context.maximum_version = version
            asked(edge, context).close()
    assert edge.peers == ["spiffe://example/chat", "commonName=alice"]


@versions
@pytest.mark.parametrize(
    ("clients", "shown", "reason"),
    [
        ("required", "none", "peer did not return a certificate"),
        ("required", "foreign", "self-signed certificate in certificate chain"),
        ("required", "expired", "certificate has expired"),
        ("optional", "foreign", "self-signed certificate in certificate chain"),
        ("optional", "expired", "certificate has expired"),
    ],
)
def test_a_caller_without_a_valid_certificate_is_not_heard(
    clients: str,
    shown: str,
    reason: str,
    version: ssl.TLSVersion,
    authority: Authority,
    callers: Authority,
    tmp_path: Path,
) -> None:
    issued = {
        "none": None,
        "foreign": authority.issue("spiffe://example/chat"),
        "expired": callers.issue("spiffe://example/chat", expired=True),
    }[shown]
    tls = mutual(authority, callers, tmp_path, clients)
    context = trusting(authority, issued)
    context.maximum_version = version
    with Edge(tls=tls) as edge:
        with pytest.raises(ssl.SSLError, match="ALERT"):
            asked(edge, context)
        wait_until(lambda: dict(tls.certificates.failed) == {reason: 1}, "it is counted")  # after its alert was sent
        assert edge.seen == []


def test_where_they_are_optional_none_is_needed(authority: Authority, callers: Authority, tmp_path: Path) -> None:
    with Edge(tls=mutual(authority, callers, tmp_path, "optional")) as edge:
        asked(edge).close()
    assert edge.peers == [""]


def test_where_none_are_asked_for_one_that_is_there_says_nothing(edge: Edge, authority: Authority) -> None:
    asked(edge, trusting(authority, authority.issue("spiffe://example/chat"))).close()
    assert edge.peers[-1] == ""


# Without sockets


class Wire(asyncio.Transport):
    """Stands for the socket's transport; keeps what is written."""

    def __init__(self) -> None:
        """Begin open."""
        super().__init__()
        self.sent = b""
        self.ended = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.ended
        self.sent += bytes(data)

    def write_eof(self) -> None:
        """Note it."""
        self.ended = True

    def abort(self) -> None:
        """Note it."""
        self.aborted = True

    def is_closing(self) -> bool:
        """Whether it was aborted."""
        return self.aborted


class Caller:
    """A caller's side of TLS in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Send the hello."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")

    def meet(self, transport: SecuredTransport, wire: Wire) -> None:
        """Go through the handshake, to the last of its messages."""
        for _ in range(3):
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            if self.outgoing.pending:
                assert transport.received(self.outgoing.read()) == (b"", False)
            self.incoming.write(wire.sent)
            wire.sent = b""
        assert transport.secure


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40_000), max_size=5), st.lists(st.integers(1, 20_000), min_size=1, max_size=6))
def test_records_may_be_cut_anywhere_and_what_they_hold_comes_in_order(
    tls: Tls, texts: list[bytes], sizes: list[int]
) -> None:
    wire = Wire()
    transport, caller = SecuredTransport(wire, tls.certificates.context), Caller(tls.caller)
    caller.meet(transport, wire)
    for text in texts:
        caller.tls.write(text)
    with suppress(ssl.SSLWantReadError):
        caller.tls.unwrap()
    sent, got, ended, turn = caller.outgoing.read(), b"", False, 0
    while sent:
        size = sizes[turn % len(sizes)]
        turn += 1
        assert not ended
        plain, ended = transport.received(sent[:size])
        got, sent = got + plain, sent[size:]
    assert (got, ended) == (b"".join(texts), True)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=50_000), max_size=5))
def test_what_is_written_is_what_is_read_and_its_end_is_known(tls: Tls, texts: list[bytes]) -> None:
    wire = Wire()
    transport, caller = SecuredTransport(wire, tls.certificates.context), Caller(tls.caller)
    caller.meet(transport, wire)
    for text in texts:
        transport.write(text)
    transport.write_eof()
    transport.write(b"nothing after the end")
    caller.incoming.write(wire.sent)
    got = b""
    while piece := caller.tls.read():  # raises SSLWantReadError if there is no end
        got += piece
    assert (got, wire.ended) == (b"".join(texts), True)


def test_what_a_connection_makes_us_say_aside_is_bounded(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secured, "MAX_ASIDE", 100)  # less than a handshake
    wire = Wire()
    transport, caller = SecuredTransport(wire, tls.certificates.context), Caller(tls.caller)
    with suppress(ssl.SSLWantReadError):
        caller.tls.do_handshake()
    transport.received(caller.outgoing.read())
    assert wire.aborted


def test_the_transport_names_its_context_and_otherwise_asks_the_socket(tls: Tls) -> None:
    class Named(Wire):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"peername": ("127.0.0.1", 1)}.get(name, default)

    transport = SecuredTransport(cast(asyncio.Transport, Named()), tls.certificates.context)
    assert transport.get_extra_info("sslcontext") is tls.certificates.context
    assert transport.get_extra_info("peername") == ("127.0.0.1", 1)
    assert transport.get_extra_info("absent", 7) == 7
