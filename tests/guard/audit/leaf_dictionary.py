"""How ``leaf-1.zdict`` was made: trained once on records of invented requests, as many kinds of them as there are.

    python -m tests.guard.audit.leaf_dictionary > leaf-2.zdict

That makes another one when records look so different that it is worth a new number; the first stays what it is.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Final

import zstandard

from guard.audit import leaves, records
from safeguards.decision import Decision, Ending, Failure, Outcome, Released, Target
from safeguards.exchange import Caller, Channel, ChannelId, ChannelKind, Exchange, Passage
from safeguards.verdict import Code

SIZE: Final = 4096
REQUESTS: Final = 3000

_MOUNTS: Final = ("request_log", "kill_switch", "evidence", "access", "limits", "classifier")
_WATCHERS: Final = ("request_log", "kill_switch", "classifier")
_CATEGORIES: Final = ("misinformation", "violence", "fraud", "cyber", "cbrn", "self-harm", "autonomy", "jailbreak")
_DIALECTS: Final = (
    ("openai.chat", "chat"),
    ("openai.completions", "completions"),
    ("openai.responses", "responses"),
    ("openai.embeddings", "embeddings"),
    ("anthropic.messages", "messages"),
)
_FRAMEWORKS: Final = ("anthropic-rsp 2.2", "anthropic-rsp 3.4", "openai-preparedness 2", "google-fsf 3.1")


class Invented:
    """Requests that nobody made, each with its records."""

    def __init__(self, seed: int) -> None:
        """Begin."""
        self._random = random.Random(seed)

    def records(self) -> Iterator[records.Record]:
        """The records of one request."""
        draw = self._random
        wall, steady = 1.7e9 + 4e8 * draw.random(), 1e6 * draw.random()
        exchange = self._exchange(wall)
        passages = len(exchange.passages)
        sealed = leaves.Sealed(self._place(), [self._hex(32) for _ in range(passages)], self._matches(passages))
        yield leaves.intent(exchange, wall, steady, sealed)
        channels = [ChannelId(0, draw.choice([ChannelKind.CONTENT] * 6 + list(ChannelKind)))]
        if draw.random() < 0.2:
            channels.append(ChannelId(1, ChannelKind.CONTENT))
        for _ in range(draw.randrange(3)):
            channel = Channel(draw.choice(channels))
            channel.start = draw.randrange(10_000)
            channel.fresh = "x" * draw.randrange(1, 3000)
            yield leaves.part(exchange, channel, wall + draw.random(), steady, self._hex(32), self._place())
        kept = leaves.Sealed(self._place(), [self._hex(32) for _ in channels], self._matches(len(channels)))
        unkept = leaves.Sealed(matches=self._matches(len(channels)))
        flagged = self._place().replace("content-30", "flagged-730") if draw.random() < 0.1 else ""
        ended = self._outcome(wall, channels)
        yield leaves.outcome(exchange, ended, wall + 1, steady + 1, draw.choice([kept, unkept]), flagged)
        if draw.random() < 0.05:
            who, what = draw.choice(["cli:uid 1000", "admin:", "system:supervisor"]), draw.choice(["search", "reload"])
            yield records.Control(wall, steady, who, what, "", "")

    def _exchange(self, wall: float) -> Exchange:
        draw = self._random
        dialect, operation = draw.choice(_DIALECTS)
        places = ["system"] if draw.random() < 0.3 else []
        places += [f"messages[{at}].content" for at in range(draw.choice([1, 1, 2, 3, 7]))]
        return Exchange(
            id=self._hex(16),
            caller=Caller(self._word(), self._word(), draw.choice(["general", "trusted", self._word()])),
            model=self._word(),
            asl=draw.choice([2, 3]),
            surface=draw.choice(["public", "internal", "partner"]),
            dialect=dialect,
            operation=operation,
            streamed=draw.random() < 0.5,
            passages=tuple(
                Passage(place, draw.choice(["user", "assistant", "system", "tool"]), "x" * draw.randrange(4000))
                for place in places
            ),
            policy=self._hex(32),
            received=wall - draw.random(),
            framework=f"{draw.choice(_FRAMEWORKS)} {self._hex(32)}",
        )

    def _outcome(self, wall: float, channels: list[ChannelId]) -> Outcome:
        draw = self._random
        served = draw.random() < 0.8
        return Outcome(
            ending=Ending.SERVED if served else draw.choice(list(Ending)),
            status=200 if served else draw.choice([400, 403, 429, 499, 502, 503]),
            code=None if served else draw.choice(list(Code)),
            reason="" if served else self._word(),
            decisions=tuple(
                self._decision(name, target)
                for target, names in ((Target.INPUT, _MOUNTS), (Target.OUTPUT, _WATCHERS))
                for name in names
            ),
            released=tuple(Released(one, draw.randrange(9000), draw.randrange(9000), "") for one in channels),
            events=draw.randrange(400),
            sent_bytes=draw.randrange(90_000),
            ended=wall + draw.random(),
            seconds=20 * draw.random(),
            upstream_seconds=20 * draw.random(),
            first_byte_seconds=draw.random() if served else None,
            prompt_tokens=draw.randrange(3000) if draw.random() < 0.8 else None,
            completion_tokens=draw.randrange(3000) if draw.random() < 0.8 else None,
        )

    def _decision(self, name: str, target: Target) -> Decision:
        draw = self._random
        passed = Decision(name, target, draw.random() < 0.9, denied=False, blocked=False, seconds=1e-3 * draw.random())
        if draw.random() < 0.95:
            return passed
        return Decision(
            name,
            target,
            passed.enforced,
            denied=True,
            blocked=passed.enforced,
            seconds=passed.seconds,
            code=draw.choice(list(Code)),
            reason=f"classifier {self._word()}",
            category=draw.choice(_CATEGORIES),
            rule=self._word(),
            failure=draw.choice([None, *Failure]),
        )

    def _hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()

    def _matches(self, count: int) -> list[str]:
        return [self._hex(16) for _ in range(count)]

    def _place(self) -> str:
        draw = self._random
        day = f"20{draw.randrange(26, 36)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}"
        return f"content-30/{day}/{draw.randrange(10**6)}:{draw.randrange(10**8)}"

    def _word(self) -> str:
        draw = self._random
        return "".join(draw.choice("abcdefghijklmnopqrstuvwxyz-") for _ in range(draw.randrange(3, 20)))


def samples(seed: int, requests: int) -> list[bytes]:
    """The leaves of so many invented requests."""
    invented = Invented(seed)
    return [records.encode(record) for _ in range(requests) for record in invented.records()]


def train() -> bytes:
    """The dictionary; the same with the same zstd and the same records."""
    return zstandard.train_dictionary(
        SIZE, list[bytes | bytearray | memoryview](samples(1, REQUESTS)), dict_id=1
    ).as_bytes()


if __name__ == "__main__":
    sys.stdout.buffer.write(train())
