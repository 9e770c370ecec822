"""Which model may answer in place of another: as a fallback, or as the replacement of one that was withdrawn (C14)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from guard.policy.model import ModelPolicy
from guard.policy.server_identity import weights_of
from guard.policy.source import Document, Place, Problem


def replacing(
    document: Document, policy: ModelPolicy, models: Mapping[str, ModelPolicy], broken: AbstractSet[str]
) -> Iterator[Problem]:
    """Yield what keeps the models that a ladder names from standing in for its model.

    ``models`` are the valid files by ``models/name.yaml``, ``broken`` the labels of those that are not.
    """
    ladder = policy.ladder
    named: list[tuple[Place, str, bool]] = []
    if ladder.fallback is not None:
        named.append((("ladder", "fallback", "model"), ladder.fallback.model, True))
    if ladder.de_deployed is not None:
        replaced = ladder.de_deployed
        named.append((("ladder", "de_deployed", "replacement"), replaced.replacement, replaced.route))
    for place, alias, answers in named:
        label = f"models/{alias}.yaml"
        other = models.get(label)
        if alias == policy.model:
            yield document.problem(place, "is this model itself")
        elif other is None:
            if label not in broken:
                yield document.problem(place, f"there is no file {label}")
        else:
            for words in (*_unlike(policy, other), *(_beyond(policy, other, models) if answers else ())):
                yield document.problem(place, f"{label} {words}")


def _unlike(policy: ModelPolicy, other: ModelPolicy) -> Iterator[str]:
    """Say where the other one cannot be asked for what this one is."""
    if other.audience is not policy.audience:
        yield f"is for the audience {other.audience}, and this model is for {policy.audience}"
    if missing := [name for name in policy.surfaces if name not in other.surfaces]:
        yield f"is not served on {', '.join(missing)}"
    if missing := [operation.value for operation in policy.operations if operation not in other.operations]:
        yield f"does not list the operation {', '.join(missing)}"


def _beyond(policy: ModelPolicy, other: ModelPolicy, models: Mapping[str, ModelPolicy]) -> Iterator[str]:
    """Say why the other one is no less capable model, or leads back here."""
    if other.asl.deployment > policy.asl.deployment or other.asl.security > policy.asl.security:
        yield "declares higher levels than this model"
    if other.model in policy.same_weights_as or weights_of(other.upstream) == weights_of(policy.upstream):
        yield "serves the same weights"
    if policy.model in _reached(other, models):
        yield "leads back to this model: its own ladder names it"


def _reached(policy: ModelPolicy, models: Mapping[str, ModelPolicy]) -> set[str]:
    """Return every model that answers in place of this one, or of one that does."""
    reached: set[str] = set()
    waiting = [policy]
    while waiting:
        ladder = waiting.pop().ladder
        answering = [] if ladder.fallback is None else [ladder.fallback.model]
        if ladder.de_deployed is not None and ladder.de_deployed.route:
            answering.append(ladder.de_deployed.replacement)
        fresh = [alias for alias in answering if alias not in reached]
        reached.update(fresh)
        waiting += [models[f"models/{alias}.yaml"] for alias in fresh if f"models/{alias}.yaml" in models]
    return reached
