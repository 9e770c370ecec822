"""The rules that were pushed as orders, as one process enforces them: compiled once each, swapped between two turns.

A rule is in force here from `follow` on; until then nothing is judged by it and it is not acknowledged. One that cannot
be compiled, and every one beyond `MAX_IN_FORCE`, refuses all that it covers: half in force would be worse than loud. So
does one that was given more than `FRESH_SECONDS` ago and came here late, until it is compiled.
Only what covers a model that is served here is compiled, so that what was lifted long ago costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from guard.classifiers.patterns import BadRule, PatternClassifier, PatternRule
from guard.state.merge import TWO_PERSON_ASL, State
from guard.state.orders import RuleOrder
from guard.state.served import Served
from safeguards.decision import Target
from safeguards.exchange import Exchange
from safeguards.ports import Screen
from safeguards.scope import request_words

__all__ = ["MAX_IN_FORCE", "BadRule", "PushedRules", "check_usable", "compile_rules", "needed", "screen_of"]
MAX_IN_FORCE: Final = 32
MAX_SECONDS: Final = 0.5
FRESH_SECONDS: Final = 10.0
"""From when a rule was given: by then others may count on it, also where a clock is wrong by more."""
_Table = tuple[tuple[str, Screen], ...]


def compile_rules(order: RuleOrder) -> PatternClassifier:
    """Compile an order's rules; raises BadRule, whose words quote no rule."""
    rules = [
        PatternRule(each.id, each.category.value, phrase=each.phrase, pattern=each.pattern) for each in order.rules
    ]
    return PatternClassifier(f"order/{order.id}", rules)


def check_usable(order: RuleOrder, spent: Callable[[], float] = time.thread_time) -> None:
    """Raise BadRule for rules that cannot be compiled, or only by more than `MAX_SECONDS` of a processor.

    A worker that begins compiles all that are in force before it serves, and must have done so in its 30 s.
    """
    before = spent()
    compile_rules(order)
    taken = spent() - before
    if taken > MAX_SECONDS:
        why = f"together they take {taken:.1f} s to compile, at most {MAX_SECONDS:g}; bound their repetitions tighter"
        raise BadRule("(all)", why)


def screen_of(order: RuleOrder, compiling: Callable[[RuleOrder], PatternClassifier] = compile_rules) -> Screen:
    """Make what an order screens; never raises. Takes up to half a second where `check_usable`; may run in a thread."""
    try:
        classifier, why = compiling(order), ""
    except BadRule as bad:
        classifier, why = None, str(bad)
    except Exception as problem:  # noqa: BLE001 - whatever was put there must not end the worker that reads it
        classifier, why = None, f"its rules could not be compiled ({type(problem).__name__})"
    return Screen(order.id, Target.INPUT in order.screens, Target.OUTPUT in order.screens, classifier, why)


class PushedRules:
    """Implements the port `Screens`; for one thread."""

    def __init__(self, served: Served, now: Callable[[], float] = time.time) -> None:
        """Begin with no rule; ``served`` are the models of the policy in force, ``now`` tells seconds of the epoch."""
        self.any = False
        self.lacking: tuple[RuleOrder, ...] = ()
        self.faults: Mapping[str, str] = {}
        self.count = 0
        self.late = 0
        self._served = served
        self._now = now
        self._refused: frozenset[RuleOrder] = frozenset()
        self._made: dict[RuleOrder, Screen] = {}
        self._below: _Table = ()
        self._from: _Table = ()
        self._covering: dict[tuple[str, int, str, str], tuple[Screen, ...]] = {}
        self._awaited: frozenset[str] = frozenset()

    def lacking_for(self, state: State, served: Served) -> tuple[RuleOrder, ...]:
        """Return the orders in force for these models that are not compiled yet."""
        return tuple(each for each in needed(state, served)[:MAX_IN_FORCE] if each not in self._made)

    def take(self, made: Mapping[RuleOrder, Screen]) -> None:
        """Take what was compiled; it is in force from the next `follow` on."""
        self._made.update(made)

    def follow(self, state: State, served: Served | None = None) -> None:
        """Enforce what is in force by this state and compiled; with ``served``, for another policy's models.

        ``lacking`` are then the orders that wait to be compiled, ``faults`` those that refuse all that they cover, by
        id, and why; ``count`` is how many are enforced as they were given, ``late`` how many refuse until compiled.
        """
        self._served = served = served or self._served
        wanted = needed(state, served)
        # What runs by a policy of before may be of a model that is not served any more, so what covers nothing stays.
        below = state.rules_held(0)
        wanted_or_unlifted = {*wanted, *below}
        held = [order for order in state.rules_held(TWO_PERSON_ASL) if order in wanted_or_unlifted]
        self._made = {order: self._made[order] for order in held if order in self._made}
        made = dict(self._made)
        for order in wanted[MAX_IN_FORCE:]:
            made[order] = Screen(order.id, True, True, None, f"more than {MAX_IN_FORCE} rule orders are in force")
        lacking = tuple(order for order in wanted if order not in made)
        # What refused already goes on refusing until it is compiled: also one that was beyond the most.
        late = tuple(order for order in lacking if order in self._refused or self._old(order))
        for order in late:
            made[order] = Screen(order.id, True, True, None, "its rules are not compiled yet")
        self._refused = frozenset((*late, *wanted[MAX_IN_FORCE:]))
        self._below = tuple((str(each.scope), made[each]) for each in below if each in made)
        self._from = tuple((str(each.scope), made[each]) for each in held if each in made)
        self._covering = {}
        self.any = bool(self._from)
        self.lacking, self.late = lacking, len(late)
        usable_or_lacking = {each for each in made if made[each].classifier is not None} | {*lacking}
        self.faults = {each.id: made[each].why for each in wanted if each not in usable_or_lacking}
        self.count = sum(each in made and made[each].classifier is not None for each in wanted)
        self._awaited = frozenset(each.id for each in self.lacking) | self.faults.keys()

    def covering(self, exchange: Exchange) -> tuple[Screen, ...]:
        """Those that cover this exchange, lowest order first."""
        key = exchange.model, exchange.asl, exchange.release, exchange.asked
        found = self._covering.get(key)
        if found is None:
            screens = self._matching(exchange.asl, exchange.scopes)
            if exchange.asked:  # what another model answers in its place is screened as its own answers are
                screens |= self._matching(*self._of_asked(exchange))
            found = self._covering[key] = tuple(screens[order] for order in sorted(screens))
        return found

    def overdue(self) -> bool:
        """Whether a rule waits to be compiled that should refuse by now, and does not before the next `follow`."""
        return any(order not in self._refused and self._old(order) for order in self.lacking)

    def _old(self, order: RuleOrder) -> bool:
        return abs(self._now() - order.created) > FRESH_SECONDS

    def _matching(self, asl: int, words: Collection[str]) -> dict[str, Screen]:
        table = self._below if asl < TWO_PERSON_ASL else self._from
        return {screen.order: screen for scope, screen in table if scope in words}

    def _of_asked(self, exchange: Exchange) -> tuple[int, tuple[str, ...]]:
        """The level of the model that the caller named, and the words for it; of one not served any more its name."""
        model = self._served.models.get(exchange.asked)
        if model is None:
            return TWO_PERSON_ASL, request_words(exchange.asked, "", exchange.asl, exchange.operation)
        return model.asl, request_words(exchange.asked, model.release, model.asl, exchange.operation)

    def enforces(self, order: str) -> bool:
        """Whether nothing is left to do here about this order: also one that covers nothing, or is lifted."""
        return order not in self._awaited


def needed(state: State, served: Served) -> tuple[RuleOrder, ...]:
    """Return the orders that are in force for a model which is served, lowest id first."""
    if not state.rules:
        return ()
    views = state.rules_held(0), state.rules_held(TWO_PERSON_ASL)
    below, strict = frozenset(views[0]), frozenset(views[1])

    def covers(order: RuleOrder) -> bool:
        levels = [served.models[alias].asl for alias in served.touched(order.scope)]
        return any(order in (below if asl < TWO_PERSON_ASL else strict) for asl in levels)

    return tuple(order for order in views[1] if covers(order))
