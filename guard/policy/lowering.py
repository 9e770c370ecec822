"""Which levels a change lowers: of a model under its own name, or of the same weights under another one (row A12).

A model that was removed keeps the levels that it had: it comes back with them, or two people lower them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from guard.policy.config import Config
from guard.policy.server_identity import weights_of
from guard.policy.standard import Levels

LevelsByName = Mapping[str, Levels]
NONE_KNOWN: Final[LevelsByName] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Lowering:
    """A model's levels in the configuration in force and in the one that would be, at least one of them lower.

    For a name that is new or comes back, ``before`` are the highest levels that it or its weights had, under any name.
    """

    model: str
    before: Levels
    after: Levels

    def __str__(self) -> str:
        """In words: ``demo: deployment 3, security 3 -> deployment 2, security 3``."""
        levels = (f"deployment {asl.deployment}, security {asl.security}" for asl in (self.before, self.after))
        return f"{self.model}: {' -> '.join(levels)}"


def lowerings(old: Config, new: Config, gone: LevelsByName = NONE_KNOWN) -> tuple[Lowering, ...]:
    """Return each model of the new configuration whose levels are lower than before on some axis.

    ``gone`` is what `levels_in` said of the policies that were in force here, for names that the old one has no more.
    """
    return tuple(_lowerings(old, new, gone))


def levels_in(config: Config) -> dict[str, Levels]:
    """Return the levels of every model and of all weights, by names that stay the same when the model is removed."""
    found: dict[str, Levels] = {}
    for alias, policy in config.models.items():
        weights = _weights(weights_of(policy.upstream))
        found[_model(alias)] = policy.asl
        found[weights] = _highest([policy.asl, *([found[weights]] if weights in found else [])])
    return found


def _lowerings(old: Config, new: Config, gone: LevelsByName) -> Iterator[Lowering]:
    now: LevelsByName = levels_in(old) if old.models.keys() != new.models.keys() else NONE_KNOWN
    for alias, policy in new.models.items():
        if alias in old.models:
            before = old.models[alias].asl
        else:
            weights = _weights(weights_of(policy.upstream))
            known = [now.get(weights, gone.get(weights)), gone.get(_model(alias))]
            if not any(known):
                continue
            before = _highest(each for each in known if each is not None)
        if policy.asl.deployment < before.deployment or policy.asl.security < before.security:
            yield Lowering(alias, before, policy.asl)


def _model(alias: str) -> str:
    return f"model {alias}"


def _weights(name: str) -> str:
    return f"weights {name}"


def _highest(all_levels: Iterable[Levels]) -> Levels:
    each = tuple(all_levels)
    return Levels(deployment=max(one.deployment for one in each), security=max(one.security for one in each))
