"""The secrets of the process itself: without one of them it does not begin, so they are read with the policy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from guard.policy.config import Config
from guard.policy.secret import read_secret, read_secret_bytes
from guard.policy.source import ConfigError, Problem


def lacking(config: Config) -> Iterator[Problem]:
    """Read the pepper, and the log's signing key where one is named; yield what is wrong with them."""
    guard, directory = config.guard, config.directory
    try:
        read_secret(guard.keys.pepper, directory, partial(config.problem, "guard.yaml", ("keys", "pepper")))
    except ConfigError as error:
        yield from error.problems
    if guard.audit.signing_key is not None:
        at = partial(config.problem, "guard.yaml", ("audit", "signing_key"))
        try:
            read_secret_bytes(guard.audit.signing_key, directory, at)
        except ConfigError as error:
            yield from error.problems
