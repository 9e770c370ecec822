"""Which model may answer in place of another: as a fallback, or as the replacement of one that was withdrawn (C14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from guard.policy.model import Category, ClassifierMount, ModelPolicy, Mount, RuleSet, Target
from guard.policy.server_identity import weights_of
from guard.policy.source import Document, Place, Problem


def replacing(
    document: Document, policy: ModelPolicy, models: Mapping[str, ModelPolicy], broken: AbstractSet[str]
) -> Iterator[Problem]:
    """Yield what keeps the models that a ladder names from standing in for its model.

    ``models`` are the valid files by ``models/name.yaml``, ``broken`` the labels of those that are not.
    """
    ladder = policy.ladder
    named: list[tuple[Place, str]] = []
    if ladder.fallback is not None:
        named.append((("ladder", "fallback", "model"), ladder.fallback.model))
    if ladder.de_deployed is not None:
        named.append((("ladder", "de_deployed", "replacement"), ladder.de_deployed.replacement))
    for place, alias in named:
        label = f"models/{alias}.yaml"
        other = models.get(label)
        if alias == policy.model:
            yield document.problem(place, "is this model itself")
        elif other is None:
            if label not in broken:
                yield document.problem(place, f"there is no file {label}")
        else:
            for words in (*_unlike(policy, other), *_beyond(policy, other, models)):
                yield document.problem(place, f"{label} {words}")


def unfindable(document: Document, policy: ModelPolicy, rules: Mapping[str, RuleSet]) -> Iterator[Problem]:
    """Yield each category of a fallback that nothing finds in a prompt: an order for that rung would do nothing."""
    wanted = () if policy.ladder.fallback is None else policy.ladder.fallback.categories
    for index, category in enumerate(wanted):
        if not any(_finds(mount, {category}, rules) for mount in policy.safeguards):
            words = "is of no rule of a classifier of this model that screens input, so nothing would fall back"
            yield document.problem(("ladder", "fallback", "categories", index), words)


def judges(policy: ModelPolicy, rules: Mapping[str, RuleSet]) -> frozenset[str]:
    """Return the names of the mounts that can find the categories of the model's fallback in a prompt."""
    wanted = frozenset(() if policy.ladder.fallback is None else policy.ladder.fallback.categories)
    return frozenset(mount.name for mount in policy.safeguards if _finds(mount, wanted, rules))


def _finds(mount: Mount, wanted: AbstractSet[Category], rules: Mapping[str, RuleSet]) -> bool:
    if not isinstance(mount, ClassifierMount) or Target.INPUT not in mount.settings.screens:
        return False
    found = rules.get(mount.settings.rules)
    return found is not None and any(rule.category in wanted for rule in found.rules)


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
    if policy.model in reached(other, lambda alias: models.get(f"models/{alias}.yaml")):
        yield "leads back to this model: its own ladder names it"


def reached(policy: ModelPolicy, find: Callable[[str], ModelPolicy | None]) -> frozenset[str]:
    """Return every model that answers in place of this one, or of one that does; ``find`` gives the file of each."""
    found: set[str] = set()
    waiting: list[ModelPolicy | None] = [policy]
    while waiting:
        each = waiting.pop()
        if each is None:
            continue
        ladder = each.ladder
        answering = [] if ladder.fallback is None else [ladder.fallback.model]
        if ladder.de_deployed is not None and ladder.de_deployed.route:
            answering.append(ladder.de_deployed.replacement)
        fresh = [alias for alias in answering if alias not in found]
        found.update(fresh)
        waiting += map(find, fresh)
    return frozenset(found)
