"""May this configuration come into force in place of that one? Asked at every reload and at every start.

What is weaker for a model at ASL-3 or above takes two people (law 5, row G1's spirit for policies), and a restart is no
way around. What a running process cannot change is refused by name at a reload, so that nothing is half in force.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from guard.policy.config import Config
from guard.policy.diff import Change, diff, effect_of
from guard.policy.diff_rules import Effect
from guard.policy.lowering import NONE_KNOWN, LevelsByName, Lowering, lowerings
from guard.policy.replacing import reached
from guard.policy.server_identity import server_of
from guard.policy.source import Problem

TWO_PERSON_ASL: Final = 3
MAX_NAMED: Final = 20
# What a running guard cannot change: its sockets, its processes, where it writes, and its own telemetry.
FIXED: Final = ("workers", "storage", "audit", "content", "fleet", "telemetry")
FIXED_OF_LISTENERS: Final = ("host", "port", "unix", "tls")
# What a stream that runs is judged on by itself, or what says nothing about it.
_NOT_OF_STREAMS: Final = (
    "also",
    "evidence",
    "framework",
    "ladder.de_deployed",
    "monitoring",
    "operations",
    "response",
    "surfaces",
)
_RESTART: Final = "cannot change without a restart"


class NotApprovedError(Exception):
    """A weaker change that two people have not approved; the words say what is missing."""


class NotAcceptedError(Exception):
    """A configuration that may not come into force; ``reasons`` are words for people, at least one."""

    def __init__(self, reasons: Iterable[str]) -> None:
        """Keep the reasons."""
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class Approvals(Protocol):
    """Who has approved what; an implementation verifies signatures of distinct people."""

    def approve(self, wanted: Wanted) -> tuple[str, ...]:
        """Return who approved the change, and every level that it lowers; raises NotApprovedError. Uses nothing up."""

    def use(self, wanted: Wanted) -> None:
        """Use up what approved the change, so that it does not approve another; raises NotApprovedError."""

    def bundle(self, wanted: Wanted) -> tuple[str, ...]:
        """Return who signed the configuration that is to come into force, as a whole; raises NotApprovedError."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that may come into force: what it does, who approved what is weaker, and for whom it is stricter.

    ``lowered`` are the levels that it lowers, ``stricter`` the models whose running streams are no longer under the
    policy they began with. ``wanted`` is what `Approvals.use` is to be told when it comes into force, None where
    nothing had to be approved.
    """

    changes: tuple[Change, ...]
    approved_by: tuple[str, ...]
    stricter: tuple[str, ...]
    wanted: Wanted | None = None
    lowered: tuple[Lowering, ...] = ()

    @property
    def effect(self) -> Effect:
        """The worst of the changes."""
        return effect_of(self.changes)


@dataclass(frozen=True, slots=True)
class Asked:
    """The question: from the policy in force to another, at a moment (seconds since the epoch); from None at the first.

    ``remembered`` is what `under_care` said of every policy that was ever in force here, ``levels`` the last that
    `levels_in` said of each name; ``running`` is whether a guard is to change without a restart.
    """

    before: Config | None
    after: Config
    remembered: Collection[str]
    at: float
    running: bool
    levels: LevelsByName = field(default_factory=lambda: NONE_KNOWN)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What people must have approved: the change of ``asked``, ``weaker`` or only by lowering levels (row A12)."""

    asked: Asked
    weaker: bool


def accept(asked: Asked, approvals: Approvals) -> Accepted:
    """Return what the change is if it may come into force; raises NotAcceptedError. The one place that decides it.

    Every policy comes through here before it is served for the first time, by whichever way; one that is in force
    already is not asked about again.
    """
    before, after = asked.before, asked.after
    if before is None:  # nothing was in force here that it could be weaker than
        return Accepted((), _signed(Wanted(asked, weaker=False), approvals), ())
    fixed = tuple(unchangeable(before, after)) if asked.running else ()
    if fixed:
        raise NotAcceptedError(map(str, fixed))
    changes = diff(before, after)
    weaker = tuple(weaker_under_care(asked, before, changes))
    lowered = lowerings(before, after, asked.levels)
    wanted = Wanted(asked, bool(weaker))
    approved: tuple[str, ...] = ()
    if weaker or lowered:
        try:
            approved = approvals.approve(wanted)
        except NotApprovedError as missing:
            raise NotAcceptedError([*_named(weaker), *map(_told, lowered), str(missing)]) from None
    people = tuple(dict.fromkeys((*approved, *_signed(wanted, approvals))))
    return Accepted(changes, people, stricter_models(changes), wanted if weaker or lowered else None, lowered)


def _signed(wanted: Wanted, approvals: Approvals) -> tuple[str, ...]:
    """Return who signed the whole, where this or the one before asks for it: to leave it off takes signatures too."""
    before, after = wanted.asked.before, wanted.asked.after
    if not (after.guard.signed_bundle or (before is not None and before.guard.signed_bundle)):
        return ()
    try:
        return approvals.bundle(wanted)
    except NotApprovedError as missing:
        raise NotAcceptedError([f"guard.yaml asks for signed_bundle: {missing}"]) from None


def _told(lowered: Lowering) -> str:
    alias, _, levels = str(lowered).partition(": ")
    return f"model {alias}: its levels are lower ({levels})"


def unchangeable(before: Config, after: Config) -> Iterator[Problem]:
    """Yield what differs in guard.yaml and only a restart can change, where it stands in the new one."""
    old, new = before.guard, after.guard
    for key in FIXED:
        if getattr(old, key) != getattr(new, key):
            yield after.problem("guard.yaml", (key,), _RESTART)
    for key in FIXED_OF_LISTENERS:
        if getattr(old.admin, key) != getattr(new.admin, key):
            yield after.problem("guard.yaml", ("admin", key), _RESTART)
    olds = {each.name: each for each in old.surfaces}
    for index, surface in enumerate(new.surfaces):
        was = olds.pop(surface.name, None)
        if was is None:
            yield after.problem("guard.yaml", ("surfaces", index), "cannot be added without a restart")
            continue
        for key in FIXED_OF_LISTENERS:
            if getattr(was, key) != getattr(surface, key):
                yield after.problem("guard.yaml", ("surfaces", index, key), _RESTART)
    for name in olds:
        yield after.problem("guard.yaml", ("surfaces",), f"{name} cannot be removed without a restart")


def under_care(config: Config) -> frozenset[str]:
    """Return the models at ASL-3 and above, and the servers behind them, as names that stay the same.

    What was under care once stays so: a model that was removed does not come back, under its own name or from its own
    server, without two people.
    """
    found: set[str] = set()
    for alias in _strict(config):
        found |= {f"model {alias}", f"upstream {_server(config, alias)}"}
    return frozenset(found)


def weaker_under_care(asked: Asked, before: Config, changes: Iterable[Change]) -> Iterator[Change]:
    """Yield the weaker changes that concern a model at ASL-3 or above, by its level in the policy in force.

    A model that its ladder lets answer in its place is under the same care.
    """
    care = under_care(before) | frozenset(asked.remembered)
    for change in changes:
        if change.effect is Effect.WEAKER and _concerns(change, before, asked.after, care):
            yield change


def stricter_models(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the models for which something became stronger that a stream under way has not been judged by."""
    kind = "model "
    found = {
        change.subject.removeprefix(kind)
        for change in changes
        if change.effect is Effect.STRONGER
        and change.subject.startswith(kind)
        and not any(f"{change.key}.".startswith(f"{each}.") for each in _NOT_OF_STREAMS)
    }
    return tuple(sorted(found))


def _concerns(change: Change, before: Config, after: Config, care: Collection[str]) -> bool:
    strict = _strict(before) | _answering(before)
    kind, _, name = change.subject.partition(" ")
    if kind == "model":
        if name in strict or name not in after.models:
            return name in strict
        # The same weights under another name or a lower level are still those weights (row C13).
        server = f"upstream {_server(after, name)}" in care
        return server or (name not in before.models and f"model {name}" in care)
    if kind == "operator":
        return before.operators is not None or bool(care)  # who is named approves: at any level those named before do
    if kind in {"tier", "key"}:
        return any(_reaches(config, kind, name, change.key, strict) for config in (before, after))
    if change.key.startswith("surfaces."):
        listed = {surface for config in (before, after) for surface in _surfaces(config, strict)}
        known = {each.name for config in (before, after) for each in config.guard.surfaces}
        touched = {name for name in known if f"{change.key}.".startswith(f"surfaces.{name}.")}
        return bool(care) and (not touched or bool(touched & listed))
    return bool(care)


def _reaches(config: Config, kind: str, name: str, key: str, strict: Collection[str]) -> bool:
    """Whether a tier or a key gives access to such a model; a grant of the tier is about its own model alone."""
    tier = name
    if kind == "key":
        tier = next((each.tier for each in config.tiers.keys if each.id == name), "")
    granted = config.tiers.tiers[tier].models if tier in config.tiers.tiers else {}
    if kind == "tier" and key.startswith("models."):
        return key.removeprefix("models.") in strict
    return any(alias in strict for alias in granted)


def _strict(config: Config) -> frozenset[str]:
    return frozenset(
        alias
        for alias, policy in config.models.items()
        if max(policy.asl.deployment, policy.asl.security) >= TWO_PERSON_ASL
    )


def _answering(config: Config) -> frozenset[str]:
    """The models that answer in place of such a one: by their files its callers are served while it is on that rung."""
    return frozenset().union(*(reached(config.models[alias], config.models.get) for alias in _strict(config)))


def _surfaces(config: Config, strict: Collection[str]) -> frozenset[str]:
    return frozenset(name for alias in strict if alias in config.models for name in config.models[alias].surfaces)


def _server(config: Config, alias: str) -> str:
    return server_of(config.models[alias].upstream)


def _named(weaker: Collection[Change]) -> Iterator[str]:
    for change in tuple(weaker)[:MAX_NAMED]:
        place = f"{change.subject}: {change.key}" if change.key else change.subject
        yield f"{place}: is weaker ({change.old} -> {change.new}: {change.why})"
    if len(weaker) > MAX_NAMED:
        yield f"and {len(weaker) - MAX_NAMED} more that are weaker"
