"""Stopping and resuming, whoever asks by whichever path: the rules are here, and the order file is the act.

One person stops, at once, without any question. A resume names what it lifts and is refused for ASL-3 models, which
need two people (row D2): that is enforced again by every worker, so nothing written by hand gets around it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.policy.load import Config
from guard.state.acknowledgements import Ack, waiting_for
from guard.state.directory import OrderDirectory, Version
from guard.state.merge import TWO_PERSON_ASL, InForce, State
from guard.state.orders import ENTROPY_BYTES, MAX_WHO, Scope, ScopeKind, Source, StopOrder, issue_resume, issue_stop
from guard.state.resume import ResumePlan, plan_resume


class UnknownScopeError(ValueError):
    """A stop for something that does not exist would protect nobody; the message says what exists."""


class ResumeRefusedError(Exception):
    """A resume that would lift nothing, or may not; the message says why."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A stop that is in force; ``order`` begins with ``file:`` when only a STOP file could be written."""

    order: str
    scope: Scope
    reason: str
    who: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A stop that holds; ``lifted_below`` is whether a resume has lifted it for the models below ASL-3."""

    stop: InForce
    lifted_below: bool

    def fields(self) -> dict[str, Any]:
        """What `guard status` and the admin API tell of it."""
        stop = self.stop
        return {
            "order": stop.id,
            "scope": str(stop.scope),
            "reason": stop.reason,
            "who": stop.who if isinstance(stop, StopOrder) else "a file",
            "since": stop.created if isinstance(stop, StopOrder) else None,
            "lifted_below_asl_3": self.lifted_below,
        }


@dataclass(frozen=True, slots=True)
class Obeyed:
    """Which workers have applied an order, and which live ones have not."""

    acks: tuple[Ack, ...]
    missing: tuple[str, ...]

    @property
    def streams_cut(self) -> int:
        """How many streams were cut in all."""
        return sum(ack.streams_cut for ack in self.acks)


def place(
    directory: OrderDirectory, scope: Scope, reason: str, who: str, source: Source, *, now: float, entropy: bytes
) -> Placed:
    """Write a stop; raises OSError when not even an empty file can be made."""
    order: StopOrder = issue_stop(scope, reason=reason, who=_signed(who), source=source, now=now, entropy=entropy)
    try:
        directory.put(order)
    except OSError:
        name = directory.trip(scope)
        return Placed(f"file:{name}", scope, order.reason, order.who)
    return Placed(order.id, scope, order.reason, order.who)


def _signed(who: str) -> str:
    """Make any name fit into an order: a stop is not refused for the length of its giver's name."""
    return "".join(letter if letter.isprintable() else "?" for letter in who[:MAX_WHO]) or "unknown"


class Switchboard:
    """Acts on the orders of one host."""

    def __init__(
        self,
        config: Config,
        directory: OrderDirectory,
        state_path: Path,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        """Take the configuration (for names and levels), the orders, the time and randomness."""
        self._config = config
        self._directory = directory
        self._path = state_path
        self._now = now
        self._entropy = entropy

    def take(self, config: Config) -> None:
        """Go by the names and levels of another configuration."""
        self._config = config

    def stop(self, scope_text: str, reason: str, who: str, source: Source) -> Placed:
        """Order a stop: in force when this returns; raises UnknownScopeError, OrderError or OSError.

        Where an order cannot be written (a full disk), an empty STOP file does the same, without who and why.
        """
        scope = self.known(scope_text)
        return place(self._directory, scope, reason, who, source, now=self._now(), entropy=self._entropy(ENTROPY_BYTES))

    def known(self, scope_text: str) -> Scope:
        """Return the scope if there is such a thing; raises UnknownScopeError or OrderError."""
        scope = Scope.parse(scope_text)
        self._known(scope)
        return scope

    def scopes(self, most: int = 500) -> tuple[str, ...]:
        """Return what may be stopped, at most so many, as it is written."""
        tiers = self._config.tiers
        groups = (
            (ScopeKind.MODEL, self._config.models),
            (ScopeKind.TIER, tiers.tiers),
            (ScopeKind.KEY, [key.id for key in tiers.keys]),
        )
        found = [str(Scope(kind, name)) for kind, names in groups for name in sorted(names)]
        return ("all", *found[: most - 1])

    def resume(self, target: str, reason: str, who: str, source: Source) -> tuple[str, ResumePlan]:
        """Lift a stop by its id, or every stop of a scope; returns the order's id and what it does.

        Raises ResumeRefusedError, OrderError or OSError.
        """
        plan = self.plan(target)
        if plan.refused:
            raise ResumeRefusedError(plan.refused)
        entropy = self._entropy(ENTROPY_BYTES)
        order = issue_resume(
            plan.lifts, reason=reason, who=_signed(who), source=source, now=self._now(), entropy=entropy
        )
        self._directory.put(order)
        return order.id, plan

    def plan(self, target: str) -> ResumePlan:
        """Say what resuming would do."""
        tiers = self._config.tiers.tiers
        return plan_resume(
            self.state(),
            target,
            {alias: self._asl(alias) for alias in self._config.models},
            {name: tuple(tier.models) for name, tier in tiers.items()},
            {key.id: key.tier for key in self._config.tiers.keys},
        )

    def state(self) -> State:
        """Everything that was ever ordered."""
        return self._directory.snapshot()

    def obeyed(self, order: str, expected: Collection[str] = ()) -> Obeyed:
        """Ask who has applied an order; ``expected`` names workers that must have."""
        return Obeyed(*waiting_for(self._path, order, expected))

    def version(self) -> Version:
        """Return what differs when orders have changed; cheap, and raises OSError when there is no directory."""
        self._directory.refresh()
        return self._directory.version()

    def models_held(self, state: State | None = None) -> Mapping[str, tuple[str, ...]]:
        """Return each stopped model with the orders that hold it for everybody; ``state`` is what was read already."""
        state = state or self.state()
        held: dict[str, tuple[str, ...]] = {}
        for alias in self._config.models:
            orders = tuple(
                stop.id
                for stop in state.still_held(self._asl(alias))
                if stop.scope.kind is ScopeKind.ALL
                or (stop.scope.kind is ScopeKind.MODEL and stop.scope.subject == alias)
            )
            if orders:
                held[alias] = orders
        return held

    def in_force(self, state: State | None = None) -> tuple[Standing, ...]:
        """Every stop that holds for a model served here; one that was lifted still does if it covers an ASL-3 model.

        ``state`` is what was read already.
        """
        state = state or self.state()
        below = frozenset(state.still_held(0))
        stops = (Standing(stop, stop not in below) for stop in state.still_held(TWO_PERSON_ASL))
        return tuple(each for each in stops if not each.lifted_below or self._covers_strict(each.stop))

    def _asl(self, alias: str) -> int:
        levels = self._config.models[alias].asl
        return max(levels.deployment, levels.security)

    def _covers_strict(self, stop: InForce) -> bool:
        kind, subject = stop.scope.kind, stop.scope.subject
        tier = subject if kind is ScopeKind.TIER else ""
        if kind is ScopeKind.KEY:
            tier = next((key.tier for key in self._config.tiers.keys if key.id == subject), "")
        granted = self._config.tiers.tiers[tier].models if tier in self._config.tiers.tiers else {}
        return any(
            self._asl(alias) >= TWO_PERSON_ASL
            and (kind is ScopeKind.ALL or alias in granted or (kind is ScopeKind.MODEL and alias == subject))
            for alias in self._config.models
        )

    def _known(self, scope: Scope) -> None:
        known: Mapping[ScopeKind, Collection[str]] = {
            ScopeKind.MODEL: self._config.models,
            ScopeKind.TIER: self._config.tiers.tiers,
            ScopeKind.KEY: [key.id for key in self._config.tiers.keys],
        }
        if scope.kind is not ScopeKind.ALL and scope.subject not in known[scope.kind]:
            names = ", ".join(sorted(known[scope.kind])[:20]) or "none"
            raise UnknownScopeError(f"there is no {scope.kind.value} of that name; there are: {names}")
