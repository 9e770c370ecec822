"""What a stop order does with what it covers: a closed list of modes, and what each means for one kind of exchange.

The first three hold for any scope. The others are rungs of a model's ladder (rows E7 to E9): its file says what they
mean for it, and one that the file does not declare is a stop, so an order never does less than nothing. Modes that are
in force together all hold: a later, deeper one takes nothing away from an earlier.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Mode(StrEnum):
    """What a stop does.

    ``stop`` refuses and cuts. ``drain`` refuses what is new and lets running answers end, by their model's own
    deadline at the latest. ``quarantine`` refuses and cuts as a stop does, for everyone but investigators.
    ``stricter`` enforces what the model only tries in shadow, also on what runs. ``fallback`` lets another model
    answer what is new, or of that only prompts of certain categories. ``no_new_principals`` refuses keys that were not
    issued before the day of the order.
    ``de_deployed`` refuses and cuts as a stop does, and names what replaces the model, or lets that answer.
    """

    STOP = "stop"
    DRAIN = "drain"
    QUARANTINE = "quarantine"
    STRICTER = "stricter"
    FALLBACK = "fallback"
    NO_NEW_PRINCIPALS = "no_new_principals"
    DE_DEPLOYED = "de_deployed"


RUNGS: Final = frozenset({Mode.STRICTER, Mode.FALLBACK, Mode.NO_NEW_PRINCIPALS, Mode.DE_DEPLOYED})
"""The modes that concern whole models alone."""

MILDEST_FIRST: Final = (
    Mode.STRICTER,
    Mode.FALLBACK,
    Mode.NO_NEW_PRINCIPALS,
    Mode.DRAIN,
    Mode.QUARANTINE,
    Mode.STOP,
    Mode.DE_DEPLOYED,
)

CASES: Final = 32
_INVESTIGATOR: Final = 1
_ANSWERS: Final = {Mode.STRICTER: 2, Mode.FALLBACK: 4, Mode.DE_DEPLOYED: 8}
_IN_PART: Final = 16


def case_of(*, investigator: bool, rungs: Collection[Mode], in_part: bool = False) -> int:
    """Return the kind of an exchange as a number below `CASES`: whose it is, and which rungs its model can answer.

    ``rungs`` are those of the model's file; of ``de_deployed`` it is whether the replacement answers in its place.
    ``in_part`` is whether its ``fallback`` is for certain categories, so that the model itself answers the rest.
    """
    case = investigator * _INVESTIGATOR + sum(bit for mode, bit in _ANSWERS.items() if mode in rungs)
    return case + _IN_PART if in_part and Mode.FALLBACK in rungs else case


def effective(mode: Mode, rungs: Collection[Mode]) -> Mode:
    """Return what a mode is for a model with these rungs: one that needs the file and is not there is a stop."""
    return Mode.STOP if mode in {Mode.STRICTER, Mode.FALLBACK} and mode not in rungs else mode


def refuses(mode: Mode, case: int) -> bool:
    """Whether the model itself answers nothing new; what depends on the age of a key is judged apart."""
    match mode:
        case Mode.QUARANTINE:
            return not case & _INVESTIGATOR
        case Mode.STRICTER:
            return not case & _ANSWERS[mode]
        case Mode.NO_NEW_PRINCIPALS:
            return False
        case Mode.FALLBACK:
            return not case & _IN_PART
        case _:
            return True


def routes(mode: Mode, case: int) -> bool:
    """Whether another model is to answer what this one refuses."""
    return mode in {Mode.FALLBACK, Mode.DE_DEPLOYED} and bool(case & _ANSWERS[mode]) and refuses(mode, case)


def cuts(mode: Mode, case: int) -> bool:
    """Whether running answers end."""
    match mode:
        case Mode.QUARANTINE:
            return not case & _INVESTIGATOR
        case Mode.STRICTER | Mode.FALLBACK:
            return not case & _ANSWERS[mode]
        case Mode.DRAIN | Mode.NO_NEW_PRINCIPALS:
            return False
        case _:
            return True
