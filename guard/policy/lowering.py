"""Which levels a change lowers: of a model under its own name, or of the same weights under another one (row A12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.policy.config import Config
from guard.policy.server_identity import weights_of
from guard.policy.standard import Levels


@dataclass(frozen=True, slots=True)
class Lowering:
    """A model's levels in the configuration in force and in the one that would be, at least one of them lower.

    For a name that is new, ``before`` are the highest levels that its weights had under any name.
    """

    model: str
    before: Levels
    after: Levels


def lowerings(old: Config, new: Config) -> tuple[Lowering, ...]:
    """Return each model of the new configuration whose levels are lower than before on some axis."""
    return tuple(_lowerings(old, new))


def _lowerings(old: Config, new: Config) -> Iterator[Lowering]:
    for alias, policy in new.models.items():
        if alias in old.models:
            before = old.models[alias].asl
        else:
            kin = [each.asl for each in old.models.values() if weights_of(each.upstream) == weights_of(policy.upstream)]
            if not kin:
                continue
            before = Levels(
                deployment=max(each.deployment for each in kin), security=max(each.security for each in kin)
            )
        if policy.asl.deployment < before.deployment or policy.asl.security < before.security:
            yield Lowering(alias, before, policy.asl)
