"""The position automaton of regular expressions: which characters of a pattern a text's end may stand on.

Built by Glushkov's construction from a parse tree whose repetitions are bounded, hence without loops. It accepts at
least every beginning of every match: assertions count as nothing, and a character passes if it would in either reading
of case and of classes (ASCII or Unicode). Sets of positions are the bits of an integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from guard.classifiers.expressions import Expression, refuse_dead

MAX_POSITIONS: Final = 16_384
_MAX_KNOWN: Final = 8192
_SPACE: Final = 32
# What folded ASCII text consists of; a pattern whose first character may be two thirds of it is always alive.
_ORDINARY: Final = tuple(chr(point) for point in range(_SPACE, 127) if not chr(point).isupper())
_BROAD: Final = len(_ORDINARY) * 2 // 3
_CLASSES: Final = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


class _Part(NamedTuple):
    """A piece of a pattern: where it may begin and end, and whether it may be empty."""

    first: int
    last: int
    empty: bool


_NOTHING: Final = _Part(0, 0, empty=True)


class _Test:
    """Which characters one place takes."""

    __slots__ = ("_readings", "ordinary")

    def __init__(self, source: str) -> None:
        self._readings = (re.compile(source, re.IGNORECASE), re.compile(source, re.IGNORECASE | re.ASCII))
        self.ordinary = frozenset(each for each in _ORDINARY if self.passes(each))

    def passes(self, character: str) -> bool:
        return any(reading.match(character) for reading in self._readings)


class Positions:
    """All patterns of one rule set in one automaton: ``first`` begins a match, ``follow[p]`` goes on from ``p``."""

    def __init__(self) -> None:
        """Begin with no pattern."""
        self.first = 0
        self.follow: list[int] = []
        self._tests: dict[str, _Test] = {}
        self._where: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def add(self, expression: Expression) -> bool:
        """Take a pattern in; False, and nothing taken, if it may begin with nearly any character.

        Raises ValueError for what cannot be followed.
        """
        before = len(self.follow)
        try:
            part = self._sequence(expression.tree)
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        self._known.clear()
        begins = [test.ordinary for source, test in self._tests.items() if self._where[source] & part.first]
        if len(frozenset().union(*begins)) > _BROAD:
            del self.follow[before:]
            kept = (1 << before) - 1
            self._where = {source: where & kept for source, where in self._where.items()}
            return False
        self.first |= part.first
        return True

    def passing(self, character: str) -> int:
        """Return the positions that this character may stand on."""
        known = self._known.get(character)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = 0
            for source, where in self._where.items():
                if where and self._tests[source].passes(character):
                    known |= where
            self._known[character] = known
        return known

    def _sequence(self, items: Any) -> _Part:
        whole, space = _NOTHING, False
        for operation, value in items:
            is_space = str(operation) == "LITERAL" and value == _SPACE
            if space and is_space:
                raise ValueError("has two spaces in a row, which folding makes one")
            space = is_space
            whole = self._join(whole, self._one(str(operation), value))
        return whole

    def _one(self, operation: str, value: Any) -> _Part:
        match operation:
            case "LITERAL":
                refuse_dead(value)
                return self._position(_escape(value))
            case "NOT_LITERAL":
                return self._position(f"[^{_escape(value)}]")
            case "ANY":
                return self._position(".")
            case "IN":
                return self._position(_class(value))
            case "AT":
                return _NOTHING
            case "SUBPATTERN":
                return self._sequence(value[-1])
            case "BRANCH":
                parts = [self._sequence(each) for each in value[1]]
                return _Part(_union(p.first for p in parts), _union(p.last for p in parts), any(p.empty for p in parts))
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(*value)
            case _:
                raise ValueError(f"uses {operation.lower()}, which cannot be matched in a stream")

    def _repeat(self, least: int, most: int, items: Any) -> _Part:
        if items.getwidth()[1] == 0:
            return _NOTHING
        rest = _NOTHING
        for _ in range(most - least):
            rest = self._join(self._sequence(items), rest)._replace(empty=True)
        for _ in range(least):
            rest = self._join(self._sequence(items), rest)
        return rest

    def _join(self, before: _Part, after: _Part) -> _Part:
        for position in places(before.last):
            self.follow[position] |= after.first
        return _Part(
            before.first | after.first if before.empty else before.first,
            before.last | after.last if after.empty else after.last,
            before.empty and after.empty,
        )

    def _position(self, source: str) -> _Part:
        if len(self.follow) >= MAX_POSITIONS:
            raise ValueError(f"brings the patterns of this set above {MAX_POSITIONS} places; write it shorter")
        bit = 1 << len(self.follow)
        self.follow.append(0)
        if source not in self._tests:
            self._tests[source] = _Test(source)
        self._where[source] = self._where.get(source, 0) | bit
        return _Part(bit, bit, empty=False)


def places(positions: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set."""
    while positions:
        bit = positions & -positions
        yield bit.bit_length() - 1
        positions ^= bit


def _union(sets: Iterator[int]) -> int:
    whole = 0
    for each in sets:
        whole |= each
    return whole


def _escape(point: int) -> str:
    return f"\\U{point:08x}"


def _class(items: Any) -> str:
    written = []
    for operation, value in items:
        match str(operation):
            case "NEGATE":
                written.append("^")
            case "LITERAL":
                written.append(_escape(value))
            case "RANGE":
                written.append(f"{_escape(value[0])}-{_escape(value[1])}")
            case "CATEGORY":
                written.append(_CLASSES[str(value)])
            case other:
                raise ValueError(f"uses {other.lower()} in a class, which cannot be matched in a stream")
    if all(str(operation) == "LITERAL" for operation, _ in items):
        _refuse_all_dead([value for _, value in items])
    return f"[{''.join(written)}]"


def _refuse_all_dead(literals: list[int]) -> None:
    problems = []
    for literal in literals:
        try:
            refuse_dead(literal)
        except ValueError as problem:
            problems.append(problem)
    if len(problems) == len(literals):
        raise problems[0]
