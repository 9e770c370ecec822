"""Names that a server gives: made safe to print, judged fit to write, turned into an alias."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 256  # what a model file takes as the server's own name of a model
_SHOWN: Final = 80
_OTHERS: Final = re.compile(r"[^a-z0-9._-]+")

ALIAS_RULE: Final = (
    "what follows the last slash, without .gguf, in lower case, with a hyphen for every run of other characters than "
    "letters, digits, dot, underscore and hyphen, at most 64 long"
)


def shown(text: str, limit: int = _SHOWN) -> str:
    """Return a text of the server's as it may be printed: no control character or invisible mark as such, bounded."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)


def writable(name: str) -> bool:
    """Tell whether a model file can hold this name; one that cannot be read by a person is not written for one."""
    return 0 < len(name) <= LONGEST and name.isprintable() and name == name.strip()


def alias(name: str) -> str:
    """Return the name that callers will use, by ALIAS_RULE; `model` when nothing is left of it."""
    last = name.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(".gguf")
    return _OTHERS.sub("-", last).strip("._-")[:64].rstrip("._-") or "model"
