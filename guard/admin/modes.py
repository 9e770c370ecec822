"""The words of each mode of a stop, strongest first: what people press, what holds then, and what it does.

A mode that is not in the table, of a newer guard's order, is told by its own name and counts as one that refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from safeguards.mode import Mode


@dataclass(frozen=True, slots=True)
class ModeWords:
    """How one mode is told.

    ``act`` is what people order, ``done`` what holds then, ``does`` what it does to requests, in a clause. ``cuts`` is
    whether it ends what runs, ``refuses`` whether the model itself answers nobody new.
    """

    act: str
    done: str
    does: str
    cuts: bool = False
    refuses: bool = True


_TABLE: Final = {
    "de_deployed": ModeWords(
        "De-deploy", "De-deployed", "refuses and cuts as a stop does, and names what replaces the model", cuts=True
    ),
    "stop": ModeWords("Stop", "Stopped", "refuses new requests and cuts running ones", cuts=True),
    "quarantine": ModeWords(
        "Quarantine", "Quarantined", "refuses and cuts as a stop does, for all but investigators", cuts=True
    ),
    "drain": ModeWords("Drain", "Draining", "refuses new requests and lets running answers end"),
    "no_new_principals": ModeWords(
        "Close", "Closed to new principals", "refuses keys issued from today on", refuses=False
    ),
    "fallback": ModeWords(
        "Fall back",
        "On fallback",
        "lets another model answer what is new, or of that what its file says; a stop where it names none",
        refuses=False,
    ),
    "stricter": ModeWords(
        "Tighten",
        "Stricter",
        "enforces what the model tries in shadow; a stop where the file names nothing",
        refuses=False,
    ),
}
_RANK: Final = {name: rank for rank, name in enumerate(_TABLE)}


def words_of(mode: str) -> ModeWords:
    """Return how a mode is told, by its value."""
    found = _TABLE.get(mode)
    if found is not None:
        return found
    name = mode.replace("_", " ").capitalize() or "Unknown"
    return ModeWords(name, name, "is not known to this page", cuts=True)


def known(mode: str) -> bool:
    """Whether the table has it."""
    return mode in _TABLE


def strongest_first(modes: Iterable[str]) -> list[str]:
    """Return these modes, each once; one that is not known comes first."""
    return sorted(set(modes), key=rank)


def rank(mode: str) -> int:
    """Return where a mode stands: the lower, the stronger."""
    return _RANK.get(mode, -1)


OTHERS: Final = tuple(sorted(set(Mode) - {Mode.STOP}, key=lambda mode: (rank(mode) < rank(Mode.STOP), rank(mode))))
"""What may be ordered in place of a stop: the gentler ones first."""
