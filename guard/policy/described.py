"""The controls that a document describes, as an attestation carries them: lines of ``path=value``, and their hash.

A path is steps with ``/`` between them, ``%``, ``/`` and ``=`` within a step written as in a URL; a value is JSON:
null, true, false, a number, a text or a list of texts. All is printable ASCII: what is read is what is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import Frozen, MisplacedError, Sha256

MAX_TEXT: Final = 524_288
MAX_LINE: Final = 4096
MAX_STEPS: Final = 12
_PLAIN: Final = " &+,.:()@~_-"
Tree = Mapping[str, Any]


def render(tree: Tree) -> str:
    """Write nested mappings as sorted lines; an empty mapping has none."""
    return "".join(f"{line}\n" for line in sorted(_lines((), tree)))


def _lines(path: tuple[str, ...], value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _lines((*path, key), below)
    else:
        yield f"{'/'.join(quote(step, safe=_PLAIN) for step in path)}={json.dumps(value)}"


def read(text: str) -> Tree:
    """Return what the lines say; ValueError names the first line (from 1) that says nothing or contradicts another."""
    tree: dict[str, Any] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        try:
            _put(tree, line)
        except ValueError as error:
            raise ValueError(f"line {number} {error}") from None
    return tree


def _put(tree: dict[str, Any], line: str) -> None:
    if len(line) > MAX_LINE or not (line.isascii() and line.isprintable()):
        raise ValueError(f"must be printable ASCII of at most {MAX_LINE} characters")
    path, equals, written = line.partition("=")
    steps = path.split("/")
    if not equals or not all(steps) or len(steps) > MAX_STEPS:
        raise ValueError("must be path=value, as guard explain MODEL --controls writes it")
    *above, last = map(unquote, steps)
    value = _value(written)
    at = tree
    for step in above:
        at = at.setdefault(step, {})
        if not isinstance(at, dict):
            raise ValueError("goes on where another line ends")  # noqa: TRY004 - the line is wrong
    if at.setdefault(last, value) != value or type(at[last]) is not type(value):
        raise ValueError("contradicts another line")


def _value(written: str) -> Any:
    try:
        value = json.loads(written, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ValueError("must have a value of JSON") from None
    if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(each, str) for each in value)):
        raise ValueError("must have a plain value or a list of texts")
    return value


def _no_number(word: str) -> Any:
    raise ValueError(word)


def fingerprint(text: str) -> str:
    """Return hexadecimal SHA-256 of the lines as they are written."""
    return hashlib.sha256(text.encode()).hexdigest()


def _readable(text: str) -> str:
    read(text)
    return text


class Controls(Frozen):
    """Which controls the evidence describes, so that the guard can say what has changed since."""

    sha256: Sha256 = Field(description="SHA-256 of the lines, as the evidence states it.")
    lines: Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_readable)] = Field(
        description="What `guard explain MODEL --controls` printed then; for several models one after another."
    )

    @model_validator(mode="after")
    def _of_these_lines(self) -> Controls:
        if self.sha256 != fingerprint(self.lines):
            raise MisplacedError("is not the SHA-256 of `lines`", "sha256")
        return self
