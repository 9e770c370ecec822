"""A request that nobody has made, and what would become of it: the records that `why` answers with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from guard.policy.compile import RAPID_RESPONSE_SECONDS
from guard.policy.floor import Unmet
from guard.policy.model import Mode, OnFailure, Operation, Target
from safeguards.ports import Screen
from safeguards.rapid_response import NAME as RAPID_RESPONSE
from safeguards.verdict import Code

SIDES: Final = {Target.INPUT: "the prompt", Target.OUTPUT: "every part of the answer"}


class Says(StrEnum):
    """What a step of the journey, or a safeguard, would say."""

    PASSES = "passes"
    REFUSES = "refuses"
    WOULD_REFUSE = "would refuse"  # in shadow: recorded, not carried out
    JUDGES = "judges text"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody has made; its text is left open."""

    key: str
    model: str
    operation: Operation
    surface: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step before the safeguards."""

    step: str
    says: Says
    detail: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A mounted safeguard in its place (from 1), what it asks, and what it would say; ``code`` if it would deny."""

    order: int
    use: str
    name: str
    mode: str
    on_failure: str
    deadline_seconds: float
    asks: str
    says: Says
    code: Code | None
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What would happen: refused with ``code`` and ``status``, or forwarded to ``upstream`` and watched by these."""

    at: datetime
    digest: str
    question: Question
    route: str
    steps: tuple[Step, ...]
    unmet: tuple[Unmet, ...]
    safeguards: tuple[Asked, ...]
    forwarded: bool
    code: Code | None
    status: int | None
    upstream: str | None
    watched_by: tuple[str, ...]


def screening(screens: Sequence[Screen], before: Sequence[Asked]) -> Iterator[Asked]:
    """Each rule order that screens this exchange, behind what its model mounts; one that cannot be used refuses."""
    ended = any(each.says is Says.REFUSES for each in before)
    for order, screen in enumerate(screens, len(before) + 1):
        says = Says.NOT_ASKED if ended else Says.JUDGES if screen.classifier is not None else Says.REFUSES
        ended = ended or says is Says.REFUSES
        sides = [SIDES[side] for side, asked in zip(Target, (screen.input, screen.output), strict=True) if asked]
        yield Asked(
            order=order,
            use=RAPID_RESPONSE,
            name=named(screen),
            mode=Mode.ENFORCE,
            on_failure=OnFailure.BLOCK,
            deadline_seconds=RAPID_RESPONSE_SECONDS,
            asks=f"judges {' and '.join(sides)} by the rules of the order",
            says=says,
            code=Code.SAFEGUARD_FAILED if says is Says.REFUSES else None,
            reason=screen.why if says is Says.REFUSES else "",
        )


def named(screen: Screen) -> str:
    """Return how a rule order is told among the safeguards."""
    return f"rule order {screen.order}"
