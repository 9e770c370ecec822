"""The ways an exchange can end, what a client is asked to do, and what it then saw: the words of the golden page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST: Final = "It begins well."
"""What has been streamed when something happens in the middle."""

FIELD: Final = "temperature"
"""The field that is asked for with a value out of its range, where a client lets one choose it."""


class Ending(StrEnum):
    """How it ends; the words are the page's."""

    ALLOWED = "allowed"
    PROMPT_BLOCKED = "the prompt is blocked"
    ANSWER_BLOCKED = "the answer is blocked in the middle"
    STOPPED_MIDWAY = "the model is stopped in the middle"
    STOPPED_BEFORE = "the model had been stopped"
    RATE_LIMITED = "the key's rate is used up"
    BAD_KEY = "the key is not valid"
    BAD_FIELD = "a field has a bad value"
    UNKNOWN_MODEL = "there is no such model"
    UPSTREAM_DIES = "the model's server dies in the middle"


MIDWAY: Final = frozenset({Ending.ANSWER_BLOCKED, Ending.STOPPED_MIDWAY, Ending.UPSTREAM_DIES})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: where, as whom, of which model; ``bad`` adds a field that is refused.

    A client calls ``came`` whenever it got text of a stream; what happens in the middle waits for that.
    """

    url: str
    key: str
    model: str
    prompt: str
    streamed: bool
    bad: bool
    came: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw: text and how the library says it finished, or what it raised; ``code`` is the guard's."""

    text: str = ""
    finish: str | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None
    attempts: int = 1

    def told(self) -> str:
        """The cell of the page."""
        kept = "text" if self.text else ""
        if self.error is None:
            return f"{kept}, then `{self.finish}`" if kept else f"`{self.finish}`"
        words = [f"`{self.error}`"]
        words += [str(self.status)] if self.status is not None else []
        words += [f"`{self.code}`"] if self.code is not None else []
        end = " ".join(words) + (f", sent {self.attempts} times" if self.attempts > 1 else "")
        return f"{kept}, then {end}" if kept else end


@dataclass(frozen=True, slots=True)
class Client:
    """One way to use a library; ways of one ``section`` must see the same.

    ``extra`` marks those that are installed on request only.
    """

    section: str
    way: str
    look: Callable[[Ask], Seen]
    extra: bool = False

    @property
    def name(self) -> str:
        """For test ids."""
        return f"{self.section}, {self.way}" if self.way else self.section
