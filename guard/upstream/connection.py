"""One connection to the model's server: a socket, and the answer that may be under way on it."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Protocol, cast

from guard.upstream.answer import Answer
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits, ResponseReader


class Owner(Protocol):
    """Who keeps connections; they call it back."""

    def joined(self, connection: Connection) -> None:
        """The connection is made."""

    def rested(self, connection: Connection) -> None:
        """Its answer is complete, and clean so far."""

    def lost(self, connection: Connection) -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """A socket in one of three states: answering, resting, or on its way out.

    Bytes that come while it rests were asked for by nobody: it is closed at once.
    """

    __slots__ = ("_answer", "_clock", "_doomed", "_limits", "_loop", "_owner", "_poll", "_transport", "rested_since")

    def __init__(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, limits: Limits, clock: Callable[[], float]
    ) -> None:
        """Prepare to be connected."""
        self.rested_since = 0.0
        self._owner = owner
        self._loop = loop
        self._limits = limits
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._doomed = False
        self._poll = select.poll()

    def send(self, request: bytes) -> Answer:
        """Write a whole request as it goes on the wire, and await its answer; raises UpstreamError if closed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise UpstreamError(UpstreamFailure.CLOSED, "the connection ended before the request was sent")
        self._answer = answer = Answer(self, ResponseReader(self._limits), self._loop, self._clock())
        transport.write(request)
        return answer

    def silent(self) -> bool:
        """Whether it is open and nothing waits in the kernel either, which a busy loop may not have looked at yet."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and not self._poll.poll(0)

    def abort(self) -> None:
        """Close at once, without flushing, and fail the answer; one still being made is closed when it is."""
        self._doomed = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.abort(UpstreamError(UpstreamFailure.ABORTED, "the connection was closed"))
        if self._transport is not None:
            self._transport.abort()

    def resume(self) -> float:
        """Read from the socket again if that was stopped; the time now."""
        if self._answer is not None and self._answer.paused and self._transport is not None:
            self._answer.paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return self._clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.POLLIN)
        self._owner.joined(self)
        if self._doomed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Let the answer under way read the bytes."""
        answer = self._answer
        if answer is None:
            self.abort()
            return
        reader = answer.reader
        answer.last_read = now = self._clock()
        try:
            reader.feed(data)
        except UpstreamError as failure:
            self._answer = None
            self.abort()
            answer.ended(failure)
            return
        if reader.complete:
            self._complete(answer, now)
        elif reader.held > self._limits.held_bytes and reader.pieces and not answer.paused:
            answer.paused = True
            if self._transport is not None:
                self._transport.pause_reading()
        answer.wake()

    def eof_received(self) -> None:
        """The server will send no more; the transport closes itself after this."""
        self._over(reset=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._over(reset=exc is not None)
        self._transport = None
        self._owner.lost(self)

    def _complete(self, answer: Answer, now: float) -> None:
        self._answer = None
        answer.ended(None)
        transport = self._transport
        # An answer that was complete before its request was written cannot answer all of it.
        if answer.reader.clean and transport is not None and not transport.get_write_buffer_size():
            self.rested_since = now
            self._owner.rested(self)
        else:
            self.abort()

    def _over(self, *, reset: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        failure: UpstreamError | None = None
        try:
            answer.reader.eof(reset=reset)
        except UpstreamError as error:
            failure = error
        answer.ended(failure)
