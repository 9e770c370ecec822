"""What a model as configured would still lack at each level of each standard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from guard.policy.config import Config
from guard.policy.floor import Unmet, unmet
from guard.policy.model import Framework, Levels

CHOSEN: Final = ("example-internal", "1")
STANDARDS: Final = (
    CHOSEN,
    ("anthropic-rsp", "2.2"),
    ("anthropic-rsp", "3.4"),
    ("openai-preparedness", "2"),
    ("google-fsf", "3.1"),
)
LEVELS: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Lack:
    """The rows that one level of one standard asks for in vain."""

    standard: str
    version: str
    asl: int
    rows: tuple[Unmet, ...]


def lacks(config: Config, model: str, at: datetime) -> tuple[Lack, ...]:
    """Judge the model's file as if it declared each level on both axes; errors as `unmet`."""
    policy = config.models[model]
    found = []
    for name, version in STANDARDS:
        for asl in LEVELS:
            changed = policy.model_copy(
                update={
                    "framework": Framework(name=name, version=version),
                    "asl": Levels(deployment=asl, security=asl),
                }
            )
            models = MappingProxyType({**config.models, model: changed})
            found.append(Lack(name, version, asl, unmet(replace(config, models=models), model, at)))
    return tuple(found)
