"""A connection over TLS: OpenSSL stands between the socket and everything that holds of a connection anyway (sans-io).

The loops' own TLS is not used: it hides how much of a request is still unwritten and whether a record is half received,
which the proof that a connection is clean needs; and asyncio's keeps a quarter of a megabyte for each connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from guard.upstream.answer import Answer
from guard.upstream.connection import Connection, Owner
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits
from guard.upstream.tls import Tls

_RECORD: Final = 16384  # the most that one record holds
_RECORD_HEAD: Final = 5


class Records:
    """Follows the records of TLS through the bytes of a socket; ``whole`` tells whether none is half received."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        """Begin between two records."""
        self._head = b""
        self._left = 0

    @property
    def whole(self) -> bool:
        """Whether the last byte was the last of its record."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        """Follow these bytes."""
        at, size = self._left, len(data)
        while at < size:
            head = self._head + data[at : at + _RECORD_HEAD - len(self._head)]
            at += len(head) - len(self._head)
            if len(head) < _RECORD_HEAD:
                self._head = head
                self._left = 0
                return
            self._head = b""
            at += int.from_bytes(head[3:])
        self._left = at - size


class SecuredConnection(Connection):
    """A connection whose making includes the handshake: await `secured` before the first request.

    Bytes of whatever kind that come while it rests end it. An end of the socket without TLS's own end truncates every
    answer that has no proven end, also where unframed ones are allowed.
    """

    __slots__ = ("_handshake", "_incoming", "_outgoing", "_records", "_secure", "_tls", "_used")

    def __init__(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, limits: Limits, clock: Callable[[], float], tls: Tls
    ) -> None:
        """Prepare to be connected."""
        super().__init__(owner, loop, limits, clock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.context.wrap_bio(self._incoming, self._outgoing, server_hostname=tls.server_name)
        self._records = Records()
        self._handshake: asyncio.Future[UpstreamError | None] = loop.create_future()
        self._secure = False
        self._used = False

    async def secured(self) -> None:
        """Wait for the end of the handshake; raises UpstreamError."""
        failure = await self._handshake
        if failure is not None:
            raise failure

    def send(self, request: bytes) -> Answer:
        """As `Connection.send`."""
        self._used = True
        left = memoryview(request)
        try:
            while left:
                left = left[self._tls.write(left) :]
        except ssl.SSLError as error:
            self.abort()
            raise UpstreamError(UpstreamFailure.TLS, _words(error)) from None
        return super().send(self._outgoing.read())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport and begin the handshake."""
        super().connection_made(transport)
        self._shake()

    def data_received(self, data: bytes) -> None:
        """Let the answer under way read what the bytes hold."""
        if self._used and self._answer is None:
            self.abort()
            return
        self._records.feed(data)
        self._incoming.write(data)
        if not self._secure:
            self._shake()
            if not self._secure:
                return
        pieces: list[bytes] = []
        failure: ssl.SSLError | None = None
        ended = False
        try:
            while not ended and (self._incoming.pending or self._tls.pending()):
                piece = self._tls.read(_RECORD)
                pieces.append(piece)
                ended = not piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            failure = error
        plain = b"".join(pieces)
        if plain:
            super().data_received(plain)
        if failure is not None:
            self._break(failure)
        elif ended:
            self._over(reset=False)
            self.abort()
        elif self._answer is None and self._used and not self._records.whole:
            self.abort()  # something follows the complete answer
        else:
            self._flush()

    def eof_received(self) -> None:
        """The server will send no more, and did not say so within TLS."""
        self._end_handshake(UpstreamError(UpstreamFailure.TLS, "the connection ended during the handshake"))
        self._over(reset=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        kind = UpstreamFailure.ABORTED if self._doomed else UpstreamFailure.TLS
        self._end_handshake(UpstreamError(kind, "the connection was lost during the handshake"))
        super().connection_lost(exc)

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._secure = True
            self._flush()
            self._end_handshake(None)

    def _break(self, error: ssl.SSLError) -> None:
        failure = UpstreamError(UpstreamFailure.TLS, _words(error))
        self._flush()  # the alert that tells the server why; it may come to nothing
        answer, self._answer = self._answer, None
        self.abort()
        if answer is not None:
            answer.ended(failure)
        self._end_handshake(failure)

    def _end_handshake(self, failure: UpstreamError | None) -> None:
        if not self._handshake.done():
            self._handshake.set_result(failure)

    def _flush(self) -> None:
        transport = self._transport
        if self._outgoing.pending and transport is not None and not transport.is_closing():
            transport.write(self._outgoing.read())


def _words(error: ssl.SSLError) -> str:
    """Say what OpenSSL found, in its own constant words; no text of the server is among them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    return (error.reason or "failed").replace("_", " ").lower()
