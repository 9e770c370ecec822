"""Asking a model's server to stop generating what nobody will be told: a request of its own, and nothing waits for it.

Closing the connection is what stops most servers (vLLM, llama.cpp), and is done first in any case. SGLang besides takes
``POST /abort_request`` with the ``rid`` that came in the request's body. It compares by prefix, so the id is never
empty and all ids are of one length; where it makes several answers of one request, no id is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from guard.upstream.failure import UpstreamError
from guard.upstream.pool import Pool
from guard.wire.dialect import Request

MAX_ASKING: Final = 1024
_SUCCESS: Final = range(200, 300)
_TAKING: Final = frozenset({"openai.chat", "openai.completions"})


class Aborted(StrEnum):
    """What became of it (`guard.telemetry.metric.Abort` says the same)."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    DROPPED = "dropped"


Told = Callable[[Aborted], None]


def takes_id(dialect: str, request: Request) -> bool:
    """Whether this request can be named to SGLang: one answer of a dialect whose body has a place for the id."""
    return dialect in _TAKING and request.fields.get("n") in {None, 1} and "rid" not in request.fields


def with_id(body: bytes, identity: str) -> bytes:
    """Write the id into a body that we have serialised."""
    return b'{"rid":"' + identity.encode("ascii") + b'",' + body[1:]


class Aborter:
    """Asks one server; at most 1,024 requests of its kind are under way at once."""

    def __init__(self, pool: Pool, head: bytes, seconds: float) -> None:
        """Take the way there, the head of the request up to ``content-length:``, and how long one may take in all."""
        self._pool = pool
        self._head = head
        self._seconds = seconds
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, identity: str, told: Told) -> None:
        """Ask in the background that this request ends; ``told`` is called with what became of it."""
        if len(self._asking) >= MAX_ASKING:
            told(Aborted.DROPPED)
            return
        task = asyncio.ensure_future(self._ask(identity, told))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, identity: str, told: Told) -> None:
        body = b'{"rid":"' + identity.encode("ascii") + b'"}'
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._pool.request(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
                try:
                    while await answer.read() is not None:  # its end proves the connection fit for the next request
                        pass
                finally:
                    answer.close()
        except (UpstreamError, TimeoutError):
            told(Aborted.FAILED)
        else:
            told(Aborted.DONE if answer.status in _SUCCESS else Aborted.REFUSED)
