"""Moments and spans of time as the control page writes them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final


def day(at: float) -> str:
    """Write a day in UTC."""
    return moment(at).partition(" ")[0]


def moment(at: float) -> str:
    """Write a moment in UTC, to the second; an order written by hand may name one that no calendar has."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "no day of the calendar"


def clock(at: float) -> str:
    """Write the time of day in UTC."""
    return moment(at).rpartition(" ")[2]


def since(seconds: float) -> str:
    """Write a span in its two largest units; under a minute in seconds."""
    whole = max(0, int(seconds))
    for size, unit, smaller, name in _UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return "under a minute"


def instant(text: str) -> float:
    """Read a moment as RFC 3339 or a form writes it, in seconds since the epoch; without a zone it is UTC.

    Raises ValueError.
    """
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


_UNITS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 60, ""))
