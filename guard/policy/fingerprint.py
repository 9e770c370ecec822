"""Fingerprints: hexadecimal SHA-256 over a part of a configuration as it is understood; comments do not count."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from guard.policy.config import Config
from guard.policy.model import ClassifierMount, ModelPolicy, Standard


def of_standard(standard: Standard) -> str:
    """Return the fingerprint of a standard: every record of a model that it binds carries it (row F9)."""
    return _hash(standard.model_dump(mode="json", by_alias=True))


def named(standard: Standard) -> str:
    """Return a standard as records name it: its name, its version and its fingerprint."""
    return f"{standard.name} {standard.version} {of_standard(standard)}"


def binding(config: Config, model: str) -> str:
    """Return the standards that bind a model as its records name them, its own first, with ``; `` between."""
    return "; ".join(named(each) for each in config.standards_of(model))


def standards_in(config: Config) -> tuple[str, ...]:
    """Return every standard that binds a model of the configuration, as records name it, each once."""
    used = {each for policy in config.models.values() for each in (policy.framework, *policy.also)}
    return tuple(sorted(named(config.standards[each.name, each.version]) for each in used))


def of_classifiers(config: Config, policy: ModelPolicy) -> str:
    """Return the fingerprint of a model's classifiers: their order, modes, engines, and every rule that they load.

    A red-team report is about classifiers of one fingerprint; any change of them makes it a report about others (C6).
    """
    mounts = [mount for mount in policy.safeguards if isinstance(mount, ClassifierMount)]
    return _hash([[_plain(mount), _plain(config.rules[mount.settings.rules])] for mount in mounts])


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True)


def _hash(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
