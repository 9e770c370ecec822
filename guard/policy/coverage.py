"""Which paths to a model are not screened in full: the listing of ``guard coverage`` (row I1).

A path is a listener, a model and an operation; each of its sides that carries text is to be screened by a classifier
that blocks, also when it fails. The list is made from the configuration alone and leaves out no model, whether it
meets its floor or not: what a standard tolerates is still listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from guard.policy.config import Config
from guard.policy.model import ClassifierMount, Mode, ModelPolicy, OnFailure, Operation, Target

# Their answers hold numbers and names from a closed list, and no text of the model.
TEXTLESS: Final = frozenset({Operation.EMBEDDINGS, Operation.MODERATIONS, Operation.COUNT_TOKENS})
# The operations whose requests may carry what `allow_keys` lets through unread.
_OPAQUE: Final = frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})


@dataclass(frozen=True, slots=True)
class Side:
    """One side of one path; ``why`` says why it is not screened in full, None where it is."""

    surface: str
    model: str
    operation: Operation
    target: Target
    why: str | None


def sides(config: Config) -> tuple[Side, ...]:
    """Return every side of every path, in the order of the configuration."""
    return tuple(side for policy in config.models.values() for side in _of(policy))


def unscreened(config: Config, model: str) -> dict[str, int]:
    """Count, by side, the paths to a model that are not screened in full; raises KeyError for an unknown one."""
    return lacking(config.models[model])


def lacking(policy: ModelPolicy) -> dict[str, int]:
    """Count the same by one model's policy alone."""
    found = {target.value: 0 for target in Target}
    for side in _of(policy):
        found[side.target] += side.why is not None
    return found


def _of(policy: ModelPolicy) -> Iterator[Side]:
    for surface in policy.surfaces:
        for operation in policy.operations:
            for target in Target:
                if target is Target.INPUT or operation not in TEXTLESS:
                    yield Side(surface, policy.model, operation, target, _why(policy, operation, target))


def _why(policy: ModelPolicy, operation: Operation, target: Target) -> str | None:
    lacks = list(_lacks(policy, target))
    if target is Target.INPUT and policy.allow_keys and operation in _OPAQUE:
        lacks.append(f"what stands under {', '.join(policy.allow_keys)} is let through unread")
    return "; ".join(lacks) or None


def _lacks(policy: ModelPolicy, target: Target) -> Iterator[str]:
    mounts = [each for each in policy.safeguards if isinstance(each, ClassifierMount)]
    mounts = [each for each in mounts if target in each.settings.screens]
    if any(each.mode is Mode.ENFORCE and each.on_failure is OnFailure.BLOCK for each in mounts):
        return
    if not mounts:
        yield "no classifier screens it"
    for each in mounts:
        if each.mode is not Mode.ENFORCE:
            yield f"{each.name} is in shadow: what it denies passes"
        else:
            yield f"{each.name} lets its own failures pass"
