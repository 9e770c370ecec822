"""Sends an `Admitted`, and nothing else, to its model: the request is built from nothing of the caller's own bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from guard.pipeline import Admitted
from guard.upstream.abort import Aborter, Told, takes_id, with_id
from guard.upstream.answer import Answer
from guard.upstream.failure import UpstreamError
from guard.upstream.pool import Pool
from guard.wire.dialect import Dialect

SETTLE_SECONDS: Final = 1.0
MAX_SETTLING: Final = 256


@dataclass(frozen=True, slots=True)
class AbortRequest:
    """Where a server is asked to stop generating, below its base path, and how many seconds that may take."""

    path: bytes
    seconds: float


class Unread(Protocol):
    """An answer of which the end may be still to come."""

    @property
    def complete(self) -> bool:
        """Whether it has come."""

    async def read(self) -> bytes | None:
        """As `Answer.read`."""

    def close(self) -> None:
        """As `Answer.close`."""


class ModelServer:
    """One model's inference server: a fixed address, fixed headers, the model's name and credential of the policy."""

    def __init__(
        self,
        pool: Pool,
        host: bytes,
        base_path: bytes,
        model: str,
        headers: tuple[bytes, ...],
        dialects: Iterable[Dialect],
        abort: AbortRequest | None = None,
    ) -> None:
        """Take everything that does not change from request to request; ``headers`` carry the credential.

        ``abort`` is how this server is asked to stop generating; None where closing the connection is all.
        """
        self._pool = pool
        self._model = model
        self._settling: set[asyncio.Task[None]] = set()
        self._heads = {}

        def head(path: bytes, accept: bytes) -> bytes:
            return b"\r\n".join(
                [
                    b"POST " + base_path + path + b" HTTP/1.1",
                    b"host: " + host,
                    b"content-type: application/json",
                    b"accept-encoding: identity",
                    b"user-agent: asl-guard",
                    *headers,
                    b"accept: " + accept,
                    b"content-length: ",
                ]
            )

        for dialect in dialects:
            path = dialect.upstream_path
            self._heads[dialect.name] = (dialect, head(path, b"application/json"), head(path, b"text/event-stream"))
        self._aborter = None
        if abort is not None:
            self._aborter = Aborter(pool, head(abort.path, b"application/json"), abort.seconds)

    async def send(self, admitted: Admitted) -> Answer:
        """Send the request as it was admitted, under the exchange's id; raises UpstreamError."""
        request = admitted.request
        dialect, whole, streamed = self._heads[admitted.exchange.dialect]
        body = dialect.write_request(request, self._model)
        if self._aborter is not None and takes_id(dialect.name, request):
            body = with_id(body, admitted.exchange.id)
        head = streamed if request.streamed else whole
        identity = b"\r\nx-request-id: " + admitted.exchange.id.encode("ascii")
        return await self._pool.request(head + b"%d" % len(body) + identity + b"\r\n\r\n" + body)

    def abandon(self, admitted: Admitted, told: Told) -> None:
        """Have the server stop generating an answer that was stopped, where it takes that; nothing waits for it."""
        if self._aborter is not None and takes_id(admitted.exchange.dialect, admitted.request):
            self._aborter.ask(admitted.exchange.id, told)

    def settle(self, answer: Unread) -> None:
        """Wait a moment, in the background, for the end of the body: it proves the connection fit for the next request.

        What comes before that end is dropped; a body that does not end in time closes its connection.
        """
        if answer.complete or len(self._settling) >= MAX_SETTLING:
            answer.close()
            return
        task = asyncio.ensure_future(_read_to_end(answer))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def retire(self) -> None:
        """Nothing new will be sent: keep no connection; those in use close as their answers end."""
        self._pool.retire()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


async def _read_to_end(answer: Unread) -> None:
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while await answer.read() is not None:
                pass
    except (UpstreamError, TimeoutError):
        return
    finally:
        answer.close()
