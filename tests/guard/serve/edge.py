"""The HTTP edge alone on a loopback port: its application notes what it was given and answers ``ok``."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import uvloop

from guard.policy.process import ClientCertificates, ListenerTls
from guard.policy.secret_ref import SecretRef
from guard.policy.source import Problem
from guard.serve.certificates import Certificates
from guard.serve.http import GuardProtocol, protocol_class
from guard.serve.secured import secured
from guard.serve.server import listen, server
from tests.parts.certificates import Authority, Issued

PATIENCE: Final = 30.0
WITHIN: Final = 0.3
PIECE: Final = b"piece " * 400
LARGE: Final = bytes(range(256)) * 20_000
GOOD: Final = b"POST /good HTTP/1.1\r\nhost: guard\r\ncontent-length: 2\r\n\r\n{}"

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tls:
    """The listener's certificates, and how a caller trusts them."""

    certificates: Certificates
    caller: ssl.SSLContext


def listener_tls(
    authority: Authority, folder: Path, clients: str = "none", client_ca: Path | None = None, **bounds: ssl.TLSVersion
) -> Tls:
    """Certificates of this authority for 127.0.0.1, copied into ``folder``, and a caller's context that trusts it."""
    install(authority.issue("127.0.0.1"), folder)
    tls = ListenerTls(
        certificate="listener.pem",
        key=SecretRef(file="listener.key"),
        client_certificates=ClientCertificates(clients),
        client_ca=None if client_ca is None else str(client_ca),
    )
    caller = ssl.create_default_context(cafile=authority.pem)
    caller.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # set by early releases of Python 3.11
    for name, version in bounds.items():
        setattr(caller, name, version)
    return Tls(Certificates("public", tls, folder, problem), caller)


def problem(key: str, words: str) -> Problem:
    """Name a defect as that of the first surface."""
    return Problem("guard.yaml", 7, f"surfaces[0].tls.{key}", words)


def install(issued: Issued, folder: Path) -> None:
    """Put a certificate and its key where the listener reads them."""
    for source, name in ((issued.certificate, "listener.pem"), (issued.key, "listener.key")):
        fresh = folder / f"{name}.new"
        fresh.write_bytes(source.read_bytes())
        fresh.chmod(0o600)
        fresh.rename(folder / name)


class Edge:
    """Serves inside a ``with`` block; ``seen`` holds target, headers and body of each request that came whole."""

    def __init__(
        self,
        *,
        header_bytes: int = 4096,
        header_seconds: float = 10.0,
        connections: int = 64,
        keep_alive: int = 75,
        hosts: tuple[str, ...] = (),
        tls: Tls | None = None,
        tell: Callable[[str], str] | None = None,
    ) -> None:
        """Use these bounds, over TLS if there is any."""
        self.tls = tls
        self.peers: list[str] = []
        self.seen: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.gone = self.ended = 0
        self.most = 400
        self.open = threading.Event()
        self.open.set()
        self.port = 0
        self._http: type[GuardProtocol] = protocol_class(header_bytes, header_seconds, connections, hosts, tell)
        if tls is not None:
            self._http = secured(self._http, tls.certificates)
        self._keep_alive = keep_alive
        self._loop = uvloop.new_event_loop()
        self._end = asyncio.Event()
        self._up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        self._up.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.open.set()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many connections the server knows."""
        return len(self._server.server_state.connections)

    def connect(self, context: ssl.SSLContext | None = None) -> socket.socket:
        """Open a connection; over TLS, by ``context`` if given, one that takes no end for TLS's own."""
        sock = self.dial()
        if self.tls is None:
            return sock
        context = context or self.tls.caller
        try:
            return context.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        except BaseException:
            sock.close()  # where the server was gone at once, the module has not taken it over
            raise

    def dial(self) -> socket.socket:
        """Open a connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def say(self, *pieces: bytes) -> bytes:
        """Send these on a new connection and return all that comes until the server closes it."""
        with self.connect() as sock:
            for piece in pieces:
                with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    sock.sendall(piece)
            return rest(sock)

    async def application(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer every request that comes whole; `/refused`, `/cut` and `/stopped` as the journey does."""
        connection = scope["extensions"]["guard.connection"]
        self.peers.append(connection.peer)
        if scope["raw_path"] == b"/stopped":
            await self._stopped(scope["extensions"]["guard.wire"])
            return
        if scope["raw_path"] == b"/cut":
            connection.abort()
            return
        if scope["raw_path"] == b"/large":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": LARGE})
            return
        if scope["raw_path"] == b"/refused":
            connection.last()
        else:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.gone += 1
                    connection.abort()
                    return
                body, more = body + message["body"], message["more_body"]
            self.seen.append((scope["raw_path"], list(scope["headers"]), body))
            left = asyncio.Event()
            connection.when_gone(left.set)
            while not self.open.is_set() and not left.is_set():  # noqa: ASYNC110 - one of them is another thread's
                await asyncio.sleep(0.002)
            connection.when_gone(None)
            if left.is_set():
                self.gone += 1
                return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _stopped(self, wire: Any) -> None:
        """As many pieces as the connection takes at once, up to ``most``; then the end, to be taken in a while."""
        await wire.answer((200, ()), PIECE, chunked=True, ends=False)
        for _ in range(self.most):
            if not wire.flowing:
                break
            wire.piece(PIECE)
            await asyncio.sleep(0)
        wire.last(WITHIN)
        try:
            async with asyncio.timeout(WITHIN):
                await wire.answer(None, b"stopped", chunked=True, ends=True)
        except TimeoutError:
            wire.abort()
        self.ended += 1

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        sock = listen("127.0.0.1", 0)
        self.port = sock.getsockname()[1]
        self._server = server(self.application, self._http, keep_alive=self._keep_alive)
        serving = asyncio.ensure_future(self._server.serve([sock]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.001)
        self._up.set_result(None)
        await self._end.wait()
        self._server.should_exit = self._server.force_exit = True
        await serving


def rest(sock: socket.socket, *, cut: bool = False) -> bytes:
    """Read to the end; a reset fails the test, since it may take an answer with it.

    Over TLS so does a bare end of the socket, unless ``cut`` says that it is due.
    """
    got = b""
    with suppress(*([ssl.SSLError] if cut else [])):
        while piece := sock.recv(65_536):
            got += piece
    return got


def exactly(sock: socket.socket, size: int) -> bytes:
    """Read this many bytes."""
    got = b""
    while len(got) < size and (piece := sock.recv(size - len(got))):
        got += piece
    return got


def half_close(sock: socket.socket) -> None:
    """Close the own direction of the socket itself, under TLS without TLS's own end."""
    socket.socket.shutdown(sock, socket.SHUT_WR)
