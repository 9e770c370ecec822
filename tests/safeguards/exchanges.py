"""Exchanges for the tests of safeguards, and a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass

from safeguards.exchange import Caller, Channel, ChannelId, ChannelKind, Exchange, Passage


def exchange(*passages: Passage, tier: str = "gold", operation: str = "chat", key: str = "key-1") -> Exchange:
    """Make an exchange with these passages."""
    return Exchange(
        id="0123abcd",
        caller=Caller(key, "team", tier),
        model="demo",
        asl=3,
        surface="public",
        dialect="openai.chat",
        operation=operation,
        streamed=True,
        passages=passages,
        policy="digest",
        received=1_700_000_000.0,
    )


def said(*texts: str, role: str = "user") -> tuple[Passage, ...]:
    """Make passages of one voice."""
    return tuple(Passage(f"messages[{index}].content", role, text) for index, text in enumerate(texts))


def content(text: str = "") -> Channel:
    """Make the content channel of choice 0 with this fresh text."""
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    if text:
        channel.append(text)
    return channel


@dataclass
class StillClock:
    """Both clocks, as they are set."""

    epoch: float = 1_700_000_000.0
    monotonic: float = 100.0

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self.epoch

    def steady(self) -> float:
        """Return monotonic seconds."""
        return self.monotonic
