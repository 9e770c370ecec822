"""The way to one model's inference server, from the section ``upstream`` of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from guard.policy.certificates import Certificates, read_certificates
from guard.policy.load import read_secret
from guard.policy.model import ModelPolicy, ServerKind
from guard.policy.source import ConfigError, Problem
from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool
from guard.upstream.send import ModelServer
from guard.upstream.tls import BadTls, client_tls
from guard.wire.routes import DIALECTS

# The operations whose answers are read by something that honours `Naming.expect_model`.
_NAMING_OPERATIONS: Final = frozenset({"chat"})


def model_server(policy: ModelPolicy, directory: Path) -> ModelServer:
    """Build the way to a model's server; raises ConfigError with every problem of the section."""
    settings = policy.upstream
    problems = []
    unnamed = [operation for operation in policy.operations if operation not in _NAMING_OPERATIONS]
    if settings.expect_model is not None and unnamed:
        words = f"cannot be checked in answers to {', '.join(unnamed)} yet"
        problems.append(_problem(policy, "upstream.expect_model", words))
    endpoint, credential = None, None
    try:
        endpoint = _endpoint(policy, directory)
        if settings.credential is not None:
            credential = read_secret(settings.credential, directory)
            if not credential.isascii():
                words = "must be ASCII: it is sent in a header"
                problems.append(_problem(policy, "upstream.credential", words))
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


def _endpoint(policy: ModelPolicy, directory: Path) -> Endpoint:
    settings = policy.upstream
    url = urlsplit(settings.url)
    if url.scheme == "unix":
        return Endpoint("localhost", 80, unix=url.path)
    host = url.hostname or ""
    if url.scheme == "http":
        return Endpoint(host, url.port or 80)
    given = settings.tls
    read = Certificates() if given is None else read_certificates(given, directory, f"models/{policy.model}.yaml")
    name = host if given is None or given.server_name is None else given.server_name
    try:
        tls = client_tls(name, read.ca, read.client_certificate, read.client_key)
    except BadTls as bad:
        file = getattr(given, bad.key, None)
        words = f"{file} {bad}" if isinstance(file, str) else str(bad)
        raise ConfigError([_problem(policy, f"upstream.tls.{bad.key}", words)]) from None
    return Endpoint(host, url.port or 443, tls)


def _credential_headers(kind: ServerKind, credential: str | None) -> tuple[bytes, ...]:
    if kind is ServerKind.ANTHROPIC:
        version = b"anthropic-version: 2023-06-01"
        return (version,) if credential is None else (version, b"x-api-key: " + credential.encode("ascii"))
    return () if credential is None else (b"authorization: Bearer " + credential.encode("ascii"),)


def _problem(policy: ModelPolicy, path: str, message: str) -> Problem:
    return Problem(f"models/{policy.model}.yaml", 0, path, message)
