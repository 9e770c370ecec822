"""One answer of the model's server, as its reader sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Headers, ResponseReader

# More than this is not taken where it arrives: the other streams have their turn first.
AT_ONCE: Final = 16_384


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

    __slots__ = (
        "_failure",
        "_loop",
        "_source",
        "_take",
        "_waiter",
        "headers",
        "last_read",
        "paused",
        "reader",
        "status",
    )

    def __init__(self, source: Source, reader: ResponseReader, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Await an answer from this source; only a connection makes one."""
        self.status = 0
        self.headers: Headers = ()
        self.last_read = now
        self.paused = False
        self.reader = reader
        self._source: Source | None = source
        self._loop = loop
        self._waiter: asyncio.Future[bool | BaseException] | None = None
        self._take: Callable[[bytes], bool] | None = None
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
        return self._batch()

    async def follow(self, take: Callable[[bytes], bool]) -> bool:
        """Give ``take`` each batch where it arrives, for as long as it answers True; this task sleeps meanwhile.

        Returns True once ``take`` has answered False, which says that the caller has to go on with that batch himself,
        and False at the end. Raises as `read`, and what ``take`` raises.
        """
        reader = self.reader
        while True:
            while reader.pieces:
                if not take(self._batch()):
                    return True
            if self._failure is not None:
                raise self._failure
            if reader.complete:
                return False
            self._take = take
            try:
                news = await self._news()
            finally:
                self._take = None
            if news is True:
                return True
            if news:
                raise news

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
        """Let what follows take what has come, or the waiting task look again."""
        waiter = self._waiter
        if waiter is None or waiter.done():  # nobody waits, or no longer
            return
        news: bool | BaseException = False
        reader = self.reader
        if self._take is not None and 0 < reader.held <= AT_ONCE and reader.pieces:
            try:
                if not self._take(self._batch()):
                    news = True
                elif not reader.complete and self._failure is None:
                    return
            except BaseException as problem:  # noqa: BLE001 - the task raises it; a connection has no use for it
                news = problem
        self._waiter = None
        if not waiter.done():
            waiter.set_result(news)

    def _batch(self) -> bytes:
        if self.paused and self._source is not None:
            self.last_read = self._source.resume()
        return self.reader.take()

    async def _news(self) -> bool | BaseException:
        if self._waiter is not None:
            raise RuntimeError("two tasks read one answer")
        self._waiter = waiter = self._loop.create_future()
        try:
            news: bool | BaseException = await waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.close()
            raise
        return news
