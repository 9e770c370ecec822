"""What safeguards need from outside; `guard` implements these, tests fake them with plain classes."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from safeguards.decision import Outcome
from safeguards.exchange import Channel, Exchange
from safeguards.mode import Mode


class Clock(Protocol):
    """Time as an argument: `now` is seconds since the epoch, `steady` monotonic seconds."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def steady(self) -> float:
        """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop order in force that covers an exchange."""

    order: str
    scope: str
    reason: str
    mode: Mode = Mode.STOP


class Switches(Protocol):
    """The kill switch's state in this process; cheap enough to ask before every send."""

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop that keeps this exchange from beginning, or None; raises Unavailable when it cannot be known."""

    def cutting(self, exchange: Exchange) -> Stop | None:
        """The stop that ends this exchange while it runs, or None (a drain ends nothing); raises as `covering`."""


class Ladder(Switches, Protocol):
    """The switches, and the orders in force that do something else than refuse: asked once for an exchange.

    All raise Unavailable when the orders cannot be known.
    """

    def detour(self, exchange: Exchange) -> Stop | None:
        """The order by which another model is to answer this exchange; None where there is none, or it is refused."""

    def diverts(self, exchange: Exchange) -> Stop | None:
        """The order by which prompts of the categories in ``fallback_for`` are kept from this model, or None."""

    def tightens(self, exchange: Exchange) -> Stop | None:
        """The order by which this exchange is judged by its model's stricter pipeline, or None."""

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        """The order by which a model of this level that answers to these scopes is offered no more, or None."""


class Meters(Protocol):
    """Rate counters shared by all workers of a host."""

    def take(self, key: str, rate: float, burst: int, now: float) -> float:
        """Take one from the bucket of this key (rate per second): 0.0 if taken, else seconds to wait."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days texts are kept: those of any exchange, and those of one that a classifier objected to."""

    days: int
    flagged_days: int


class Log(Protocol):
    """The request log's durable store; without ``keep`` it keeps no text."""

    def intent(
        self, exchange: Exchange, *, durable: bool, keep: Keep | None, patience: float = 0.0
    ) -> Awaitable[None] | None:
        """Write the intent; None when it needs no waiting, else an awaitable that ends once it is on disk.

        While nothing can be written, this request's records may wait in memory for ``patience`` seconds of the outage.

        Raises Unavailable when the record cannot be written.
        """

    def part(self, exchange: Exchange, channel: Channel, *, durable: bool = False) -> Awaitable[None] | None:
        """Write the channel's fresh text before any of it is released; as `intent`."""

    def outcome(self, exchange: Exchange, outcome: Outcome, *, durable: bool) -> Awaitable[None] | None:
        """Write how it ended; as `intent`. Texts are kept if the intent said so."""


class Copies(Protocol):
    """The copies of the request log that are made elsewhere."""

    def lag(self) -> float:
        """For how many seconds the oldest record without a copy has been so; raises Unavailable when not known."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule of a classifier that matched; ``end`` is a character offset, or -1 when not known.

    ``score`` and the ``threshold`` it reached are a scoring classifier's, from 0 to 1; one that matches has neither.
    ``also`` are the further categories that complete texts were hit for.
    """

    rule: str
    category: str
    end: int
    score: float | None = None
    threshold: float | None = None
    also: tuple[str, ...] = ()


class Session(Protocol):
    """A classifier's view of one growing text."""

    def feed(self, text: str, *, final: bool) -> Hit | int:
        """Judge more text: the hit, or the offset below which nothing can belong to a later hit."""


class Classifier(Protocol):
    """Judges texts at once; its version carries its own rules and thresholds."""

    version: str

    def judge(self, texts: list[str]) -> Hit | None:
        """The first hit in any of these complete texts, with the categories of all others; or None."""

    def session(self) -> Session:
        """Begin judging one growing text."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What one rule order screens; without a ``classifier`` its rules cannot be used, and ``why`` says so."""

    order: str
    input: bool
    output: bool
    classifier: Classifier | None
    why: str = ""


class Screens(Protocol):
    """The rules that were pushed as orders, as this process enforces them."""

    @property
    def any(self) -> bool:
        """Whether there is one at all: read before every send."""

    def covering(self, exchange: Exchange) -> tuple[Screen, ...]:
        """Those that cover this exchange: the very same tuple as long as nothing has changed."""
