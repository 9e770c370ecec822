"""What one model's policy has become in this process: everything a request needs, built once at load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from guard.pipeline import Admitted, Pipeline
from guard.wire.dialect import NOTHING_GRANTED, Dialect, Grants
from safeguards.mode import Mode


class Answer(Protocol):
    """The upstream's answer: status and headers are here, the body comes in batches."""

    status: int
    last_read: float

    @property
    def waiting(self) -> bool:
        """Whether a task waits for the upstream now."""

    @property
    def complete(self) -> bool:
        """Whether the end has been received (perhaps not yet read)."""

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value by its lower-case name."""

    async def read(self) -> bytes | None:
        """Everything that has arrived, or None at the proven end."""

    async def follow(self, take: Callable[[bytes], bool]) -> bool:
        """Give ``take`` what arrives while it answers True; True once it has not, False at the proven end.

        It is called where bytes arrive, without a turn of this task. What it raises is raised here.
        """

    def close(self) -> None:
        """Give the connection back if the answer is complete and clean, else close it at once."""


class Upstream(Protocol):
    """The way to one model; takes an `Admitted` and nothing else."""

    async def send(self, admitted: Admitted) -> Answer:
        """Send the request as it was admitted; raises UpstreamError."""

    def abandon(self, admitted: Admitted, told: Callable[[str], None]) -> None:
        """Have the server stop generating an answer that was stopped, if it takes that; returns at once.

        ``told`` is called later, where something was asked, with what became of it.
        """

    def settle(self, answer: Answer) -> None:
        """Have done with an answer whose last word was passed on, perhaps a moment before the end of its body."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One model as it is served here; times are seconds, ``held_bytes`` bounds what an answer may hold back.

    ``answer_characters`` bounds all texts of one answer: they are kept until its end, and one record must hold them.
    ``expect_model``, if not empty, is the model that the upstream must name in its answers.
    ``framework`` names the standard that binds it, with its version and hash; ``release`` is the model's own version.
    Only keys of its ``audience`` reach it. ``rungs`` are those of its ladder that it can answer: ``stricter`` is the
    pipeline with the same safeguards of which more are enforced, ``fallback`` the model that answers in its place: only
    prompts of the categories ``fallback_for``, if there are any, which the mounts ``fallback_by`` can find.
    ``replacement`` is what callers are told of once it is withdrawn. ``tried`` are its mounts in shadow: where one of
    them blocks, an order made it.
    """

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
    answer_characters: int = 8_388_608
    grants: Grants = NOTHING_GRANTED
    framework: str = ""
    expect_model: str = ""
    audience: str = "general"
    release: str = ""
    rungs: frozenset[Mode] = frozenset()
    stricter: Pipeline | None = None
    fallback: str = ""
    fallback_for: frozenset[str] = frozenset()
    fallback_by: frozenset[str] = frozenset()
    replacement: str = ""
    tried: frozenset[str] = frozenset()


class Catalogue(Protocol):
    """The models of the current configuration."""

    def find(self, model: str) -> Serving | None:
        """Return the model of exactly this alias."""
