"""Reading the certificates of the time-stamping authority that guard.yaml names."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Final

from cryptography import x509

from guard.policy.config import Config
from guard.policy.file import UnreadableError, read_regular
from guard.policy.source import ConfigError

MAX_BYTES: Final = 1_048_576


def read_timestamp_ca(config: Config) -> bytes | None:
    """The authority's certificates as they stand in the file, None where no authority is named; raises ConfigError.

    Weakness: the file is no part of the configuration's digest.
    """
    section = config.guard.audit.timestamp
    if section is None:
        return None
    at = partial(config.problem, "guard.yaml", ("audit", "timestamp", "ca"))
    if find_spec("rfc3161_client") is None:
        words = "needs the extra timestamp: pip install 'asl-guard[timestamp]'"
        raise ConfigError([config.problem("guard.yaml", ("audit", "timestamp"), words)])
    try:
        content, _ = read_regular(config.directory / section.ca, MAX_BYTES)
        x509.load_pem_x509_certificates(content)
    except UnreadableError as error:
        raise ConfigError([at(f"{section.ca} {error}")]) from None
    except ValueError:
        raise ConfigError([at(f"{section.ca} holds no certificates in PEM")]) from None
    return content
