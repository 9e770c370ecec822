"""Reading the certificates and the key that a model's upstream names: once, when the configuration is compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from guard.policy.file import UnreadableError, read_regular
from guard.policy.secret import read_secret_bytes
from guard.policy.source import ConfigError, Place, Problem
from guard.policy.upstream import UpstreamTls

MAX_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Certificates:
    """What was read, as it stands in the files; None where nothing was named."""

    ca: bytes | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = None


def read_certificates(
    tls: UpstreamTls, directory: Path, problem: Callable[[Place, str], Problem], *, secrets: bool = True
) -> Certificates:
    """Read every file that ``tls`` names; raises ConfigError with all that cannot be read.

    ``problem`` names a defect at a place of the model's file. Without ``secrets`` the key is not read. What is replaced
    on disk later takes effect with the next configuration. Weakness: these files are no part of the configuration's
    digest.
    """
    problems: list[Problem] = []
    read: dict[str, bytes] = {}
    for key, name in (("ca", tls.ca), ("client_certificate", tls.client_certificate)):
        if name is None:
            continue
        try:
            read[key], _ = read_regular(directory / name, MAX_BYTES)
        except UnreadableError as error:
            problems.append(problem(("upstream", "tls", key), f"{name} {error}"))
            continue
        if len(read[key]) > MAX_BYTES:
            problems.append(problem(("upstream", "tls", key), f"{name} is longer than {MAX_BYTES} bytes"))
    if tls.client_key is not None and secrets:
        try:
            at = partial(problem, ("upstream", "tls", "client_key"))
            read["client_key"] = read_secret_bytes(tls.client_key, directory, at)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return Certificates(read.get("ca"), read.get("client_certificate"), read.get("client_key"))
