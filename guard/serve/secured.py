"""The HTTP edge over TLS: OpenSSL between the socket and a `GuardProtocol`, so that all that holds of it holds here.

The loop's own TLS is not used: its connections are not known before the handshake is over, so nothing bounds their
number, and they cannot half-close, so a refusal could be lost to a reset while the caller still sends. Here the time
for headers begins with the connection and includes the handshake, the context is the one in force when the connection
comes, and an answer's end is TLS's own end before the socket's: a cut without it is known to the caller as a cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Final, cast

from guard.serve.certificates import Certificates
from guard.serve.http import GuardProtocol
from guard.serve.tls import identity

_RECORD: Final = 16_384  # the most that one record holds
# What one connection may make us say beside its answers: the handshake, and answers to its requests for new keys.
MAX_ASIDE: Final = 262_144
_PLAIN_HTTP: Final = "HTTP_REQUEST"
_PLAIN_BODY: Final = (
    b'{"error":{"message":"TLS is spoken here: use https","type":"invalid_request_error","param":null,'
    b'"code":"bad_request"}}'
)
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
    % (len(_PLAIN_BODY), _PLAIN_BODY)
)


class SecuredTransport(asyncio.Transport):
    """The socket's transport as the protocol sees it: what is written to it leaves encrypted."""

    def __init__(self, socket: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Wait for the caller's hello."""
        super().__init__()
        self.socket = socket
        self.secure = False
        self.peer = ""
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._aside = 0
        self._closed = False

    def received(self, data: bytes) -> tuple[bytes, bool]:
        """Return what the bytes hold, and whether the caller has ended; raises SSLError."""
        self._incoming.write(data)
        pieces: list[bytes] = []
        ended = False
        try:
            if not self.secure:
                self._tls.do_handshake()
                self.secure = True
                self.peer = identity(self._tls)
            while not ended and (self._incoming.pending or self._tls.pending()):
                piece = self._tls.read(_RECORD)
                pieces.append(piece)
                ended = not piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        finally:
            self._aside += self._flush()
        if self._aside > MAX_ASIDE:
            self.abort()
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._closed or self.socket.is_closing():
            return
        left = memoryview(data)
        try:
            while left:
                left = left[self._tls.write(left) :]
        except ssl.SSLError:
            self.abort()
            return
        self._flush()

    def close(self) -> None:
        """Say that this was all, and close once it is out."""
        self._end()
        self.socket.close()

    def write_eof(self) -> None:
        """Say that this was all; what still comes is not decrypted any more."""
        self._end()
        self.socket.write_eof()

    def can_write_eof(self) -> bool:
        """As the socket."""
        return self.socket.can_write_eof()

    def abort(self) -> None:
        """Close now, without TLS's own end."""
        self._closed = True
        self.socket.abort()

    def is_closing(self) -> bool:
        """As the socket."""
        return self.socket.is_closing()

    def pause_reading(self) -> None:
        """As the socket."""
        self.socket.pause_reading()

    def resume_reading(self) -> None:
        """As the socket."""
        self.socket.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the socket, encrypted."""
        return self.socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the socket, and ``sslcontext``, by which uvicorn knows the scheme."""
        return self._context if name == "sslcontext" else self.socket.get_extra_info(name, default)

    def _end(self) -> None:
        if self._closed or self.socket.is_closing():
            return
        self._closed = True
        if self.secure:
            with contextlib.suppress(ssl.SSLError):  # the caller's own end is not waited for
                self._tls.unwrap()
            self._flush()

    def _flush(self) -> int:
        size = self._outgoing.pending
        if size and not self.socket.is_closing():
            self.socket.write(self._outgoing.read())
        return size


class SecuredProtocol(GuardProtocol):
    """One connection of a caller over TLS."""

    tls: Certificates
    _secured: SecuredTransport

    @property
    def peer(self) -> str:
        """Who the caller's verified certificate is for."""
        return self._secured.peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, within the time for headers."""
        self._secured = SecuredTransport(cast(asyncio.Transport, transport), self.tls.context)
        super().connection_made(self._secured)

    def data_received(self, data: bytes) -> None:
        """Decrypt; what is no TLS is not answered but for plain HTTP, whose caller has only mistaken the scheme."""
        if self._left:
            return
        secured = self._secured
        try:
            plain, ended = secured.received(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if plain:
            super().data_received(plain)
        if ended:
            secured.close()

    def _fail(self, error: ssl.SSLError) -> None:
        secured = self._secured
        if secured.secure:
            secured.abort()
            return
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        self.tls.refuse((reason or "failed").replace("_", " ").lower())
        if error.reason == _PLAIN_HTTP:
            secured.socket.write(_PLAIN_ANSWER)
        self._whole = False  # whatever else was sent is not ours to read
        self.leave()

    def _too_slow(self) -> None:
        if self._secured.secure:
            super()._too_slow()
        else:
            self._slow = None
            self._secured.abort()


def secured(http: type[GuardProtocol], tls: Certificates) -> type[GuardProtocol]:
    """Make of this protocol the one over TLS; uvicorn takes a class."""
    return type(f"Secured{http.__name__}", (SecuredProtocol, http), {"tls": tls})
