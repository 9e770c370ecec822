"""What verification says: where a record stands, what is wrong with it, and what one log was found to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.audit.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands, or should; ``offset`` is in bytes, ``request`` empty where it cannot be read."""

    writer: str
    segment: str = ""
    offset: int = 0
    sequence: int = 0
    kind: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong and where; ``gone`` is the last record that is missing, where that is what is wrong, else 0."""

    place: Place
    what: str
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """A root that was signed for a size, and by what it is known."""

    head: Checkpoint
    source: str


@dataclass(slots=True)
class Rehashed:
    """One log: what was read of it and what is wrong; ``open`` are requests without an end."""

    writer: str
    records: int = 0
    size: int = 0
    signed: int = 0
    findings: list[Finding] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    open: dict[str, None] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Stamps:
    """The time stamps over heads of the fleet log: how many, from when to when, and the longest time without one.

    ``checked`` tells whether they were held to an authority's certificates, or only say what they say.
    """

    count: int
    first: float
    last: float
    widest: float
    checked: bool
