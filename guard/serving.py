"""What one model's policy has become in this process: everything a request needs, built once at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from guard.pipeline import Admitted, Pipeline
from guard.wire.dialect import Dialect


class Answer(Protocol):
    """The upstream's answer: status and headers are here, the body comes in batches."""

    status: int
    last_read: float

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value by its lower-case name."""

    async def read(self) -> bytes | None:
        """Everything that has arrived, or None at the proven end."""

    def close(self) -> None:
        """Give the connection back if the answer is complete and clean, else close it at once."""


class Upstream(Protocol):
    """The way to one model; takes an `Admitted` and nothing else."""

    async def send(self, admitted: Admitted) -> Answer:
        """Send the request as it was admitted; raises UpstreamError."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One model as it is served here; times are seconds, ``held_bytes`` bounds what an answer may hold back."""

    model: str
    asl: int
    provider: str
    policy: str
    pipeline: Pipeline
    upstream: Upstream
    dialects: Mapping[str, Dialect]
    surfaces: frozenset[str]
    total_seconds: float
    idle_seconds: float
    unmet: tuple[str, ...]
    held_bytes: int = 1_048_576


class Catalogue(Protocol):
    """The models of the current configuration."""

    def find(self, model: str) -> Serving | None:
        """Return the model of exactly this alias."""
