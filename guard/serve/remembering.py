"""What is kept about the policies that came into force: the note of the one in force, and the words of the record."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from guard.policy.acceptance import under_care
from guard.policy.config import Config
from guard.policy.lowering import LevelsByName, levels_in
from guard.policy.standard import Levels
from guard.state.snapshots import Current

MAX_TOLD: Final = 20


def note(config: Config, since: float, who: str, last: Current | None) -> Current:
    """Return the note of a policy in force after another: what was under two people's care stays so, levels too."""
    levels = {name: (each.deployment, each.security) for name, each in levels_in(config).items()}
    care = under_care(config)
    if last is None:
        return Current(config.digest, since, who, care, levels)
    return Current(config.digest, since, who, last.remembered | care, {**last.levels, **levels})


def last_levels(current: Current) -> LevelsByName:
    """Return the last levels of every name of a model, or of weights, that was ever in force here."""
    return {name: Levels(deployment=one, security=two) for name, (one, two) in current.levels.items()}


def in_words(
    changes: int, effect: str, *, approved_by: Collection[str], lowered: Collection[str], standards: Collection[str]
) -> str:
    """Say for the record what a change was, who approved it, which levels it lowered, and which standards bind now."""
    words = f"{changes} change{'' if changes == 1 else 's'}: {effect or 'none'}"
    if approved_by:
        words += f", approved by {', '.join(approved_by)}"
    if lowered:
        words += f"; levels lowered: {_some(lowered)}"
    return f"{words}; under {_some(standards)}"


def _some(names: Collection[str]) -> str:
    more = f"; and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
    return "; ".join(tuple(names)[:MAX_TOLD]) + more
