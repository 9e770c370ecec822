"""Sends an `Admitted`, and nothing else, to its model: the request is built from nothing of the caller's own bytes."""

from __future__ import annotations

from guard.pipeline import Admitted
from guard.upstream.answer import Answer
from guard.upstream.pool import Pool
from guard.wire.dialect import Dialect


class ModelServer:
    """One model's inference server: a fixed address, fixed headers, the model's name and credential of the policy."""

    def __init__(
        self, pool: Pool, host: bytes, base_path: bytes, model: str, credential: str | None, dialect: Dialect
    ) -> None:
        """Take everything that does not change from request to request."""
        self._pool = pool
        self._model = model
        self._dialect = dialect
        head = [
            b"POST " + base_path + dialect.upstream_path + b" HTTP/1.1",
            b"host: " + host,
            b"content-type: application/json",
            b"accept-encoding: identity",
            b"user-agent: asl-guard",
        ]
        if credential is not None:
            head.append(b"authorization: Bearer " + credential.encode("ascii"))
        self._head = b"\r\n".join(head)
        self._whole = self._head + b"\r\naccept: application/json\r\ncontent-length: "
        self._streamed = self._head + b"\r\naccept: text/event-stream\r\ncontent-length: "

    async def send(self, admitted: Admitted) -> Answer:
        """Send the request as it was admitted, under the exchange's id; raises UpstreamError."""
        request = admitted.request
        body = self._dialect.write_request(request, self._model)
        head = self._streamed if request.streamed else self._whole
        identity = b"\r\nx-request-id: " + admitted.exchange.id.encode("ascii")
        return await self._pool.request(head + b"%d" % len(body) + identity + b"\r\n\r\n" + body)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
