"""Strict YAML: one document of mappings, lists and scalars, and the line of every key; anything else is refused.

Scalars are the words of YAML 1.2 and no more: true, false, null (also capitalised, and nothing at all), decimal whole
numbers and fractions. `yes`, `on`, `12:30`, `0o17`, `0123` and dates are texts. Refused: duplicate keys at any depth,
keys that are not texts, merge keys, anchors and aliases (so nothing can multiply), tags, directives, a second document,
and characters that an editor shows differently from how a parser reads them (other line breaks than LF and
CRLF, invisible steering of text direction): what was reviewed is what is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 1_048_576
MAX_NODES = 100_000
MAX_DEPTH = 16
MAX_PROBLEMS = 100

Place = tuple[str | int, ...]

_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,2})?")
# Controls, NEL, LS, PS, a CR that ends no CRLF, marks that steer text direction, a byte order mark, non-characters.
_MISLEADING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|\r(?!\n)"
)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One defect: the file (relative to the configuration directory), its line (0: the whole file), the key, words."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        """Render as ``models/demo.yaml:12: upstream.url: message``."""
        line = f":{self.line}" if self.line else ""
        path = f" {self.path}:" if self.path else ""
        return f"{self.file}{line}:{path} {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it; its text names the first hundred."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order of files and lines, each once."""
        self.problems = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        """One problem a line."""
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"and {len(self.problems) - MAX_PROBLEMS} more")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Document:
    """A file as read: nested dicts and tuples of plain scalars, the line of each place, and the bytes themselves."""

    file: str
    content: bytes
    value: Any
    lines: Mapping[Place, int]

    def problem(self, place: Place, message: str) -> Problem:
        """Name a defect at a place, or at the nearest line above it that is known."""
        return located(self.file, self.lines, place, message)


def located(file: str, lines: Mapping[Place, int], place: Place, message: str) -> Problem:
    """Name a defect at a place of a file whose lines are these, or at the nearest line above it that is known."""
    known = place
    while known and known not in lines:
        known = known[:-1]
    return Problem(file, lines.get(known, 1), path_text(place), message)


def path_text(place: Place) -> str:
    """Write a place as ``safeguards[2].settings.rules``; a long or odd key is shortened and quoted."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        plain = len(step) <= 128 and step.isprintable()  # noqa: PLR2004 - the longest name a key may have
        text += ("." if text else "") + (step if plain and step else ascii(step[:128]))
    return text


def parse(file: str, content: bytes) -> Document:
    """Read one file's bytes; raises ConfigError with every problem found up to the first that ends the reading."""
    if len(content) > MAX_BYTES:
        raise ConfigError([Problem(file, 0, "", f"is longer than {MAX_BYTES} bytes")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "is not UTF-8")]) from None
    misleading = _MISLEADING.search(text)
    if misleading:
        line = text.count("\n", 0, misleading.start()) + 1
        name = f"U+{ord(misleading[0]):04X}"
        raise ConfigError([Problem(file, line, "", f"contains the character {name}, which editors do not show")])
    reader = _Reader(file)
    try:
        reader.read(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        # The parser puts the end of the text on a line of its own.
        line = min(error.problem_mark.line + 1 if error.problem_mark else 1, len(text.splitlines()) or 1)
        reader.problems.append(Problem(file, line, "", f"is not YAML: {error.problem or error.context}"))
    except yaml.YAMLError:
        reader.problems.append(Problem(file, 1, "", "is not YAML"))
    except _TooMuchError:
        pass
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(file, content, reader.value, reader.lines)


class _TooMuchError(Exception):
    """The reading ends here; the problem is already noted."""


class _Reader:
    """Builds values from parser events, with the events' own stack as the only recursion (bounded)."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[Place, int] = {(): 1}
        self.value: Any = None
        self._nodes = 0

    def read(self, events: Iterator[Any]) -> None:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version or event.tags:
                    self._stop(event, (), "directives are not allowed")
                if self._nodes:
                    self._stop(event, (), "a second document is not allowed")
                self.value = self._node(next(events), events, ())

    def _node(self, event: Any, events: Iterator[Any], place: Place) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, (), f"has more than {MAX_NODES} values")
        if isinstance(event, yaml.AliasEvent):
            self._note(event, place, "aliases are not allowed")
            return None
        if event.anchor is not None:
            self._note(event, place, "anchors are not allowed")
        if event.tag is not None:
            self._note(event, place, "tags are not allowed")
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.implicit[0] else event.value
        if len(place) >= MAX_DEPTH:
            self._stop(event, place, f"is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, place)
        return self._sequence(events, place)

    def _sequence(self, events: Iterator[Any], place: Place) -> tuple[Any, ...]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            below = (*place, len(items))
            self.lines[below] = event.start_mark.line + 1
            items.append(self._node(event, events, below))
        return tuple(items)

    def _mapping(self, events: Iterator[Any], place: Place) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = event.start_mark.line + 1
            plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
            key = self._node(event, events, place)
            if not isinstance(key, str):
                self._note(event, place, "a key must be a text; put it in quotes")
                key = f"?{len(items)}"
            elif plain and key == "<<":
                self._note(event, place, "merge keys are not allowed")
            below = (*place, key)
            if key in items:
                self._note(event, below, f"is given twice, first in line {self.lines[below]}")
            else:
                self.lines[below] = line
            items[key] = self._node(next(events), events, below)
        return items

    def _note(self, event: Any, place: Place, message: str) -> None:
        self.problems.append(Problem(self.file, event.start_mark.line + 1, path_text(place), message))
        if len(self.problems) > MAX_PROBLEMS:
            raise _TooMuchError

    def _stop(self, event: Any, place: Place, message: str) -> None:
        self._note(event, place, message)
        raise _TooMuchError


def scalar(word: str) -> Any:
    """What an unquoted word means: true, false, null, a number, or else the text itself."""
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        return int(word)
    if _FRACTION.fullmatch(word):
        return float(word)
    return word
