"""What is served here, as far as stops name it: which models a scope touches, and which scopes mean anything at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from guard.state.scope import Scope
from safeguards.mode import Mode
from safeguards.scope import Capability, Operation, ScopeKind, caller_words, request_words


class UnknownScopeError(ValueError):
    """A stop for something that does not exist would protect nobody; the message says what exists."""


_LISTED: Final = (
    ScopeKind.LEVEL,
    ScopeKind.MODEL,
    ScopeKind.VERSION,
    ScopeKind.TIER,
    ScopeKind.OPERATION,
    ScopeKind.CAPABILITY,
    ScopeKind.ATTRIBUTE,
    ScopeKind.ORGANISATION,
    ScopeKind.KEY,
)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by what stops can name of it: the higher of its levels, its release, what can be asked of it.

    ``rungs`` are those of its ladder that its policy can answer.
    """

    asl: int
    release: str = ""
    operations: Collection[str] = ()
    rungs: frozenset[Mode] = frozenset()


@dataclass(frozen=True, slots=True)
class Principal:
    """A key by what stops can name of it; ``attributes`` are ``name=value``."""

    tier: str
    owner: str = ""
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """Models by alias, the models that each tier grants, keys by id, and the attributes that are declared."""

    models: Mapping[str, ServedModel]
    tiers: Mapping[str, Collection[str]]
    keys: Mapping[str, Principal]
    attributes: Collection[str] = ()

    def require(self, scope: Scope) -> None:
        """Make sure that there is such a thing here; raises UnknownScopeError."""
        if scope.kind in {ScopeKind.ALL, ScopeKind.LEVEL}:  # an order, or a model, of a level may come tomorrow
            return
        known = self._known(scope.kind)
        if scope.subject not in known:
            names = ", ".join(sorted(known)[:20]) or "none"
            raise UnknownScopeError(f"there is no {scope.kind.value} of that name; there are: {names}")

    def scopes(self, most: int) -> tuple[str, ...]:
        """Scopes that mean something here, at most so many, of every kind; keys last, since there are most of them."""
        named = (f"{kind.value}:{name}" for kind in _LISTED for name in sorted(set(self._known(kind))))
        return ("all", *islice(named, most - 1))

    def touched(self, scope: Scope) -> list[str]:
        """The models that a stop of this scope touches, by alias."""
        word = str(scope)
        if scope.kind in {ScopeKind.ALL, ScopeKind.LEVEL, ScopeKind.MODEL, ScopeKind.VERSION, ScopeKind.OPERATION}:
            return sorted(alias for alias in self.models if word in self.words(alias))
        if scope.kind is ScopeKind.CAPABILITY:
            return sorted(self.models)
        tiers = {scope.subject} if scope.kind is ScopeKind.TIER else {key.tier for key in self._principals(word)}
        return sorted({alias for tier in tiers for alias in self.tiers.get(tier, ()) if alias in self.models})

    def keys_under(self, scope: Scope) -> frozenset[str]:
        """The ids of the keys that answer to a scope of a key, an owner or an attribute."""
        word = str(scope)
        return frozenset(identity for identity, key in self.keys.items() if word in _words_of(identity, key))

    def words(self, alias: str) -> frozenset[str]:
        """The scopes that every request to a model answers to, and all its operations."""
        model = self.models[alias]
        always = request_words(alias, model.release, model.asl, "")
        return frozenset((*always, *(f"operation:{each}" for each in model.operations))) - {"operation:"}

    def about(self, alias: str, scope: Scope) -> frozenset[str]:
        """The scopes that a request to a model answers to which this scope covers, as far as that is known.

        For a key those of its tier, owner and attributes too; operations only where one is what is asked about.
        """
        model = self.models[alias]
        words = {*request_words(alias, model.release, model.asl, ""), str(scope)} - {"operation:"}
        if scope.kind is ScopeKind.KEY and scope.subject in self.keys:
            words |= _words_of(scope.subject, self.keys[scope.subject])
        return frozenset(words)

    def _principals(self, word: str) -> Iterable[Principal]:
        return (key for identity, key in self.keys.items() if word in _words_of(identity, key))

    def _known(self, kind: ScopeKind) -> Collection[str]:
        match kind:
            case ScopeKind.MODEL:
                return self.models
            case ScopeKind.LEVEL:
                return [str(level) for model in self.models.values() for level in range(1, model.asl + 1)]
            case ScopeKind.VERSION:
                return [f"{alias}/{model.release}" for alias, model in self.models.items() if model.release]
            case ScopeKind.TIER:
                return self.tiers
            case ScopeKind.KEY:
                return self.keys
            case ScopeKind.ORGANISATION:
                return {key.owner for key in self.keys.values()}
            case ScopeKind.OPERATION:
                return [each.value for each in Operation]
            case ScopeKind.CAPABILITY:
                return [each.value for each in Capability]
            case _:
                return self.attributes


def _words_of(identity: str, key: Principal) -> frozenset[str]:
    return frozenset(caller_words(identity, key.owner, key.tier, key.attributes))
