"""A request that nobody has made, and what would become of it: the records that `why` answers with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from guard.policy.floor import Unmet
from guard.policy.model import Operation
from safeguards.verdict import Code


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
