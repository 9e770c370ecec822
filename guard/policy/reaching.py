"""The way to one model's inference server, from the section ``upstream`` of its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from guard.policy.certificates import Certificates, read_certificates
from guard.policy.config import Config
from guard.policy.model import ModelPolicy, ServerKind
from guard.policy.secret import read_secret
from guard.policy.source import ConfigError, Place, Problem
from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool
from guard.upstream.send import ModelServer
from guard.upstream.tls import BadTls, client_tls
from guard.wire.routes import DIALECTS

# The operations whose answers never name a model, so that nothing could be compared.
_NAMELESS: Final = frozenset(dialect.operation for dialect in DIALECTS if not dialect.names_model)


def model_server(policy: ModelPolicy, config: Config, *, secrets: bool = True) -> ModelServer:
    """Build the way to a model's server; raises ConfigError with every problem of the section.

    Without ``secrets`` neither its credential nor its client key is read: good for checking, not for serving.
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
    endpoint, credential = None, None
    try:
        endpoint = _endpoint(policy, config, problem, secrets=secrets)
        if settings.credential is not None and secrets:
            at = partial(problem, ("upstream", "credential"))
            credential = read_secret(settings.credential, config.directory, at)
            if not credential.isascii():
                problems.append(at("must be ASCII: it is sent in a header"))
    except ConfigError as error:
        problems.extend(error.problems)
    if problems or endpoint is None:
        raise ConfigError(problems)
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
    return ModelServer(pool, endpoint.authority.encode(), base, settings.model, headers, DIALECTS)


def _endpoint(
    policy: ModelPolicy, config: Config, problem: Callable[[Place, str], Problem], *, secrets: bool
) -> Endpoint:
    settings = policy.upstream
    url = urlsplit(settings.url)
    if url.scheme == "unix":
        return Endpoint("localhost", 80, unix=url.path)
    host = url.hostname or ""
    if url.scheme == "http":
        return Endpoint(host, url.port or 80)
    given = settings.tls
    read = Certificates()
    if given is not None:
        read = read_certificates(given, config.directory, problem, secrets=secrets)
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
