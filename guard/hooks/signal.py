"""What the messages of every sender come to: occurrences that fire, or do not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.state.orders import order_id
from guard.wire.strict_json import BadField

MAX_WORDS: Final = 400
MAX_IDENTITY: Final = 1024
_MARK: Final = slice(10, 22)  # of an order's id: what follows its time, without the last 20 random bits
_RANDOM_BITS: Final = 20


@dataclass(frozen=True, slots=True)
class Signal:
    """One occurrence: ``identity`` is the same whenever a sender speaks of it again, and another the next time.

    ``named`` is what the message says to stop, None if it says nothing; ``words`` tell people what it is about.
    ``wrong`` says why this one of several could not be understood, and is empty otherwise.
    """

    identity: str
    firing: bool
    named: str | None
    words: str
    event: str = ""
    wrong: str = ""


def entropy(hook: str, scope: str, identity: str, random: bytes) -> bytes:
    """Return the last 10 bytes of the id of the stop that this occurrence orders: 60 bits of it, 20 of ``random``.

    So the orders are themselves the memory of what was acted on: it is written in one step with the stop, lasts as
    long, and goes wherever orders go.
    """
    whole = hashlib.sha256()
    for part in (hook, scope, identity):
        encoded = part.encode("utf-8", "surrogatepass")
        whole.update(len(encoded).to_bytes(8, "big"))
        whole.update(encoded)
    number = int.from_bytes(whole.digest()[:10]) >> _RANDOM_BITS << _RANDOM_BITS
    return (number | int.from_bytes(random) & ((1 << _RANDOM_BITS) - 1)).to_bytes(10)


def mark(entropy_or_id: bytes | str) -> str:
    """Return what two orders for the same occurrence have in common."""
    return (order_id(0.0, entropy_or_id) if isinstance(entropy_or_id, bytes) else entropy_or_id)[_MARK]


def text(value: Any, place: str, *, limit: int = MAX_IDENTITY) -> str:
    """Take a text that is there and not empty; raises BadField that names the place."""
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise BadField(place, f"must be a text of 1 to {limit} characters")
    return value


def shown(*parts: Any) -> str:
    """Put texts together for people; what is none, or empty, is left out."""
    return ": ".join(part for part in parts if isinstance(part, str) and part)[:MAX_WORDS]


def at(body: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path of keys, None where there is nothing."""
    found: Any = body
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found
