"""The way to one model's inference server, from the section ``upstream`` of its file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from guard.policy.certificates import Certificates, read_certificates
from guard.policy.config import Config
from guard.policy.model import ModelPolicy, ServerKind, Upstream
from guard.policy.secret import read_secret
from guard.policy.source import ConfigError, Place, Problem
from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool
from guard.upstream.send import AbortRequest, ModelServer
from guard.upstream.tls import BadTls, client_tls
from guard.wire.routes import DIALECTS

GRACE_SECONDS: Final = 10.0
# The operations whose answers never name a model, so that nothing could be compared.
_NAMELESS: Final = frozenset(dialect.operation for dialect in DIALECTS if not dialect.names_model)


@dataclass(frozen=True, slots=True)
class Reach:
    """The way to a model's server, and everything that it was made of: made of the same, it is the same."""

    settings: Upstream
    credential: str | None
    certificates: Certificates
    server: ModelServer


class Departures:
    """The ways that no policy in force uses any longer, until the last of their answers has ended."""

    def __init__(self) -> None:
        """See nobody off yet."""
        self._leaving: dict[ModelServer, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def see_off(self, way: Reach) -> None:
        """Keep no connection of it; after the longest time that an answer may take, the rest is closed at once."""
        way.server.retire()
        longest = way.settings.total_seconds + GRACE_SECONDS
        self._leaving[way.server] = asyncio.get_running_loop().call_later(longest, self._close, way.server)

    async def aclose(self) -> None:
        """Close them all now."""
        for server in tuple(self._leaving):
            self._close(server)
        await asyncio.gather(*self._closing)

    def _close(self, server: ModelServer) -> None:
        self._leaving.pop(server).cancel()
        closing = asyncio.ensure_future(server.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def reach(policy: ModelPolicy, config: Config, before: Reach | None = None, *, secrets: bool = True) -> Reach:
    """Make the way to a model's server, or take the one ``before`` if nothing of it has changed, connections and all.

    Raises ConfigError with every problem of the section. Without ``secrets`` neither its credential nor its client key
    is read: good for checking, not for serving.
    """
    settings = policy.upstream
    problem = partial(config.problem, f"models/{policy.model}.yaml")
    problems = []
    nameless = [operation for operation in policy.operations if operation in _NAMELESS]
    if settings.expect_model is not None and nameless:
        words = (
            f"cannot be checked in answers to {', '.join(nameless)}, which name no model: leave out one or the other"
        )
        problems.append(problem(("upstream", "expect_model"), words))
    credential, read = None, Certificates()
    try:
        if settings.tls is not None:
            read = read_certificates(settings.tls, config.directory, problem, secrets=secrets)
        if settings.credential is not None and secrets:
            at = partial(problem, ("upstream", "credential"))
            credential = read_secret(settings.credential, config.directory, at)
            if not credential.isascii():
                problems.append(at("must be ASCII: it is sent in a header"))
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    if before is not None and (before.settings, before.credential, before.certificates) == (settings, credential, read):
        return before
    endpoint = _endpoint(settings, read, problem, secrets=secrets)
    pool = Pool(
        endpoint,
        max_idle=settings.max_idle,
        rest_seconds=settings.rest_seconds,
        connect_seconds=settings.connect_seconds,
        first_byte_seconds=settings.first_byte_seconds,
    )
    path = urlsplit(settings.url).path if not endpoint.unix else settings.base_path or ""
    base = path.rstrip("/").removesuffix("/v1").encode("ascii")
    headers = _credential_headers(settings.kind, credential)
    asked = settings.abort
    abort = None if asked is None else AbortRequest(asked.path.encode("ascii"), asked.seconds)
    server = ModelServer(pool, endpoint.authority.encode(), base, settings.model, headers, DIALECTS, abort)
    return Reach(settings, credential, read, server)


def _endpoint(
    settings: Upstream, read: Certificates, problem: Callable[[Place, str], Problem], *, secrets: bool
) -> Endpoint:
    url = urlsplit(settings.url)
    if url.scheme == "unix":
        return Endpoint("localhost", 80, unix=url.path)
    host = url.hostname or ""
    if url.scheme == "http":
        return Endpoint(host, url.port or 80)
    given = settings.tls
    name = host if given is None or given.server_name is None else given.server_name
    client = read.client_certificate if secrets else None  # it is taken only together with its key
    try:
        tls = client_tls(name, read.ca, client, read.client_key)
    except BadTls as bad:
        file = getattr(given, bad.key, None)
        words = f"{file} {bad}" if isinstance(file, str) else str(bad)
        raise ConfigError([problem(("upstream", "tls", bad.key), words)]) from None
    return Endpoint(host, url.port or 443, tls)


def _credential_headers(kind: ServerKind, credential: str | None) -> tuple[bytes, ...]:
    if kind is ServerKind.ANTHROPIC:
        version = b"anthropic-version: 2023-06-01"
        return (version,) if credential is None else (version, b"x-api-key: " + credential.encode("ascii"))
    return () if credential is None else (b"authorization: Bearer " + credential.encode("ascii"),)
