"""The pattern classifier: an operator's phrases and regular expressions, matched in a stream by a ReDoS-safe engine.

It screens for known texts and attack patterns; it is no judge of harm. Rules are compared on the folded text. A phrase
split over any number of chunks is never released: of a growing text that part is cleared which cannot belong to a later
match. Only a pattern that may begin with nearly any character holds back its greatest length all the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import hyperscan

from guard.classifiers.expressions import read_expression
from guard.classifiers.fold import Folder, fold_all
from guard.classifiers.partial import Partial
from guard.classifiers.positions import Positions
from guard.classifiers.prefixes import Prefixes
from safeguards.decision import Failure, Unavailable
from safeguards.ports import Hit

MAX_PHRASE: Final = 512
_FLAGS: Final = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH


@dataclass(frozen=True, slots=True)
class PatternRule:
    """One rule: either a ``phrase`` or a ``pattern``; the other is empty."""

    id: str
    category: str
    phrase: str = ""
    pattern: str = ""


class BadRule(ValueError):  # noqa: N818 - reads as the finding it is
    """A rule that cannot be compiled; names it."""

    def __init__(self, rule: str, why: str) -> None:
        """Take the rule's id and what is wrong with it."""
        super().__init__(f"rule {rule}: {why}")
        self.rule = rule
        self.why = why


class PatternClassifier:
    """All rules of one set, compiled; raises BadRule. Not shared between threads (the engine's scratch is one)."""

    def __init__(self, version: str, rules: Sequence[PatternRule]) -> None:
        """Compile; an empty set is an error, since it would pass everything."""
        if not rules:
            raise BadRule("(none)", "a rule set must have at least one rule")
        self.version = version
        self._rules = tuple(rules)
        phrases = []
        expressions = []
        positions = Positions()
        self._width = 0
        for rule in rules:
            if rule.phrase:
                folded = fold_all(rule.phrase).strip()
                if not 0 < len(folded) <= MAX_PHRASE:
                    raise BadRule(rule.id, f"the phrase must have 1 to {MAX_PHRASE} visible characters")
                phrases.append(folded)
                expressions.append("".join(_literal(character) for character in folded))
            else:
                try:
                    expression = read_expression(rule.pattern)
                    if not positions.add(expression):
                        self._width = max(self._width, expression.width)
                except ValueError as problem:
                    raise BadRule(rule.id, f"the pattern {problem}") from None
                expressions.append(rule.pattern)
        self.partial = Partial(Prefixes(phrases), positions)
        self._whole = _compile(hyperscan.HS_MODE_BLOCK, self._rules, expressions)
        self._stream = _compile(hyperscan.HS_MODE_STREAM, self._rules, expressions)

    @property
    def width(self) -> int:
        """How many folded characters are held whatever they are, for patterns that nearly anything begins."""
        return self._width

    def judge(self, texts: list[str]) -> Hit | None:
        """Judge complete texts, all of them: one that is hit first does not hide what another is about."""
        found: list[int] = []
        first: PatternRule | None = None

        def take(index: int, *_: object) -> None:
            found.append(index)

        for text in texts:
            folded = fold_all(text).encode()
            if folded:
                _guarded(self._whole.scan, folded, match_event_handler=take)
            if found and first is None:
                first = self._rules[min(found)]
        if first is None:
            return None
        others = {self._rules[index].category for index in found} - {first.category}
        return Hit(first.id, first.category, -1, also=tuple(sorted(others)))

    def session(self) -> PatternSession:
        """Begin judging one growing text."""
        return PatternSession(self)

    def hit(self, index: int) -> Hit:
        """Name the rule that matched."""
        rule = self._rules[index]
        return Hit(rule.id, rule.category, -1)

    def open_stream(self, take: Callable[..., None]) -> hyperscan.Stream:
        """Begin an engine stream; the caller must keep ``take`` alive as long as the stream."""
        return self._stream.stream(match_event_handler=take)


class PatternSession:
    """One growing text; remembers the engine's state, the automaton's state, and the way back to raw offsets."""

    __slots__ = (
        "_classifier",
        "_count",
        "_folder",
        "_found",
        "_raw",
        "_segments",
        "_state",
        "_stream",
        "_take",
        "_width",
    )

    def __init__(self, classifier: PatternClassifier) -> None:
        """Begin an engine stream."""
        self._classifier = classifier
        self._folder = Folder()
        self._width = classifier.width
        self._state = classifier.partial.start
        self._raw = 0  # raw characters so far
        self._count = 0  # folded characters so far
        self._segments: deque[tuple[int, int, int, list[int] | None]] = deque()
        self._found: list[int] = []
        self._stream: hyperscan.Stream | None = None
        found = self._found

        def take(index: int, *_: object) -> None:
            found.append(index)

        # The engine does not hold a reference to its callback; without this one it would call freed memory.
        self._take = take
        stream = classifier.open_stream(take)
        _guarded(stream.__enter__)
        self._stream = stream

    def __del__(self) -> None:
        """Give the engine's memory back: its stream is freed by closing alone, and an answer may end anywhere."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(hyperscan.error):
                stream.close(match_event_handler=self._take)

    def feed(self, text: str, *, final: bool) -> Hit | int:
        """Judge more text: a hit, or how far the raw text is clear of any later match."""
        stream = self._stream
        if stream is None:
            raise Unavailable(Failure.CRASH, "a pattern session was fed after its end")
        start = self._raw
        self._raw += len(text)
        folded, origin = self._folder.fold(text)
        before = self._count
        if folded:
            try:
                stream.scan(folded.encode())
            except hyperscan.error as problem:
                raise _failed(problem) from None
            self._count += len(folded)
        if final:
            self._stream = None
            _guarded(stream.close, match_event_handler=self._take)
        if self._found:
            return self._classifier.hit(min(self._found))
        if final:
            return self._raw
        state = self._state
        for character in folded:
            state = state[character]
        self._state = state
        held = state.depth
        if held < self._width:
            held = min(self._width, self._count)
        if not held:  # no later match can reach back into what there is
            self._segments.clear()
            return self._raw
        if folded:
            self._segments.append((before, len(folded), start, origin))
        return self._raw_offset(self._count - held)

    def _raw_offset(self, index: int) -> int:
        """Find where in the raw text the folded character of this index came from; forget what lies before it."""
        segments = self._segments
        while segments[0][0] + segments[0][1] <= index:
            segments.popleft()
        first, _, start, origin = segments[0]
        return start + (index - first if origin is None else origin[index - first])


def _literal(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


def _compile(mode: int, rules: Sequence[PatternRule], expressions: Sequence[str]) -> hyperscan.Database:
    database = hyperscan.Database(mode=mode)
    encoded = [expression.encode() for expression in expressions]
    try:
        database.compile(
            expressions=encoded, ids=list(range(len(encoded))), elements=len(encoded), flags=[_FLAGS] * len(encoded)
        )
    except hyperscan.error:
        for rule, expression in zip(rules, encoded, strict=True):
            try:
                hyperscan.Database(mode=mode).compile(expressions=[expression], ids=[0], elements=1, flags=[_FLAGS])
            except hyperscan.error:
                raise BadRule(rule.id, "the pattern cannot be matched in a stream") from None
        raise BadRule("(all)", "the rules cannot be compiled together") from None
    return database


def _guarded(scan: Callable[..., object], *arguments: object, **named: object) -> None:
    """Call the engine; whatever it raises means that the text was not judged."""
    try:
        scan(*arguments, **named)
    except hyperscan.error as problem:
        raise _failed(problem) from None


def _failed(problem: Exception) -> Unavailable:
    return Unavailable(Failure.CRASH, f"the pattern engine failed: {type(problem).__name__}")
