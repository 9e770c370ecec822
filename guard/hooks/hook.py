"""One webhook as it is in force: its settings with its secrets read."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from guard.policy.config import Config
from guard.policy.model import HookAuth, HookConfig, HookKind
from guard.policy.secret import At, read_secret
from guard.policy.source import ConfigError, Place, Problem
from safeguards.scope import SELF_TEST

MIN_SECRET: Final = 16
_STANDARD_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Hook:
    """What a message is judged by; ``secrets`` are the bytes that sign or are sent, any of them is accepted."""

    settings: HookConfig
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.settings.name

    @property
    def drills(self) -> bool:
        """Whether it is one by which drills come: no configuration can take such a name."""
        return self.settings.name.startswith(SELF_TEST)

    @property
    def who(self) -> str:
        """By which name records know it."""
        return f"hook:{self.settings.name}"


Hooks = Mapping[str, Hook]


def read_hooks(config: Config, *, secrets: bool = True) -> Hooks:
    """Read the secrets of every hook; raises ConfigError that names the keys.

    Without ``secrets`` none is read and each hook has none, so that it accepts nobody.
    """
    problems: list[Problem] = []
    hooks: dict[str, Hook] = {}
    for index, settings in enumerate(config.guard.admin.hooks):
        at = partial(_problem, config, ("admin", "hooks", index))
        found: list[bytes] = []
        for which, ref in enumerate(settings.secrets if secrets else ()):
            here = partial(at, "secrets", which)
            try:
                found.append(_usable(settings, read_secret(ref, config.directory, here), here))
            except ConfigError as error:
                problems.extend(error.problems)
        hooks[settings.name] = Hook(settings, tuple(found))
    if problems:
        raise ConfigError(problems)
    return hooks


def _problem(config: Config, place: Place, key: str, which: int, words: str) -> Problem:
    return config.problem("guard.yaml", (*place, key, which), words)


def _usable(settings: HookConfig, text: str, at: At) -> bytes:
    """Return the bytes to compare or sign with; the words of an error never hold any of them."""
    secret = counted = text.encode()
    if settings.proof is HookAuth.BASIC:
        user, _, password = text.partition(":")
        if not user or not password:
            raise ConfigError([at("must be a user and a password with a colon between them")])
        counted = password.encode()
    elif settings.kind is HookKind.STANDARD:
        try:
            secret = counted = base64.b64decode(text.removeprefix(_STANDARD_PREFIX), validate=True)
        except ValueError:
            raise ConfigError([at("must be base64, with or without whsec_ before it")]) from None
    if len(counted) < MIN_SECRET:
        raise ConfigError([at(f"is shorter than {MIN_SECRET} bytes")])
    return secret
