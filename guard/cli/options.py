"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, date, datetime, time
from pathlib import Path

from guard.policy.model import GuardConfig


def state_of(directory: Path, guard: GuardConfig) -> Path:
    """Where the orders of this host are."""
    return directory / guard.storage.state


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--config``; there is no default directory, so that nothing is served by accident."""
    given = os.environ.get("GUARD_CONFIG")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="DIR",
        default=Path(given) if given else None,
        required=required and not given,
        help="the configuration directory (or the variable GUARD_CONFIG)",
    )


def add_at(parser: argparse.ArgumentParser) -> None:
    """Add ``--at``, a day that stands for its first instant (UTC); None when it is not given."""
    parser.add_argument("--at", type=_instant, metavar="DATE", help="judge evidence as of this day (UTC)")


def instant(text: str) -> float:
    """A moment in seconds since the epoch, of RFC 3339 or of a day; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a time as 2026-11-23T08:00:00Z, or a day") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def score(text: str) -> float:
    """A classifier's score."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError("a number from 0 to 1")
    return value


def given(text: str) -> str:
    """A name to look something up by, as it stands; never an empty one, which would read as everything."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a name, and this one is empty")
    return text


def words(text: str) -> str:
    """A line for the record."""
    if not text.strip() or len(text) > 500 or not text.isprintable():  # noqa: PLR2004 - a line, not an essay
        raise argparse.ArgumentTypeError("a line of at most 500 printable characters")
    return text.strip()


def day(text: str) -> date:
    """A day of the calendar."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day as YYYY-MM-DD") from None


def _instant(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError:
        raise argparse.ArgumentTypeError("a day as YYYY-MM-DD") from None
