"""What is kept of each request's texts: sealed into bodies when its policy keeps content, and what its leaves then say.

A request's texts lie under the key of its owner, its retention class and the day of its intent. What a classifier
objected to is written once more, whole, into the class of flagged exchanges, because a whole class is deleted at once
and only the outcome knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.audit.bodies import Bodies, Writing
from guard.audit.body_places import Kind, bound, day_of
from guard.audit.encryption import COMPRESSED_FROM, commitment, digest, encoded
from guard.audit.leaves import NOTHING, Sealed
from guard.audit.part_leaf import packed_id
from guard.audit.wrapping import DataKey, KeyUnavailableError
from safeguards.decision import Outcome
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Clock, Keep
from safeguards.verdict import Code

DAY_SECONDS = 86_400


def content_class(keep: Keep) -> str:
    """The retention class of any exchange's texts."""
    return f"content-{keep.days}"


def flagged_class(keep: Keep) -> str:
    """The retention class of what a classifier objected to."""
    return f"flagged-{keep.flagged_days}"


def flagged(outcome: Outcome) -> bool:
    """Tell whether a classifier objected, in shadow too."""
    return any(one.denied and one.code is Code.CONTENT_BLOCKED for one in outcome.decisions)


@dataclass(slots=True)
class Kept:
    """What is known of one open request's texts; ``whole`` while its parts hold all that was released.

    ``bound`` and ``packed`` are its id as its short texts and its packed leaves have it.
    """

    keep: Keep
    key: DataKey
    bound: bytes
    packed: bytes
    whole: bool = False
    missed: bool = False


class Keeping:
    """Writes the bodies of one writer; every method gives what the leaf says and how many bytes were written.

    ``hint`` is the number of the next leaf. They raise OSError, KeyUnavailableError and TooLongError.
    """

    def __init__(self, bodies: Bodies | None, clock: Clock) -> None:
        """Take the segments; without any, no text can be kept."""
        self._bodies = bodies
        self._clock = clock
        self._begins, self._today = float("inf"), ""

    def intent(self, exchange: Exchange, keep: Keep, now: float, hint: int) -> tuple[Kept, Sealed, int]:
        """Keep the passages; raises KeyUnavailableError where nothing can be kept."""
        key = self._key(exchange.caller.owner, content_class(keep))
        texts = [encoded(passage.text) for passage in exchange.passages]
        sealed, size = self._write(key, exchange.id, texts, now, hint)
        return Kept(keep, key, bound(Kind.TEXT, exchange.id), packed_id(exchange.id)), sealed, size

    def part(
        self, kept: Kept, exchange: Exchange, channel: Channel, now: float, hint: int
    ) -> tuple[bytes, Writing, int, int]:
        """Keep the fresh text; gives its commitment's digest, in which segment and where it is, its size."""
        bodies = self._bodies
        assert bodies is not None  # noqa: S101 - nothing is kept without
        text = encoded(channel.fresh)
        missed, kept.missed = kept.missed, True  # until it is written
        if len(text) < COMPRESSED_FROM:
            salt, writing, at, size = bodies.write_text(kept.key, kept.bound, text, now=now, hint=hint)
        else:
            salt = bodies.salt()
            writing, at, size = bodies.write(kept.key, exchange.id, salt, (text,), now=now, hint=hint)
        kept.whole, kept.missed = True, missed
        return digest(salt, 0, text), writing, at, size

    def outcome(
        self, kept: Kept, exchange: Exchange, outcome: Outcome, now: float, hint: int
    ) -> tuple[Sealed, str, int]:
        """Keep what was released, unless the parts hold it, and all of it again if it was flagged."""
        texts = [encoded(one.text) for one in outcome.released]
        if kept.whole and not kept.missed:
            sealed, size = Sealed(matches=[kept.key.match(text).hex() for text in texts]), 0
        elif texts:
            sealed, size = self._write(kept.key, exchange.id, texts, now, hint)
        else:
            sealed, size = NOTHING, 0
        if not flagged(outcome):
            return sealed, "", size
        whole = [encoded(passage.text) for passage in exchange.passages]
        whole += [encoded(one.text + one.withheld) for one in outcome.released]
        labels = (
            *(passage.place for passage in exchange.passages),
            *(str(one.channel) for one in outcome.released),
        )
        key = self._key(exchange.caller.owner, flagged_class(kept.keep))
        copy, more = self._write(key, exchange.id, whole, now, hint, labels)
        return sealed, copy.body, size + more

    def comment(self, owner: str, keep: Keep, one: str, text: str, now: float, hint: int) -> tuple[Sealed, int]:
        """Keep what somebody wrote about an exchange, as long as a flagged one."""
        return self._write(self._key(owner, flagged_class(keep)), one, [encoded(text)], now, hint)

    def tend(self) -> None:
        """Let go of yesterday."""
        if self._bodies is not None:
            self._bodies.tend(day_of(self._clock.now()))

    def close(self) -> None:
        """Give descriptors back."""
        if self._bodies is not None:
            self._bodies.close()

    def _key(self, owner: str, retention: str) -> DataKey:
        if self._bodies is None:
            raise KeyUnavailableError("there is no key to keep texts with")
        now = self._clock.now()
        if not self._begins <= now < self._begins + DAY_SECONDS:
            self._begins, self._today = now // DAY_SECONDS * DAY_SECONDS, day_of(now)
        return self._bodies.key(owner, retention, self._today)

    def _write(
        self,
        key: DataKey,
        one: str,
        texts: Sequence[bytes],
        now: float,
        hint: int,
        labels: tuple[str, ...] = (),
    ) -> tuple[Sealed, int]:
        bodies = self._bodies
        assert bodies is not None  # noqa: S101 - the key came from it
        salt, matches = bodies.salt(), [key.match(text) for text in texts]
        writing, at, size = bodies.write(key, one, salt, texts, now=now, hint=hint, matches=matches, labels=labels)
        commitments = [commitment(salt, index, text) for index, text in enumerate(texts)]
        return Sealed(f"{writing.place}{at}", commitments, [match.hex() for match in matches]), size
