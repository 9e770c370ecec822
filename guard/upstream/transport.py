"""Lets httpx drive a pool, for probes and tests: the same connections under httpx's own types."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

import httpx

from guard.upstream.answer import Answer
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.pool import Pool

_TARGET: Final = re.compile(rb"/[!-~]*\Z")
_VALUE: Final = re.compile(rb"[ -~]*\Z")
_PASSED: Final = (b"content-type", b"accept", b"authorization")
_ERRORS: Final[dict[UpstreamFailure, type[httpx.TransportError]]] = {
    UpstreamFailure.CONNECT: httpx.ConnectError,
    UpstreamFailure.TIMEOUT_CONNECT: httpx.ConnectTimeout,
    UpstreamFailure.TLS: httpx.ConnectError,
    UpstreamFailure.TIMEOUT_FIRST_BYTE: httpx.ReadTimeout,
    UpstreamFailure.TIMEOUT_IDLE: httpx.ReadTimeout,
    UpstreamFailure.ABORTED: httpx.ReadError,
}


class PoolTransport(httpx.AsyncBaseTransport):
    """An httpx transport over one pool, which it closes; raises httpx errors whose cause is the UpstreamError.

    Host, content-length and accept-encoding are its own; of the request's headers only content-type, accept and
    authorization pass. Timeouts are the pool's, httpx's are ignored. The request's URL must name the pool's endpoint.
    """

    def __init__(self, pool: Pool) -> None:
        """Send through this pool."""
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; its body is read whole first."""
        message = self._message(request, await request.aread())
        try:
            answer = await self._pool.request(message)
        except UpstreamError as failure:
            raise _translated(failure) from failure
        return httpx.Response(
            answer.status,
            headers=list(answer.headers),
            stream=_Body(answer),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the pool."""
        await self._pool.aclose()

    def _message(self, request: httpx.Request, body: bytes) -> bytes:
        url, endpoint = request.url, self._pool.endpoint
        port = url.port or (80 if url.scheme == "http" else 443)
        if url.scheme != endpoint.scheme or url.host != endpoint.host or port != endpoint.port:
            raise httpx.UnsupportedProtocol("the URL is not the endpoint of this pool")
        if request.method not in {"GET", "POST"}:  # the answer of HEAD is framed unlike any other
            raise httpx.UnsupportedProtocol("only GET and POST are sent")
        if not _TARGET.match(url.raw_path):
            raise httpx.LocalProtocolError("the path holds what a request line cannot")
        lines = [
            b"%s %s HTTP/1.1" % (request.method.encode(), url.raw_path),
            b"host: " + endpoint.authority.encode("ascii"),
            b"accept-encoding: identity",
        ]
        passed = {name.lower(): value for name, value in request.headers.raw if name.lower() in _PASSED}
        for name, value in passed.items():
            if not _VALUE.match(value):
                raise httpx.LocalProtocolError(f"the value of {name.decode()} holds what a header cannot")
            lines.append(name + b": " + value)
        if body or request.method == "POST":
            lines.append(b"content-length: %d" % len(body))
        return b"\r\n".join((*lines, b"", body))


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._answer.read()) is not None:
                yield piece
        except UpstreamError as failure:
            raise _translated(failure) from failure

    async def aclose(self) -> None:
        self._answer.close()


def _translated(failure: UpstreamError) -> httpx.TransportError:
    return _ERRORS.get(failure.kind, httpx.RemoteProtocolError)(str(failure))
