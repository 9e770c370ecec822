"""The little language of the dialects' tables: every key of a request is text, control, structure, or refused.

A spec reads one value: it returns the value that will be sent, and hands every text to the collector, so that what is
inspected is what is sent. A key that no table names is refused, which is law 2 at the wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from guard.wire.strict_json import BadField
from safeguards.exchange import Passage
from safeguards.json_text import readings

MAX_DEPTH = 24
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Collector:
    """Gathers the passages of one request; ``role`` is whose voice the current ones are."""

    __slots__ = ("passages", "role")

    def __init__(self) -> None:
        """Begin with texts that steer the answer."""
        self.passages: list[Passage] = []
        self.role = "control"

    def text(self, place: str, text: str) -> None:
        """Take one text that the model will read."""
        if text:
            self.passages.append(Passage(place, self.role, text))


class Spec(Protocol):
    """Reads one value of a request."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Return what will be sent; raises BadField."""


class Text:
    """A string that the model reads."""

    def __init__(self, *, limit: int = 4_194_304) -> None:
        """Bound it in characters."""
        self._limit = limit

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Inspect it."""
        if type(value) is not str:
            raise BadField(place, "must be a string")
        if len(value) > self._limit:
            raise BadField(place, f"is longer than {self._limit} characters")
        into.text(place, value)
        return value


class Label(Text):
    """A short name or id that stands beside a message's texts: inspected, but in nobody's voice.

    So the texts of one voice stay next to one another, and a name between two of them cannot keep a phrase apart.
    """

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Inspect it as a text that steers."""
        role, into.role = into.role, "control"
        read = super().read(value, place, into)
        into.role = role
        return read


class JsonText(Text):
    """A string that ought to hold JSON: inspected as it stands, and with its escapes undone, level by level.

    It is not parsed: what one parser drops (the first of two equal keys, a number too long) another would read.
    """

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Inspect all views; the place of each has a ``#`` for every time that escapes were undone."""
        value = super().read(value, place, into)
        _views(value, place, into)
        return value


class Free:
    """A structure of the caller's own (a JSON schema): every key, every string and every number in it is inspected.

    A string in it may be a document again, so it is inspected with its escapes undone too, as a `JsonText` is.
    """

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Inspect all texts in it as one passage."""
        if not isinstance(value, dict):
            raise BadField(place, "must be an object")
        text = "\n".join(_strings(value, place, 0))
        into.text(place, text)
        _views(text, place, into)
        return value


class Number:
    """A number within bounds."""

    def __init__(self, low: float, high: float, *, whole: bool = False) -> None:
        """Bound it; ``whole`` takes integers only."""
        self._low = low
        self._high = high
        self._types: tuple[type, ...] = (int,) if whole else (int, float)
        self._what = "an integer" if whole else "a number"

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Check type and bounds."""
        if type(value) not in self._types or not self._low <= value <= self._high:
            raise BadField(place, f"must be {self._what} from {self._low} to {self._high}")
        return value


class Flag:
    """True or false."""

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Check the type."""
        if type(value) is not bool:
            raise BadField(place, "must be true or false")
        return value


class OneOf:
    """One of a few words (or other constants)."""

    def __init__(self, *values: object) -> None:
        """List all of them."""
        self._values = values

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Compare type and value."""
        for known in self._values:
            if type(value) is type(known) and value == known:
                return value
        raise BadField(place, f"must be one of {', '.join(json.dumps(known) for known in self._values)}")


class Items:
    """A list of one kind of thing."""

    def __init__(self, of: Spec, *, limit: int, least: int = 0) -> None:
        """Bound its length."""
        self._of = of
        self._limit = limit
        self._least = least

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read each item."""
        if not isinstance(value, list):
            raise BadField(place, "must be a list")
        if not self._least <= len(value) <= self._limit:
            raise BadField(place, f"must have {self._least} to {self._limit} items")
        return [self._of.read(item, f"{place}[{index}]", into) for index, item in enumerate(value)]


class Either:
    """A scalar in one shape or a structure in another, told apart by the JSON type."""

    def __init__(self, shapes: Mapping[type, Spec]) -> None:
        """Map the JSON type (str, list, dict) to its spec."""
        self._shapes = shapes

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read by the shape of its type."""
        spec = self._shapes.get(type(value))
        if spec is None:
            raise BadField(place, "has a type that is not allowed here")
        return spec.read(value, place, into)


class Refused:
    """A known key that may not be used, with the reason, so that the caller need not guess."""

    def __init__(self, why: str) -> None:
        """Say why."""
        self._why = why

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Refuse it."""
        raise BadField(place, self._why)


class Record:
    """An object with exactly these keys; null means not given, and ``required`` ones must be given."""

    def __init__(self, keys: Mapping[str, Spec], *, required: tuple[str, ...] = ()) -> None:
        """Take the table."""
        self._keys = dict(keys)
        self._required = required
        self._allowed = ", ".join(sorted(key for key, spec in keys.items() if not isinstance(spec, Refused)))

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read every key by its spec; what is null is not sent."""
        if not isinstance(value, dict):
            raise BadField(place, "must be an object")
        keys = self._keys
        sent = {}
        for key, item in value.items():
            spec = keys.get(key)
            if spec is None:
                # The name of a key is the caller's text too: it is repeated only when it looks like a key.
                named = f"{place}.{key}" if place else key
                raise BadField(named if _KEY.fullmatch(key) else place, f"is not allowed; allowed are {self._allowed}")
            if item is not None:
                sent[key] = spec.read(item, f"{place}.{key}" if place else key, into)
        for key in self._required:
            if key not in sent:
                raise BadField(f"{place}.{key}" if place else key, "is missing")
        return sent


def _views(text: str, place: str, into: Collector) -> None:
    for level, reading in enumerate(readings(text), 1):
        into.text(f"{place}{'#' * level}", reading)


def _strings(value: Any, place: str, depth: int) -> list[str]:
    if depth > MAX_DEPTH:
        raise BadField(place, "is nested too deeply")
    if isinstance(value, str):
        return [value]
    if type(value) is int or type(value) is float:
        return [str(value)]
    found: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            found.append(key)
            found += _strings(item, place, depth + 1)
    elif isinstance(value, list):
        for item in value:
            found += _strings(item, place, depth + 1)
    return found
