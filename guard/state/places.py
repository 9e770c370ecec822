"""Where the servers of a fleet's engine are, as the secret that names them writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection to stand, and for one answer."""

    connect: float = 2.0
    answer: float = 0.5


def url_of(text: str) -> SplitResult:
    """Read a URL without options; raises ValueError that shows nothing of the text, which may hold a password."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.query or parts.fragment:
        raise ValueError("takes no options behind its path")
    return parts


def places_of(text: str, port: int) -> tuple[tuple[str, int], ...]:
    """Read ``host:port,host:port``, each with this port where it names none; raises ValueError as `url_of` does."""
    return tuple(_place(place, port) for place in text.split(","))


def _place(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= _LAST_PORT:
        raise ValueError("each host must be a name or an address, with a port from 1 to 65535 behind it")
    return host, int(port)
