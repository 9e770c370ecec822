"""What is running now, and how much of it a stop would cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from guard.state.scope import Scope
from guard.state.served import Served
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


def covered(scope: Scope, running: Iterable[Running], served: Served) -> tuple[Running, ...] | None:
    """Return what a stop of this scope would cut, at least; None where that is not known beforehand."""
    match scope.kind:
        case ScopeKind.ALL:
            return tuple(running)
        case ScopeKind.MODEL | ScopeKind.LEVEL | ScopeKind.VERSION:
            models = frozenset(served.touched(scope))
            return tuple(each for each in running if each.model in models)
        case ScopeKind.TIER:
            return tuple(each for each in running if each.tier == scope.subject)
        case ScopeKind.KEY | ScopeKind.ORGANISATION | ScopeKind.ATTRIBUTE:
            keys = served.keys_under(scope)
            return tuple(each for each in running if each.key in keys)
        case _:
            return None


def total(running: Iterable[Running]) -> int:
    """Return how many these are."""
    return sum(each.count for each in running)


def by_model(running: Iterable[Running]) -> tuple[tuple[str, int], ...]:
    """Return how many run on each model, by its name."""
    counts = Counter[str]()
    for each in running:
        counts[each.model] += each.count
    return tuple(sorted(counts.items()))
