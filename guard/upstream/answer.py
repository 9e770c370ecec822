"""One answer of the model's server, as its reader sees it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Headers, ResponseReader


class Source(Protocol):
    """The connection an answer comes from."""

    def abort(self) -> None:
        """Close at once."""

    def resume(self) -> float:
        """Read from the socket again if that was stopped; the time now."""


class Answer:
    """One answer whose head is complete; read it to None, or close it: an answer left alone holds its connection.

    ``headers`` have lower-case names. ``last_read`` is the pool's clock (seconds) when bytes last came, or when a
    backlog that had stopped the reading was taken. One task reads at a time, but any may abort or close.
    """

    __slots__ = ("_failure", "_loop", "_source", "_waiter", "headers", "last_read", "paused", "reader", "status")

    def __init__(self, source: Source, reader: ResponseReader, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Await an answer from this source; only a connection makes one."""
        self.status = 0
        self.headers: Headers = ()
        self.last_read = now
        self.paused = False
        self.reader = reader
        self._source: Source | None = source
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    @property
    def complete(self) -> bool:
        """Whether the end has been received (perhaps not yet read)."""
        return self.reader.complete

    @property
    def proven(self) -> bool:
        """False if the body had no framing and only the end of the connection ended it."""
        return self.reader.proven

    @property
    def waiting(self) -> bool:
        """Whether a task waits for the server now; only then is a long silence the server's."""
        return self._waiter is not None

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def head(self) -> None:
        """Wait for the head; raises UpstreamError."""
        reader = self.reader
        while not reader.status:
            if self._failure is not None:
                raise self._failure
            await self._news()
        self.status, self.headers = reader.status, tuple(reader.headers)

    async def read(self) -> bytes | None:
        """All body bytes that wait, never empty; None at the end; raises UpstreamError, or what `abort` was given."""
        reader = self.reader
        while not reader.pieces:
            if self._failure is not None:
                raise self._failure
            if reader.complete:
                return None
            await self._news()
        if self.paused and self._source is not None:
            self.last_read = self._source.resume()
        return reader.take()

    def abort(self, reason: Exception) -> None:
        """End the answer at once: what waits is dropped, this and later reads raise ``reason``; the first one holds."""
        if self._failure is not None:
            return
        self.reader.discard()
        source = self._source
        self.ended(reason)
        if source is not None:
            source.abort()

    def close(self) -> None:
        """Have done with the answer: ends the connection at once unless the answer was received to its end."""
        if self._source is not None:
            self.abort(UpstreamError(UpstreamFailure.ABORTED, "closed before its end"))

    def ended(self, failure: Exception | None) -> None:
        """Its connection serves it no longer: it is complete, or it failed."""
        self._source = None
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        """Let the waiting task look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _news(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two tasks read one answer")
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.close()
            raise
