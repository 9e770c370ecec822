"""What a set of statements means: the stops in force, whatever order the statements were read in.

A union, nothing else: a stop holds until a resume names its id. At ASL-3 and above even that does not lift it,
because resuming there takes two persons and an order cannot yet carry two approvals. So a stop that ever covered such
a model, and one of ``all`` among them, holds for it for good: the way back is a deliberate act on the host, removing
the order's file and restarting the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from guard.state.orders import Order, ResumeOrder, Scope, ScopeKind, StopOrder
from safeguards.exchange import Exchange
from safeguards.ports import Stop

TWO_PERSON_ASL = 3


@dataclass(frozen=True, slots=True)
class StandingStop:
    """A stop that holds for every level while a file is there and that no resume can name.

    ``id`` is ``file:<name>``, which sorts after every order's id and cannot be written into a resume.
    """

    id: str
    scope: Scope
    reason: str


InForce = StopOrder | StandingStop


@dataclass(frozen=True, slots=True)
class _Table:
    """The lowest stop of each scope; answers in four look-ups."""

    everything: Stop | None
    models: Mapping[str, Stop]
    tiers: Mapping[str, Stop]
    keys: Mapping[str, Stop]

    def covering(self, model: str, tier: str, key: str) -> Stop | None:
        found = self.everything
        for stop in (self.models.get(model), self.tiers.get(tier), self.keys.get(key)):
            if stop is not None and (found is None or stop.order < found.order):
                found = stop
        return found


@dataclass(frozen=True, slots=True)
class State:
    """All that was ever ordered, merged; equal for equal statements however often and in what order they came."""

    stops: frozenset[StopOrder] = frozenset()
    resumes: frozenset[ResumeOrder] = frozenset()
    standing: frozenset[StandingStop] = frozenset()
    _lifted: frozenset[str] = field(init=False, compare=False, repr=False)
    _below: _Table | None = field(init=False, compare=False, repr=False)
    _from: _Table | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Build the tables of both kinds of level once; None where nothing is stopped."""
        lifted = frozenset(stop for resume in self.resumes for stop in resume.lifts)
        object.__setattr__(self, "_lifted", lifted)
        object.__setattr__(self, "_below", _table(self.still_held(0)))
        object.__setattr__(self, "_from", _table(self.still_held(TWO_PERSON_ASL)))

    @classmethod
    def of(cls, orders: Iterable[Order], standing: Iterable[StandingStop] = ()) -> State:
        """Merge orders, and the stops that files stand for."""
        known = frozenset(orders)
        stops = frozenset(order for order in known if isinstance(order, StopOrder))
        resumes = frozenset(order for order in known if isinstance(order, ResumeOrder))
        return cls(stops, resumes, frozenset(standing))

    def merge(self, other: State) -> State:
        """The union of both."""
        return State(self.stops | other.stops, self.resumes | other.resumes, self.standing | other.standing)

    @property
    def ids(self) -> frozenset[str]:
        """The id of every statement."""
        return frozenset(statement.id for group in (self.stops, self.resumes, self.standing) for statement in group)

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop with the lowest id that covers this exchange, or None."""
        table = self._below if exchange.asl < TWO_PERSON_ASL else self._from
        if table is None:
            return None
        caller = exchange.caller
        return table.covering(exchange.model, caller.tier, caller.key)

    def holding(self, asl: int, model: str, tier: str = "", key: str = "") -> Stop | None:
        """As `covering`, for a question without an exchange; an empty tier or key matches none."""
        table = self._below if asl < TWO_PERSON_ASL else self._from
        return None if table is None else table.covering(model, tier, key)

    def still_held(self, asl: int) -> tuple[InForce, ...]:
        """Every stop in force for models of this level, lowest id first."""
        lifted = self._lifted if asl < TWO_PERSON_ASL else frozenset[str]()
        held: list[InForce] = [stop for stop in self.stops if stop.id not in lifted]
        return tuple(sorted([*held, *self.standing], key=_rank))

    def lifted_for(self, asl: int) -> tuple[StopOrder, ...]:
        """Every stop that a resume has lifted for models of this level; none from ASL-3 on."""
        if asl >= TWO_PERSON_ASL:
            return ()
        return tuple(sorted((stop for stop in self.stops if stop.id in self._lifted), key=_rank))


def _rank(stop: InForce) -> tuple[str, str, str]:
    """Sort by id; by the rest too, so that even two stops of one id sort alike everywhere."""
    return stop.id, str(stop.scope), stop.reason


def _table(held: tuple[InForce, ...]) -> _Table | None:
    if not held:
        return None
    everything: Stop | None = None
    subjects: dict[ScopeKind, dict[str, Stop]] = {kind: {} for kind in ScopeKind}
    for found in held:
        stop = Stop(found.id, str(found.scope), found.reason)
        if found.scope.kind is ScopeKind.ALL:
            everything = everything or stop
        else:
            subjects[found.scope.kind].setdefault(found.scope.subject, stop)
    return _Table(everything, subjects[ScopeKind.MODEL], subjects[ScopeKind.TIER], subjects[ScopeKind.KEY])
