"""What people are told: one thing that was done or found, in words and fields that hold no text of any exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from guard.policy.notify import Occasion

MAX_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; ``id`` is the same however often it is sent.

    ``did`` is the act in a word or two; ``subject`` a scope, several, or a model; ``effect`` what came of it. ``at``
    is seconds since the epoch; ``since`` is when what has ended now began, None where nothing ended.
    """

    id: str
    occasion: Occasion
    at: float
    host: str
    did: str
    subject: str
    who: str
    reason: str
    mode: str = ""
    order: str = ""
    effect: str = ""
    since: float | None = None

    @property
    def text(self) -> str:
        """All of it in a line for people."""
        mode = f" ({self.mode})" if self.mode and self.mode != self.did else ""
        parts = [f"ASL Guard {self.host}: {self.did} {self.subject}{mode} by {self.who}"]
        parts += [f"reason: {self.reason}" if self.reason else "no reason was given"]
        parts += [self.effect] if self.effect else []
        parts += [f"order {self.order}"] if self.order else []
        return _line("; ".join(parts))[:MAX_TEXT]

    def fields(self) -> dict[str, Any]:
        """All of it for machines; times in UTC."""
        return {
            "id": self.id,
            "host": self.host,
            "did": self.did,
            "subject": self.subject,
            "mode": self.mode or None,
            "who": self.who,
            "reason": self.reason,
            "order": self.order or None,
            "effect": self.effect or None,
            "since": None if self.since is None else moment(self.since),
            "text": self.text,
        }


def moment(at: float) -> str:
    """Write an instant in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
