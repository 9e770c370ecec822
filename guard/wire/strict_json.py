"""JSON that has one reading: what a lenient parser somewhere would understand differently is refused."""

from __future__ import annotations

import json
import re
from typing import Any

_MAX_DIGITS = 20
_MAX_NUMBER = 64
# Each value costs a thousand times what a byte of text does: so many of them take an event loop a tenth of a second.
MAX_MARKS = 131_072
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadField(Exception):  # noqa: N818 - reads as the finding it is
    """Something in a request that may not be; names the place and never quotes the caller's text."""

    def __init__(self, place: str, message: str) -> None:
        """Take the path of the field (``messages[0].content``) and what is wrong with it."""
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message


def parse_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object: UTF-8 without BOM, no duplicate keys, bounded numbers, whole characters, nothing after it.

    It may have at most ``MAX_MARKS`` commas and colons outside its strings. Raises BadField for everything else.
    """
    if len(body) > MAX_MARKS and body.count(b",") + body.count(b":") > MAX_MARKS and marks(body) > MAX_MARKS:
        raise BadField("", f"the body has more than {MAX_MARKS} values, or is nested too deeply")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadField("", "the body is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except BadField:
        raise
    except RecursionError:
        raise BadField("", "the body is nested too deeply") from None
    except ValueError:
        raise BadField("", "the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise BadField("", "the body must be a JSON object")
    if _SURROGATE.search(text):
        _whole_characters(value)
    return value


def marks(body: bytes) -> int:
    """Count the commas and colons outside strings, before any value is built.

    Exact for all that a parser would read: after the first thing that is not JSON it builds nothing more. What has more
    quotes than valid JSON could have with ``MAX_MARKS`` is not counted but answered with more than that.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    # A string stands beside a mark or in a bracket of its own between two: two quotes each.
    if plain.count(b'"') > 4 * (MAX_MARKS + 1):
        return MAX_MARKS + 1
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b",") + outside.count(b":")


def _whole_characters(value: Any) -> None:
    """Refuse half of a surrogate pair, which only an escape can bring in and which UTF-8 cannot carry on."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadField("", "a string holds half a surrogate pair") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadField("", "an object names a key twice")
    return found


def _constant(_: str) -> Any:
    raise BadField("", "NaN and Infinity are not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise BadField("", "a number has too many digits")
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > _MAX_NUMBER:
        raise BadField("", "a number has too many digits")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise BadField("", "a number is out of range")
    return value


# One for all: making it costs as much as reading a short body. It begins each text anew.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_number
)
