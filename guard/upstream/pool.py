"""Connections to one model's server, each used again only with proof that nothing of an earlier answer is left."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from guard.upstream.answer import Answer
from guard.upstream.connection import Connection
from guard.upstream.endpoint import Endpoint
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits


class Pool:
    """Sends requests to one endpoint; no proxies, redirects, cookies or retries. Bound to the loop of its first use.

    A connection is used again only if its last answer ended within proven bounds, the server keeps it alive, the
    request had been written in full, and it then stayed silent for ``rest_seconds``, the kernel's buffer included:
    so an answer that comes late can be taken for that of another request only if it is later than that. The longest
    rested goes first. ``idle_seconds`` is below what servers allow (uvicorn closes after 5 s): a request that meets
    the server's close fails, since it may have run and is never sent twice. All times in seconds of ``clock``, which
    must run with the loop's (the default does, on asyncio and uvloop).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        max_idle: int,
        rest_seconds: float,
        connect_seconds: float,
        first_byte_seconds: float,
        idle_seconds: float = 4.0,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep at most ``max_idle`` resting connections; nothing is dialled before the first request."""
        self.endpoint = endpoint
        self.dialled = 0
        self._max_idle = max_idle
        self._rest_seconds = rest_seconds
        self._connect_seconds = connect_seconds
        self._first_byte_seconds = first_byte_seconds
        self._idle_seconds = idle_seconds
        self._limits = limits
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[Connection] = set()
        self._resting: deque[Connection] = deque()
        self._closed = False
        self._retired = False
        self._emptied: asyncio.Future[None] | None = None

    @property
    def open(self) -> int:
        """Connections that are made and not yet gone."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """Connections that rest."""
        return len(self._resting)

    async def request(self, head_and_body: bytes) -> Answer:
        """Send the bytes as they are and wait for the head of the answer; raises UpstreamError.

        ``first_byte_seconds`` count until the whole head is there. Cancelled at any point, its connection is closed.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        connection = self._take() or await self._connect(loop)
        answer = connection.send(head_and_body)
        deadline = loop.call_later(self._first_byte_seconds, _too_late, answer)
        try:
            await answer.head()
        finally:
            deadline.cancel()
        return answer

    def retire(self) -> None:
        """Keep no connection from now on: those that rest close now, the others as their answers end."""
        self._retired = True
        for connection in tuple(self._resting):
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection at once, those in use too, and wait until they are gone."""
        self._closed = True
        for connection in tuple(self._open):
            connection.abort()
        while self._open:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    def joined(self, connection: Connection) -> None:
        """A connection is made."""
        self.dialled += 1
        self._open.add(connection)
        if self._closed:
            connection.abort()

    def rested(self, connection: Connection) -> None:
        """A connection may be used again once it has rested."""
        if self._closed or self._retired or len(self._resting) >= self._max_idle:
            connection.abort()
        else:
            self._resting.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._resting:
            self._resting.remove(connection)
        if not self._open and self._emptied is not None:
            self._emptied.set_result(None)
            self._emptied = None

    def _take(self) -> Connection | None:
        now = self._clock()
        while self._resting:
            age = now - self._resting[0].rested_since
            if age < self._rest_seconds:
                return None
            connection = self._resting.popleft()
            if age <= self._idle_seconds and connection.silent():
                return connection
            connection.abort()
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        if self._closed:
            raise UpstreamError(UpstreamFailure.ABORTED, "the pool is closed")
        connection = self.endpoint.prepare(self, loop, self._limits, self._clock)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self.endpoint.dial(loop, connection)
        except BaseException as error:
            connection.abort()
            self.lost(connection)  # uvloop does not tell that a connection is lost whose making was cancelled
            if isinstance(error, TimeoutError):
                raise UpstreamError(UpstreamFailure.TIMEOUT_CONNECT, "no connection in time") from None
            if isinstance(error, OSError):
                raise UpstreamError(UpstreamFailure.CONNECT, error.strerror or type(error).__name__) from None
            raise
        return connection


def _too_late(answer: Answer) -> None:
    answer.abort(UpstreamError(UpstreamFailure.TIMEOUT_FIRST_BYTE, "no complete head of an answer in time"))
