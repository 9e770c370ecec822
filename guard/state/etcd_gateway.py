"""Speaking to etcd through its JSON gateway: a question, an answer that was checked, all of it bounded.

Numbers of 64 bits are texts in that form and bytes are base64; what is zero is left out. etcd's own words are never
repeated, since they may quote what was sent. Source: etcd 3.4 and later, gRPC gateway, API v3.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import httpx
import msgspec

from guard.state.engine import MAX_PAGE, MAX_REPORT_BYTES, EngineError
from guard.state.places import Patience, places_of, url_of

# A page of the longest orders in base64, and what stands around each.
MAX_ANSWER: Final = MAX_PAGE * (MAX_REPORT_BYTES * 4 // 3 + 1024)
_PORT: Final = 2379
_UNAUTHENTICATED: Final = 16  # gRPC's code
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where etcd is, who asks, and below which prefix of its keys the fleet's are; ``user`` may be empty."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Cluster:
        """Read ``https://user:password@host:port,host:port/prefix``; user and password may be left out.

        Raises ValueError that names what is wrong and shows nothing of the text, which may hold a password.
        """
        parts = url_of(text)
        if parts.scheme not in {"http", "https"}:
            raise ValueError("must begin with https:// (or http:// on this host)")
        person, at, places = parts.netloc.rpartition("@")
        user, colon, password = person.partition(":")
        if at and not (user and colon and password):
            raise ValueError("must have a user and a password, or neither")
        prefix = parts.path.removeprefix("/") or "guard"
        if not set(prefix) <= _NAME:
            raise ValueError("the prefix behind the hosts is of a-z 0-9 - _")
        return cls(parts.scheme, places_of(places, _PORT), unquote(user), unquote(password), prefix)


class _Refusal(msgspec.Struct):
    code: int = 0


class _Token(msgspec.Struct):
    token: str


class _UnknownTokenError(Exception):
    """The token is no longer known."""


class Gateway:
    """Asks one of the hosts that answer; for one event loop."""

    def __init__(self, cluster: Cluster, tls: ssl.SSLContext | None, patience: Patience) -> None:
        """Take the cluster and whom to trust there (None: nothing is encrypted)."""
        self._cluster = cluster
        self._tls = tls
        self._patience = patience
        self._client: httpx.AsyncClient | None = None
        self._host = 0
        self._token = ""

    async def ask(self, path: str, question: Mapping[str, Any], form: type[T]) -> T:
        """Ask one thing; raises EngineError when there is no whole answer of this form in time."""
        try:
            if self._cluster.user and not self._token:
                await self._enter()
            return await self._once(path, question, form)
        except _UnknownTokenError:
            self._token = ""
            if not self._cluster.user:
                raise EngineError("etcd asks for a user and a password") from None
        try:
            await self._enter()
            return await self._once(path, question, form)
        except _UnknownTokenError:
            raise EngineError("etcd does not take the user and the password") from None

    async def _enter(self) -> None:
        who = {"name": self._cluster.user, "password": self._cluster.password}
        try:
            self._token = (await self._once("auth/authenticate", who, _Token)).token
        except _UnknownTokenError:
            raise EngineError("etcd does not take the user and the password") from None

    async def _once(self, path: str, question: Mapping[str, Any], form: type[T]) -> T:
        try:
            async with asyncio.timeout(self._patience.connect + self._patience.answer):
                async with self._opened(path, question) as answer:
                    body = bytearray()
                    async for part in answer.aiter_bytes():
                        body += part
                        if len(body) > MAX_ANSWER:
                            raise EngineError(f"etcd answers more than {MAX_ANSWER} bytes")
        except TimeoutError:
            await self.aclose()
            raise EngineError("etcd does not answer in time") from None
        if answer.status_code != httpx.codes.OK:
            raise _refused(path, answer.status_code, bytes(body))
        try:
            return msgspec.json.decode(bytes(body), type=form, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise EngineError("etcd answers in another form") from None

    def forget_token(self) -> None:
        """Ask for another token with the next question: this one is perhaps no longer known."""
        self._token = ""

    async def lines(self, path: str, question: Mapping[str, Any]) -> AsyncIterator[str]:
        """Ask what is answered line by line, for as long as the caller listens; raises EngineError."""
        if self._cluster.user and not self._token:
            await self._enter()
        async with self._opened(path, question, quiet=True) as answer:
            if answer.status_code != httpx.codes.OK:
                self.forget_token()
                raise EngineError(f"etcd refuses {path}: status {answer.status_code}")
            async for line in answer.aiter_lines():
                yield line

    @asynccontextmanager
    async def _opened(
        self, path: str, question: Mapping[str, Any], *, quiet: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """Begin a question; ``quiet`` lets the server be silent within its answer."""
        patience = self._patience
        timeout = httpx.Timeout(patience.answer, connect=patience.connect, read=None if quiet else patience.answer)
        headers = {"authorization": self._token} if self._token else {}
        content = msgspec.json.encode(question)
        for _ in self._cluster.hosts:
            host, port = self._cluster.hosts[self._host]
            url = f"{self._cluster.scheme}://{f'[{host}]' if ':' in host else host}:{port}/v3/{path}"
            try:
                client = self._connected()
                async with client.stream("POST", url, content=content, headers=headers, timeout=timeout) as answer:
                    yield answer
                    return
            except (httpx.ConnectError, httpx.ConnectTimeout) as failed:
                problem = failed
                self._host = (self._host + 1) % len(self._cluster.hosts)
            except httpx.TimeoutException:
                await self._next()
                raise EngineError("etcd does not answer in time") from None
            except httpx.HTTPError as broken:
                await self._next()
                raise EngineError(f"etcd cannot be reached: {type(broken).__name__}") from None
        await self.aclose()
        cause = problem.__cause__ or problem.__context__
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise EngineError(f"no TLS with etcd: {cause.reason or 'refused'}")
        late = isinstance(problem, httpx.ConnectTimeout)
        raise EngineError("etcd does not answer in time" if late else "etcd cannot be reached")

    async def aclose(self) -> None:
        """Let connections go; the next question makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _next(self) -> None:
        self._host = (self._host + 1) % len(self._cluster.hosts)
        await self.aclose()

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            # A cluster without TLS is on this host (the configuration demands it), so no context is made for it.
            verify: ssl.SSLContext | bool = self._tls if self._tls is not None else False
            self._client = httpx.AsyncClient(
                trust_env=False, follow_redirects=False, verify=verify, headers={"user-agent": "asl-guard"}
            )
        return self._client


def _refused(path: str, status: int, body: bytes) -> Exception:
    try:
        code = msgspec.json.decode(body, type=_Refusal).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        code = 0
    if code == _UNAUTHENTICATED or status == httpx.codes.UNAUTHORIZED:
        return _UnknownTokenError()
    if path.startswith("auth/"):
        return EngineError("etcd does not take the user and the password")
    return EngineError(f"etcd refuses {path}: status {status}, code {code}")
