"""Random rule sets and texts, and slow, independent judges: Python's `re`, `in`, and a walk over the grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import assume
from hypothesis import strategies as st

from guard.classifiers.fold import fold_all
from guard.classifiers.patterns import BadRule, PatternClassifier, PatternRule

Ends = set[int]


class Node:
    """A piece of the safe grammar: writes itself as a pattern, and walks a text."""

    def write(self) -> str:
        """Write it as a regular expression."""
        raise NotImplementedError

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Return where it may end from here, and whether the text ran out while it could still go on."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.write()


@dataclass(frozen=True, repr=False)
class One(Node):
    """One character out of a set; ``source`` is how the pattern says so."""

    source: str
    taken: frozenset[str]

    def write(self) -> str:
        """Write the class."""
        return self.source

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Take one."""
        if start == len(text):
            return set(), True
        return ({start + 1} if text[start] in self.taken else set()), False


@dataclass(frozen=True, repr=False)
class Edge(Node):
    """A zero-width assertion; the walk lets it pass, which is what the hold-back must do."""

    source: str

    def write(self) -> str:
        """Write it."""
        return self.source

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Pass."""
        return {start}, False


@dataclass(frozen=True, repr=False)
class Row(Node):
    """One after another."""

    parts: tuple[Node, ...]

    def write(self) -> str:
        """Write them in a group."""
        return "(?:" + "".join(part.write() for part in self.parts) + ")"

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Walk them."""
        ends, out = {start}, False
        for part in self.parts:
            walks = [part.walk(text, end) for end in ends]
            ends = {end for found, _ in walks for end in found}
            out = out or any(ran for _, ran in walks)
        return ends, out


@dataclass(frozen=True, repr=False)
class Choice(Node):
    """One of several."""

    parts: tuple[Node, ...]

    def write(self) -> str:
        """Write the alternation."""
        return "(?:" + "|".join(part.write() for part in self.parts) + ")"

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Walk all."""
        walks = [part.walk(text, start) for part in self.parts]
        return {end for found, _ in walks for end in found}, any(ran for _, ran in walks)


@dataclass(frozen=True, repr=False)
class Repeat(Node):
    """A bounded repetition."""

    part: Node
    least: int
    most: int
    lazy: bool

    def write(self) -> str:
        """Write the quantifier on a group."""
        return f"(?:{self.part.write()}){{{self.least},{self.most}}}{'?' if self.lazy else ''}"

    def walk(self, text: str, start: int) -> tuple[Ends, bool]:
        """Walk the mandatory ones, then any number of the others."""
        row: Node = Row((self.part,) * self.least)
        ends, out = row.walk(text, start)
        last = ends
        for _ in range(self.most - self.least):
            walks = [self.part.walk(text, end) for end in last]
            last = {end for found, _ in walks for end in found}
            out = out or any(ran for _, ran in walks)
            ends = ends | last
        return ends, out


# What folded texts of `texts` are made of: the walk needs no other.
FOLDED = frozenset("abfixss12 -é\u2019中") - {"é"}
_ONES = (
    One("a", frozenset("a")),
    One("b", frozenset("b")),
    One("A", frozenset("a")),
    One("1", frozenset("1")),
    One("-", frozenset("-")),
    One(" ", frozenset(" ")),
    One(r"\x61", frozenset("a")),
    One(r"\s", frozenset(" ")),
    One("中", frozenset("中")),
    One("[ab]", frozenset("ab")),
    One("[A-F]", frozenset("abf")),
    One("[a1 ]", frozenset("a1 ")),
    One(r"\d", frozenset("12")),
    One(r"[\d-]", frozenset("12-")),
)
_WIDE = (
    One(r"\w", frozenset("abfixs12")),
    One(".", FOLDED),
    One("[^a]", FOLDED - {"a"}),
    One("[^a-z]", FOLDED - frozenset("abfixs")),
    One(r"\W", FOLDED - frozenset("abfixs12")),
    One(r"\D", FOLDED - frozenset("12")),
)
_EDGES = (Edge(r"\b"), Edge(r"\B"), Edge("^"), Edge("$"))


def _grow(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(
        st.lists(parts, min_size=1, max_size=3).map(lambda each: Row(tuple(each))),
        st.lists(parts, min_size=2, max_size=3).map(lambda each: Choice(tuple(each))),
        st.builds(
            lambda part, least, more, lazy: Repeat(part, least, max(1, least + more), lazy),
            parts,
            st.integers(0, 2),
            st.integers(0, 3),
            st.booleans(),
        ),
    )


def nodes(*, edges: bool, wide: bool) -> st.SearchStrategy[Node]:
    """Draw a pattern of the grammar that may not match the empty text."""
    ones: list[Node] = [*_ONES, *(_WIDE if wide else ())]
    leaves: st.SearchStrategy[Node] = st.sampled_from(ones + ones + list(_EDGES if edges else ()))
    first: st.SearchStrategy[Node] = st.sampled_from(ones)
    ends: st.SearchStrategy[list[Node]] = st.lists(st.sampled_from(_EDGES), max_size=1 if edges else 0)
    grown = st.recursive(leaves, _grow, max_leaves=6)
    return st.builds(
        lambda before, least, node, after: Row((*before, least, node, *after)), ends, first, grown, ends
    ).filter(lambda node: "  " not in node.write())


_PIECES = st.sampled_from(
    ["a", "b", "ab", "aa", "aba", "f", "i", "fi", "1", "-", " ", "a b", "ss", "中", "x", "\u2019"]
)
phrases = st.lists(_PIECES, min_size=1, max_size=4).map("".join).filter(lambda each: bool(each.strip()))
_DISGUISES = {
    "a": "aAá\uff21",
    "b": "bBḃ",
    "f": "fF",
    "i": "iIİ\u0131",
    "fi": ["ﬁ"],
    " ": [" ", "\t", "\n", "  ", "\u2028", "\xa0 "],
}
_NOISE = ("", "", "", "", "\u200b", "\u0301", "\ufeff", "\u00ad", "\x07")


@st.composite
def disguised(draw: st.DrawFn, plain: str) -> str:
    """Write a text so that it folds to the same: other cases, accents, invisible characters, runs of white space."""
    written = []
    for character in plain.replace("ss", "ß") if draw(st.booleans()) else plain:
        written.append(draw(st.sampled_from(list(_DISGUISES.get(character, character)))))
        written.append(draw(st.sampled_from(_NOISE)))
    return "".join(written).replace("fi", "ﬁ")


@st.composite
def rule_sets(draw: st.DrawFn) -> list[PatternRule]:
    """Draw one to five rules, phrases and patterns."""
    rules = []
    for index in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            rules.append(PatternRule(f"r{index}", "other", phrase=draw(phrases)))
        else:
            rules.append(PatternRule(f"r{index}", "other", pattern=draw(nodes(edges=True, wide=True)).write()))
    return rules


@st.composite
def texts_for(draw: st.DrawFn, rules: list[PatternRule]) -> str:
    """Draw a text: pieces of the alphabet, and whole or broken phrases of the rules in disguise."""
    known = [rule.phrase for rule in rules if rule.phrase] or ["ab"]
    pieces = []
    for _ in range(draw(st.integers(0, 8))):
        piece = draw(st.one_of(_PIECES, st.sampled_from(known)))
        if draw(st.booleans()):
            piece = piece[: draw(st.integers(0, len(piece)))]
        pieces.append(draw(disguised(piece)))
    return "".join(pieces)


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text anywhere, also into single characters and empty pieces."""
    if draw(st.booleans()):
        return list(text)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def compiled(rules: list[PatternRule]) -> PatternClassifier:
    """Compile a drawn set; what can never match (``a^b``, two spaces) is refused and not an example."""
    try:
        return PatternClassifier("v1", rules)
    except BadRule as bad:
        assume("cannot be matched in a stream" not in bad.why and "two spaces" not in bad.why)
        raise


def matching_starts(rules: list[PatternRule], folded: str) -> dict[str, list[int]]:
    """Return for each rule the places of the folded text at which it matches, as Python sees it."""
    found: dict[str, list[int]] = {}
    for rule in rules:
        if rule.phrase:
            phrase = fold_all(rule.phrase).strip()
            found[rule.id] = [at for at in range(len(folded)) if folded.startswith(phrase, at)]
        else:
            pattern = re.compile(rule.pattern, re.IGNORECASE | re.ASCII)
            found[rule.id] = [at for at in range(len(folded)) if pattern.match(folded, at)]
    return found


def raw_offset(text: str, index: int) -> int:
    """Return which character of the text brought the folded character of this index, by folding every beginning."""
    return next(at for at in range(len(text)) if len(fold_all(text[: at + 1])) > index)
