"""What a set of statements means: the stops in force, whatever order the statements were read in.

A union, nothing else: a stop holds until a resume that counts names its id, and a pushed rule likewise. What a resume
counts for is judged once, by whoever reads it (`guard.resuming`), and is part of the state: a resume of a host that is
not known lifts nothing, one of a known host lifts for models below ASL-3, and from there on only if two people approved
lifting exactly this order. Orders of several modes hold side by side: what any of them refuses is refused, what any of
them cuts is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from guard.state.orders import Order, ResumeOrder, RuleOrder, StopOrder
from guard.state.scope import Scope
from guard.state.shown import Liftable, Shown
from safeguards.exchange import Exchange
from safeguards.mode import CASES, Mode, cuts, refuses, routes
from safeguards.ports import Stop

TWO_PERSON_ASL = 3
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class StandingStop:
    """A stop that holds for every level while a file is there and that no resume can name.

    ``id`` is ``file:<name>``, which sorts after every order's id and cannot be written into a resume.
    """

    id: str
    scope: Scope
    reason: str


InForce = StopOrder | StandingStop


def mode_of(stop: InForce) -> Mode:
    """Return what a stop does; a file can only stop."""
    return stop.mode if isinstance(stop, StopOrder) else Mode.STOP


@dataclass(frozen=True, slots=True)
class Judged:
    """A resume and what it counts for here.

    ``below`` is whether it lifts for models below ASL-3. ``approved`` are the orders that it lifts at every level, as
    the ``people`` who approved that were shown them: one that is otherwise is not lifted. ``kinds`` is by what each
    approved, empty where a guard that knew one kind put it on record. ``why`` says in words what it lacks, empty where
    nothing.
    """

    order: ResumeOrder
    below: bool
    approved: frozenset[Shown] = frozenset()
    people: tuple[str, ...] = ()
    why: str = ""
    kinds: tuple[str, ...] = ()

    @property
    def approved_by(self) -> str:
        """The people who approved it as words, each with what it was by."""
        return told_people(self.people, self.kinds)


def told_people(people: Sequence[str], kinds: Sequence[str]) -> str:
    """Write who approved something, each with what it was by where that is known."""
    known = {person: f" ({kind})" for person, kind in zip(people, kinds, strict=False)}
    return ", ".join(f"{person}{known.get(person, '')}" for person in people)


Judge = Callable[[ResumeOrder], Judged]


def met(judged: Judged, known: Mapping[str, Order]) -> Judged:
    """Hold what people were shown against the orders that are known, by id: what was wrong of one approves nothing."""
    for each in sorted(judged.approved, key=lambda shown: shown.order):
        order = known.get(each.order)
        if isinstance(order, StopOrder | RuleOrder) and (wrong := each.wrong_of(order)):
            return replace(judged, approved=frozenset(), people=(), kinds=(), why=f"{order.id}: {wrong}")
    return judged


class _View:
    """The lowest stop of each word, for one kind of question; one look tells that nothing is stopped."""

    __slots__ = ("_stops", "_words")

    def __init__(self, held: Iterable[InForce]) -> None:
        self._stops: dict[str, Stop] = {}
        for stop in held:
            self._stops.setdefault(str(stop.scope), _told(stop))
        self._words = frozenset(self._stops)

    def covering(self, scopes: frozenset[str]) -> Stop | None:
        if self._words.isdisjoint(scopes):
            return None
        return min((self._stops[word] for word in self._words & scopes), key=_order)


class _Closings:
    """Since which day each word takes no new principal (seconds since the epoch), and by which stop."""

    __slots__ = ("_since", "_words")

    def __init__(self, held: Iterable[InForce]) -> None:
        self._since: dict[str, tuple[float, Stop]] = {}
        for stop in held:
            if isinstance(stop, StopOrder):
                # A key's file says the day alone: one of the order's own day may be newer than the order.
                since, word = stop.created // _DAY * _DAY, str(stop.scope)
                if word not in self._since or since < self._since[word][0]:
                    self._since[word] = since, _told(stop)
        self._words = frozenset(self._since)

    def covering(self, scopes: frozenset[str], issued: float) -> Stop | None:
        if self._words.isdisjoint(scopes):
            return None
        found = (self._since[word] for word in self._words & scopes)
        return min((stop for since, stop in found if issued >= since), key=_order, default=None)


class _Views:
    """The questions about one kind of level; those that depend on the case of an exchange have a view for each."""

    __slots__ = ("any", "closed", "fallback", "firm", "new", "running", "stricter", "withdrawn")

    def __init__(self, held: tuple[InForce, ...]) -> None:
        self.any = _View(held)
        self.new = _by_case(held, refuses)
        self.firm = _by_case(held, lambda mode, case: refuses(mode, case) and not routes(mode, case))
        self.running = _by_case(held, cuts)
        self.closed = _Closings(_of(held, {Mode.NO_NEW_PRINCIPALS}))
        self.stricter = _View(_of(held, {Mode.STRICTER}))
        self.fallback = _View(_of(held, {Mode.FALLBACK}))
        self.withdrawn = _View(_of(held, {Mode.DE_DEPLOYED}))


def _by_case(held: tuple[InForce, ...], asked: Callable[[Mode, int], bool]) -> tuple[_View, ...]:
    """Make the view of every case; cases for which the same modes count share one."""
    modes = frozenset(mode_of(stop) for stop in held)
    made: dict[frozenset[Mode], _View] = {}
    for case in range(CASES):
        counting = frozenset(mode for mode in modes if asked(mode, case))
        if counting not in made:
            made[counting] = _View(_of(held, counting))
    return tuple(made[frozenset(mode for mode in modes if asked(mode, case))] for case in range(CASES))


def _of(held: Iterable[InForce], modes: Collection[Mode]) -> Iterator[InForce]:
    return (stop for stop in held if mode_of(stop) in modes)


@dataclass(frozen=True, slots=True)
class State:
    """All that was ever ordered, merged; equal for equal statements however often and in what order they came."""

    stops: frozenset[StopOrder] = frozenset()
    resumes: frozenset[Judged] = frozenset()
    standing: frozenset[StandingStop] = frozenset()
    rules: frozenset[RuleOrder] = frozenset()
    _lifted: frozenset[str] = field(init=False, compare=False, repr=False)
    _approved: frozenset[Liftable] = field(init=False, compare=False, repr=False)
    _below: _Views = field(init=False, compare=False, repr=False)
    _from: _Views = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Build the views of both kinds of level once."""
        lifted = frozenset(stop for resume in self.resumes if resume.below for stop in resume.order.lifts)
        object.__setattr__(self, "_lifted", lifted)
        shown: dict[str, list[Shown]] = {}
        for each in (each for resume in self.resumes for each in resume.approved):
            shown.setdefault(each.order, []).append(each)
        every: tuple[Liftable, ...] = (*self.stops, *self.rules)
        named = (order for order in every if order.id in shown)
        lifted_everywhere = (order for order in named if any(not each.wrong_of(order) for each in shown[order.id]))
        object.__setattr__(self, "_approved", frozenset(lifted_everywhere))
        object.__setattr__(self, "_below", _Views(self.still_held(0)))
        object.__setattr__(self, "_from", _Views(self.still_held(TWO_PERSON_ASL)))

    @classmethod
    def of(cls, orders: Iterable[Order], judge: Judge, standing: Iterable[StandingStop] = ()) -> State:
        """Merge orders, each resume judged, and the stops that files stand for."""
        known = frozenset(orders)
        by_id = {order.id: order for order in known}
        stops = frozenset(order for order in known if isinstance(order, StopOrder))
        resumes = frozenset(met(judge(order), by_id) for order in known if isinstance(order, ResumeOrder))
        rules = frozenset(order for order in known if isinstance(order, RuleOrder))
        return cls(stops, resumes, frozenset(standing), rules)

    def merge(self, other: State) -> State:
        """The union of both."""
        stops, resumes = self.stops | other.stops, self.resumes | other.resumes
        return State(stops, resumes, self.standing | other.standing, self.rules | other.rules)

    @property
    def ids(self) -> frozenset[str]:
        """The id of every statement."""
        named = (stop.id for group in (self.stops, self.standing, self.rules) for stop in group)
        return frozenset(named) | frozenset(resume.order.id for resume in self.resumes)

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop with the lowest id that keeps this exchange from beginning, or None."""
        views = self._views(exchange.asl)
        found = views.new[exchange.case].covering(exchange.scopes)
        closed = views.closed.covering(exchange.scopes, exchange.caller.issued)
        return found if closed is None else closed if found is None else min(found, closed, key=_order)

    def cutting(self, exchange: Exchange) -> Stop | None:
        """The stop with the lowest id that ends this exchange while it runs, or None: a drain ends nothing."""
        views = self._below if exchange.asl < TWO_PERSON_ASL else self._from
        return views.running[exchange.case].covering(exchange.scopes)

    def detour(self, exchange: Exchange) -> Stop | None:
        """The order by which another model is to answer: only where nothing else refuses this exchange (row C14)."""
        views = self._views(exchange.asl)
        if views.new[exchange.case].covering(exchange.scopes) is None:
            return None
        firm = views.firm[exchange.case].covering(exchange.scopes)
        if firm or views.closed.covering(exchange.scopes, exchange.caller.issued):
            return None
        return views.withdrawn.covering(exchange.scopes) or views.new[exchange.case].covering(exchange.scopes)

    def diverts(self, exchange: Exchange) -> Stop | None:
        """The order by which prompts of the exchange's ``fallback_for`` are kept from its model; None without any."""
        return self._views(exchange.asl).fallback.covering(exchange.scopes) if exchange.fallback_for else None

    def tightens(self, exchange: Exchange) -> Stop | None:
        """The order by which this exchange is judged by its model's stricter pipeline, or None."""
        return self._views(exchange.asl).stricter.covering(exchange.scopes)

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        """The order by which a model of this level that answers to these scopes is offered no more, or None."""
        return self._views(asl).withdrawn.covering(scopes)

    def holding(self, asl: int, scopes: Collection[str]) -> Stop | None:
        """The order of whatever mode, with the lowest id, that is in force for what answers to these scopes."""
        return self._views(asl).any.covering(frozenset(scopes))

    def _views(self, asl: int) -> _Views:
        return self._below if asl < TWO_PERSON_ASL else self._from

    def still_held(self, asl: int) -> tuple[InForce, ...]:
        """Every stop in force for models of this level, lowest id first."""
        lifted = self._lifted if asl < TWO_PERSON_ASL else frozenset[str]()
        held: list[InForce] = [stop for stop in self.stops if stop.id not in lifted and stop not in self._approved]
        return tuple(sorted([*held, *self.standing], key=_rank))

    def rules_held(self, asl: int) -> tuple[RuleOrder, ...]:
        """Every rule order in force for models of this level, lowest id first."""
        lifted = self._lifted if asl < TWO_PERSON_ASL else frozenset[str]()
        held = (order for order in self.rules if order.id not in lifted and order not in self._approved)
        return tuple(sorted(held, key=lambda order: (order.id, str(order.scope))))

    def uncounted(self) -> Mapping[str, str]:
        """The resumes that lift less than they say, by id, and why."""
        return {resume.order.id: resume.why for resume in self.resumes if resume.why}


def _told(stop: InForce) -> Stop:
    return Stop(stop.id, str(stop.scope), stop.reason, mode_of(stop))


def _order(stop: Stop) -> str:
    return stop.order


def _rank(stop: InForce) -> tuple[str, str, str]:
    """Sort by id; by the rest too, so that even two stops of one id sort alike everywhere."""
    return stop.id, str(stop.scope), stop.reason
