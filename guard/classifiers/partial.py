"""How much of a growing text's end could still become a match: phrases and patterns in one lazy automaton.

A state knows which phrase prefix and which pattern positions the text's end stands on, and since how many characters;
``depth`` is the greatest of these ages, so that all text before it is clear. States and transitions are made when a
text first needs them and are kept within a bound, so that an ordinary character costs one dictionary lookup.
"""

from __future__ import annotations

from typing import Final

from guard.classifiers.positions import Positions, places
from guard.classifiers.prefixes import Prefixes

_MAX_TRANSITIONS: Final = 16_384
Config = tuple[int, tuple[tuple[int, int], ...]]
_START: Final[Config] = (0, ())


class State(dict[str, "State"]):
    """Where a text's end stands; maps a character to the state after it."""

    __slots__ = ("_partial", "config", "depth")

    def __init__(self, partial: Partial, config: Config, depth: int) -> None:
        """Take the prefix and the positions with their ages, and the greatest age."""
        self._partial = partial
        self.config = config
        self.depth = depth

    def __missing__(self, character: str) -> State:
        return self._partial.follow(self, character)


class Partial:
    """The automaton of one rule set; ``start`` is the state of the empty text."""

    def __init__(self, prefixes: Prefixes, positions: Positions) -> None:
        """Take the phrases' automaton and the patterns'."""
        self._prefixes = prefixes
        self._positions = positions
        self._transitions = 0
        self.start = State(self, _START, 0)
        self._states: dict[Config, State] = {_START: self.start}

    def follow(self, state: State, character: str) -> State:
        """Make the transition that a state does not have yet."""
        if self._transitions >= _MAX_TRANSITIONS:
            # A state that a session still holds goes on as it is and learns its transitions anew.
            for each in self._states.values():
                each.clear()
            self._states = {_START: self.start}
            self._transitions = 0
        prefix, ages = state.config
        prefix = self._prefixes.step(prefix, character)
        positions = self._positions
        reached: dict[int, int] = {}
        passing = positions.passing(character)
        if passing:
            for place, age in ages:
                for following in places(positions.follow[place] & passing):
                    if reached.get(following, 0) <= age:
                        reached[following] = age + 1
            for begun in places(positions.first & passing):
                reached.setdefault(begun, 1)
        # A place where a pattern ends stays for one character more: an assertion behind it may have to see that one.
        config = (prefix, tuple(sorted(reached.items())))
        known = self._states.get(config)
        if known is None:
            depth = max(self._prefixes.depth[prefix], max(reached.values(), default=0))
            known = self._states[config] = State(self, config, depth)
        self._transitions += 1
        state[character] = known
        return known
