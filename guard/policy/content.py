"""Reading what kept texts are sealed with: the key that wraps their data keys, and an investigator's public key."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from guard.policy.config import Config
from guard.policy.file import UnreadableError, read_regular
from guard.policy.process import ContentKeys
from guard.policy.secret import read_secret
from guard.policy.source import ConfigError, Problem

MAX_BYTES: Final = 65_536
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")


def read_content_key(config: Config, section: ContentKeys) -> str:
    """Return the key-encryption key, 64 hexadecimal digits; raises ConfigError, which does not quote it."""
    at = partial(config.problem, "guard.yaml", ("content", "key"))
    text = read_secret(section.key, config.directory, at)
    if not _HEXADECIMAL.fullmatch(text):
        raise ConfigError([at("must be 32 random bytes as 64 lower-case hexadecimal digits")])
    if len(set(text)) == 1:
        raise ConfigError([at("is one digit repeated, which is no random key")])
    return text


def read_investigator(config: Config, section: ContentKeys) -> X25519PublicKey | None:
    """Return the investigator's public key, None if there is none; raises ConfigError."""
    name = section.investigator
    if name is None:
        return None
    at = partial(config.problem, "guard.yaml", ("content", "investigator"))
    try:
        content, _ = read_regular(config.directory / name, MAX_BYTES)
        key = load_pem_public_key(content)
    except UnreadableError as error:
        raise ConfigError([at(f"{name} {error}")]) from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError([at(f"{name} is not a public key in PEM")]) from None
    if not isinstance(key, X25519PublicKey):
        raise ConfigError([at(f"{name} is not a public key of X25519")])
    return key


def check_content(config: Config, *, secrets: bool = True) -> None:
    """Read both; raises ConfigError with everything wrong. Without ``secrets`` the secret one is left alone."""
    section = config.guard.content
    if section is None:
        return
    problems: list[Problem] = []
    try:
        read_investigator(config, section)
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        if secrets:
            read_content_key(config, section)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
