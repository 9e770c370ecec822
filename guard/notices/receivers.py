"""The receivers of a configuration with their credentials read and fit for use."""

from __future__ import annotations

import base64
import hashlib
import ssl
from dataclasses import replace
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError

from guard.notices.forms import Receiver
from guard.policy.config import Config
from guard.policy.fields import Url
from guard.policy.notify import ReceiverConfig, ReceiverKind
from guard.policy.secret import At, read_secret
from guard.policy.source import ConfigError, Problem

MIN_SECRET: Final = 16
_PREFIX: Final = "whsec_"
_ADDRESS: Final[TypeAdapter[str]] = TypeAdapter(Url)


def read_receivers(config: Config, *, secrets: bool = True) -> tuple[Receiver, ...]:
    """Read every credential; raises ConfigError that names the keys. Without ``secrets`` none is read, and none given.

    Certificates that a receiver's own must come from are read as well: a wrong file is found before it is needed.
    """
    problems: list[Problem] = []
    found: list[Receiver] = []
    for index, settings in enumerate(config.guard.notify):
        at = partial(_problem, config, index)
        try:
            trusted, authorities = _trusted(settings, config, partial(at, "ca"))
            if secrets:
                receiver = _receiver(settings, config, trusted, partial(at, "credential"))
                found.append(replace(receiver, authorities=authorities))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def _trusted(settings: ReceiverConfig, config: Config, at: At) -> tuple[ssl.SSLContext, bytes]:
    if settings.ca is None:
        return ssl.create_default_context(), b""
    try:
        path = config.directory / settings.ca
        digest = hashlib.sha256(path.read_bytes()).digest()  # before: what changes in between is another the next time
        return ssl.create_default_context(cafile=path), digest
    except (OSError, ssl.SSLError):
        words = f"{settings.ca} cannot be read, or holds no certificate in PEM"
        raise ConfigError([at(words)]) from None


def _problem(config: Config, index: int, key: str, words: str) -> Problem:
    return config.problem("guard.yaml", ("notify", index, key), words)


def _receiver(settings: ReceiverConfig, config: Config, trusted: ssl.SSLContext, at: At) -> Receiver:
    """The words of an error never hold any of the credential."""
    text = read_secret(settings.credential, config.directory, at)
    url = (settings.url or "").rstrip("/") if settings.kind is ReceiverKind.GRAFANA else settings.url or ""
    if settings.kind is ReceiverKind.SLACK:
        try:
            return Receiver(settings, _ADDRESS.validate_python(text), b"", trusted)
        except ValidationError:
            raise ConfigError([at("must be the address of an incoming webhook, without a query")]) from None
    if settings.kind is ReceiverKind.GRAFANA:
        if not text.isascii() or " " in text:
            raise ConfigError([at("must be a token of printable ASCII without blanks")])
        return Receiver(settings, url, text.encode(), trusted)
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        raise ConfigError([at("must be base64, with or without whsec_ before it")]) from None
    if len(secret) < MIN_SECRET:
        raise ConfigError([at(f"is shorter than {MIN_SECRET} bytes")])
    return Receiver(settings, url, secret, trusted)
