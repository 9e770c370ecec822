"""Writing a first configuration: all of it or nothing, beside nothing that was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from guard.credentials import digest, new_secret
from guard.onboarding.files import KEY_ID, TOKEN_ID, Digests, Setup, texts
from guard.policy.load import load

DAYS: Final = 90


class OccupiedError(Exception):
    """There is something of that name already."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The two secrets, which are stored nowhere; shown in no representation."""

    key: str = field(repr=False)
    token: str = field(repr=False)


def occupied(directory: Path) -> bool:
    """Tell whether anything has that name already; an empty folder too, since it may be somebody's."""
    return os.path.lexists(directory)


def write(
    directory: Path, setup: Setup, now: datetime, randomness: Callable[[int], bytes], upstream_key: str = ""
) -> Credentials:
    """Write the configuration and return its secrets; it is read back before it gets its name.

    ``upstream_key`` is the inference server's, kept in `secrets` when ``setup.credential`` says so. Raises
    OccupiedError, OSError, and ConfigError if what was written would not load.
    """
    if occupied(directory):
        raise OccupiedError(directory)
    pepper = randomness(32).hex()
    credentials = Credentials(
        key=new_secret("sk-guard", KEY_ID, randomness), token=new_secret("at-guard", TOKEN_ID, randomness)
    )
    digests = Digests(
        key=digest(pepper.encode(), credentials.key.encode()),
        token=digest(pepper.encode(), credentials.token.encode()),
        expires=(now + timedelta(days=DAYS)).date(),
    )
    unfinished = directory.with_name(f".{directory.name}-{randomness(8).hex()}")
    unfinished.mkdir(parents=True)
    try:
        for name, text in texts(setup, digests).items():
            path = unfinished / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        secrets = unfinished / "secrets"
        secrets.mkdir(mode=0o700)
        _secret(secrets / "pepper", pepper)
        _secret(secrets / "content-key", randomness(32).hex())
        if setup.credential:
            _secret(secrets / "upstream.key", upstream_key)
        load(unfinished)
        unfinished.rename(directory)  # refused by the system over anything but an empty folder, should one be new
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return credentials


def _secret(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
