"""What is running now, and how much of it a stop would cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from guard.state.scope import Scope
from safeguards.scope import ScopeKind

MAX_GROUPS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Running:
    """How many exchanges of one key run on one model; an empty key stands for those of many, taken together."""

    model: str
    tier: str
    key: str
    count: int


def grouped(exchanges: Iterable[tuple[str, str, str]], most: int = MAX_GROUPS) -> tuple[Running, ...]:
    """Count exchanges given as model, tier and key; above ``most`` groups the smallest lose their keys.

    So the sums over a model and over a tier stay right whatever callers do.
    """
    counts = Counter(exchanges).most_common()
    kept, rest = counts[:most], Counter[tuple[str, str]]()
    for (model, tier, _), count in counts[most:]:
        rest[model, tier] += count
    found = [Running(*group, count) for group, count in kept]
    return (*found, *(Running(model, tier, "", count) for (model, tier), count in rest.items()))


def covered(scope: Scope, running: Iterable[Running]) -> tuple[Running, ...] | None:
    """Return what a stop of this scope would cut, at least; None where that is not known beforehand."""
    if scope.kind is ScopeKind.ALL:
        return tuple(running)
    field = _FIELDS.get(scope.kind)
    if field is None:
        return None
    return tuple(each for each in running if getattr(each, field) == scope.subject)


def total(running: Iterable[Running]) -> int:
    """Return how many these are."""
    return sum(each.count for each in running)


def by_model(running: Iterable[Running]) -> tuple[tuple[str, int], ...]:
    """Return how many run on each model, by its name."""
    counts = Counter[str]()
    for each in running:
        counts[each.model] += each.count
    return tuple(sorted(counts.items()))


_FIELDS: Final[Mapping[ScopeKind, str]] = {ScopeKind.MODEL: "model", ScopeKind.TIER: "tier", ScopeKind.KEY: "key"}
