"""Asking an inference server whose manners nobody knows: bounded in bytes and seconds, following nothing it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Self

import httpx

MAX_BYTES: Final = 1_048_576
SECONDS: Final = 4.0
REDIRECTS: Final = range(300, 400)
REFUSALS: Final = (401, 403)


class Probe(StrEnum):
    """The requests that are ever sent; none of them carries a body."""

    GET = "GET"
    PROPFIND = "PROPFIND"  # safe by its definition (RFC 4918, 9.1), and no inference server implements it
    POST = "POST"


class NoAnswerError(Exception):
    """Why there is no answer, as words that follow "the server"."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the header `server`, and the body, None where it was not asked for or is longer than MAX_BYTES."""

    status: int
    server: str
    body: bytes | None

    def json(self) -> Mapping[str, Any]:
        """Return the JSON object of a 200; empty for anything else, since a sign that cannot be read is none."""
        if self.status != httpx.codes.OK or not self.body:
            return {}
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class Asking:
    """One server, asked one thing at a time, inside an `async with` block.

    ``base`` is its address without a slash at the end. Every request ends within ``seconds``, also when the answer
    drips. Cookies, redirects, compression and the environment's proxies play no part.
    """

    def __init__(self, base: str, *, seconds: float = SECONDS) -> None:
        """Connect to nothing yet."""
        self._base = base
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=seconds,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"user-agent": "asl-guard-init", "accept-encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, path: str, probe: Probe = Probe.GET, *, key: str = "", read: bool = True) -> Answer:
        """Send one request, with a bearer ``key`` if one is given; raises NoAnswerError."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._http.stream(probe.value, self._base + path, headers=headers) as answer,
            ):
                server = answer.headers.get("server", "")
                return Answer(answer.status_code, server, await _body(answer) if read else None)
        except (TimeoutError, httpx.TimeoutException):
            raise NoAnswerError(f"did not answer within {self._seconds:g} seconds") from None
        except httpx.ConnectError:
            raise NoAnswerError("cannot be reached: nobody accepts the connection") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise NoAnswerError("does not answer in HTTP that can be understood") from None


async def _body(answer: httpx.Response) -> bytes | None:
    """Read to the end, or give up beyond the bound; a coded body is not unpacked, it was not asked for."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.aiter_raw():
        size += len(piece)
        if size > MAX_BYTES:
            return None
        pieces.append(piece)
    return b"".join(pieces)
