"""What a caller may give as a prompt or an input on OpenAI's plain routes: text, and nothing that stands for it."""

from __future__ import annotations

from typing import Any, Final

from guard.wire.strict_json import BadField
from guard.wire.table import Collector, Spec, Text

_TOKENS: Final = "token ids cannot be inspected; send text"
_PART: Final = "no mounted classifier can judge this kind of part; send text"


class Inputs:
    """A string or a list of strings, none of them empty: an empty one would be an answer to nothing inspected."""

    def __init__(self, *, limit: int, of: Spec | None = None) -> None:
        """Bound the number of strings."""
        self._limit = limit
        self._of = of or Text()

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Inspect each string on its own place."""
        if not isinstance(value, list):
            return self._one(value, place, into)
        if not 1 <= len(value) <= self._limit:
            raise BadField(place, f"must have 1 to {self._limit} items")
        return [self._one(item, f"{place}[{index}]", into) for index, item in enumerate(value)]

    def _one(self, value: Any, place: str, into: Collector) -> Any:
        if type(value) is int or isinstance(value, list):
            raise BadField(place, _TOKENS)
        if isinstance(value, dict):
            raise BadField(place, _PART)
        if value == "":
            raise BadField(place, "must not be empty")
        return self._of.read(value, place, into)


class Voiced:
    """Texts of one voice."""

    def __init__(self, role: str, of: Spec) -> None:
        """Say whose voice (``user``)."""
        self._role = role
        self._of = of

    def read(self, value: Any, place: str, into: Collector) -> Any:
        """Read in that voice, then go on in the one before."""
        role, into.role = into.role, self._role
        read = self._of.read(value, place, into)
        into.role = role
        return read


def count(inputs: Any) -> int:
    """How many strings an `Inputs` has taken."""
    return len(inputs) if isinstance(inputs, list) else 1
