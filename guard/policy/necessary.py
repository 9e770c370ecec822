"""What the process itself cannot begin without: its secrets are read together with the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

from guard.policy.config import Config
from guard.policy.content import check_content
from guard.policy.secret import read_secret, read_secret_bytes
from guard.policy.source import ConfigError, Problem
from guard.policy.timestamp_ca import read_timestamp_ca


def lacking(config: Config, *, secrets: bool = True) -> Iterator[Problem]:
    """Read what the process needs to begin and yield what is wrong: the pepper, the keys, whose time stamps count.

    Without ``secrets`` none is read, and only what can be told without them is.
    """
    guard, directory = config.guard, config.directory
    if secrets:
        yield from _told(
            lambda: read_secret(guard.keys.pepper, directory, partial(config.problem, "guard.yaml", ("keys", "pepper")))
        )
        signing = guard.audit.signing_key
        if signing is not None:
            at = partial(config.problem, "guard.yaml", ("audit", "signing_key"))
            yield from _told(lambda: read_secret_bytes(signing, directory, at))
        ship = guard.storage.ship
        for key in ("access_key", "secret_key"):
            ref = getattr(ship, key, None)
            if ref is not None:
                at = partial(config.problem, "guard.yaml", ("storage", "ship", key))
                yield from _told(partial(read_secret, ref, directory, at))
        if ship is not None and ship.otlp_logs is not None and ship.otlp_logs.authorization is not None:
            at = partial(config.problem, "guard.yaml", ("storage", "ship", "otlp_logs", "authorization"))
            yield from _told(partial(read_secret, ship.otlp_logs.authorization, directory, at))
    if guard.storage.ship is not None and guard.storage.ship.to.startswith("s3:") and find_spec("boto3") is None:
        words = "needs the package boto3: pip install 'asl-guard[s3]'"
        yield config.problem("guard.yaml", ("storage", "ship", "to"), words)
    yield from _told(lambda: read_timestamp_ca(config))
    yield from _told(lambda: check_content(config, secrets=secrets))


def _told(read: Callable[[], object]) -> Iterator[Problem]:
    try:
        read()
    except ConfigError as error:
        yield from error.problems
