"""What the journey needs of a dialect, and the one table from a code to what callers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from safeguards.exchange import Channel, ChannelId, Passage
from safeguards.verdict import Code


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its dialect understood it; ``fields`` is what will be sent, the model's name apart."""

    model: str
    streamed: bool
    passages: tuple[Passage, ...]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Naming:
    """What an answer is called towards the caller: nothing of it comes from the upstream.

    ``expect_model``, if not empty, is what the upstream itself must call its model wherever its dialect names one, and
    in the first event at the latest, or BadStream.
    ``lenient`` (below ASL-3): an event of a kind that the dialect does not have is dropped and counted, not the end.
    """

    request: str
    model: str
    created: int
    expect_model: str = ""
    lenient: bool = False


class Event(Struct, gc=False):
    """One piece of the answer as the caller will get it, and how far each channel must be cleared for it.

    ``channel``/``end`` is the first mark, which is nearly always the only one; ``more`` holds the others. ``seen`` is
    the dialect's own note of what the caller has once this event has left: a proper ending is made from the last one.
    """

    data: bytes
    channel: Channel | None = None
    end: int = 0
    more: tuple[tuple[Channel, int], ...] = ()
    seen: object = None

    @classmethod
    def marked(cls, data: bytes, marks: Sequence[tuple[Channel, int]], seen: object = None) -> Event:
        """Make one that waits for all of these marks, or for none."""
        if not marks:
            return cls(data, seen=seen)
        (channel, end), *more = marks
        return cls(data, channel, end, tuple(more), seen)


@dataclass(frozen=True, slots=True)
class Grants:
    """What one model's file adds to a dialect's table: its server's kind, and keys that it allows by name."""

    kind: str = ""
    keys: frozenset[str] = frozenset()


NOTHING_GRANTED = Grants()


class AnswerReader(Protocol):
    """Reads one answer of the upstream: feed what a read brought, take events; raises BadStream."""

    channels: dict[ChannelId, Channel]
    touched: list[Channel]
    done: bool
    dropped: int
    prompt_tokens: int | None
    completion_tokens: int | None

    def feed(self, data: bytes) -> list[Event]:
        """Read a batch; ``touched`` then holds the channels with fresh text or fresh completeness."""

    def finish(self) -> list[Event]:
        """The upstream's body has ended properly; raises BadStream if the answer has not."""


class Dialect(Protocol):
    """One protocol of callers and upstreams; a file of tables implements it."""

    name: str
    operation: str
    upstream_path: bytes
    names_model: bool  # whether its answers name the model that gave them, so that `Naming.expect_model` can be held

    def read_request(self, fields: dict[str, Any], grants: Grants) -> Request:
        """Understand a parsed body by this dialect's table and what the model's file adds; raises BadField."""

    def write_request(self, request: Request, model: str) -> bytes:
        """Serialise what was understood, for the model's name at the upstream."""

    def reader(self, request: Request, naming: Naming) -> AnswerReader:
        """Begin reading the answer to this request."""

    def error(self, code: Code, request: str, detail: str = "") -> bytes:
        """The body of a plain error; ``detail`` names a field and what is wrong with it."""

    def end_blocked(self, naming: Naming, seen: object) -> bytes:
        """End a stream that a safeguard cut: the dialect's own clean finish after the last released event's note."""

    def end_failed(self, naming: Naming, seen: object, code: Code) -> bytes:
        """End a stream that was stopped or that failed: an error in the stream and no terminator."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller is told: the HTTP status, a sentence, and whether the same request may be sent again.

    ``midway`` is the sentence within an answer that has begun, where the other one would not be true any more.
    """

    status: int
    sentence: str
    retry: bool = False
    midway: str = ""

    def words(self, *, begun: bool) -> str:
        """The sentence before the first byte of an answer, or after it."""
        return self.midway or self.sentence if begun else self.sentence


TOLD: Mapping[Code, Told] = {
    Code.UNKNOWN_ROUTE: Told(404, "There is no such route here."),
    Code.METHOD_NOT_ALLOWED: Told(405, "This route does not take this method."),
    Code.BAD_REQUEST: Told(400, "The request was not understood."),
    Code.TOO_LARGE: Told(413, "The request is larger than this server takes."),
    Code.UNAUTHENTICATED: Told(401, "Send one valid API key: 'Authorization: Bearer …', or 'x-api-key'."),
    Code.KEY_EXPIRED: Told(401, "This API key has expired."),
    Code.UNKNOWN_MODEL: Told(404, "There is no such model, or your key may not see it."),
    Code.NOT_ROUTABLE: Told(503, "This model is not served: it does not meet the standard of its safety level."),
    Code.AUDIENCE_DENIED: Told(403, "The model is not offered to the audience of your key."),
    Code.ACCESS_DENIED: Told(403, "Your access tier does not include this model or operation."),
    Code.RATE_LIMITED: Told(429, "Your key's rate limit is used up.", retry=True),
    Code.CONTENT_BLOCKED: Told(403, "Blocked by the content policy of this model."),
    Code.STOPPED: Told(503, "This model has been stopped by its operator."),
    Code.DE_DEPLOYED: Told(410, "This model has been withdrawn by its operator."),
    Code.NO_NEW_PRINCIPALS: Told(403, "This model is not open to new API keys; those issued earlier are served."),
    Code.EVIDENCE_EXPIRED: Told(503, "This model is not served: evidence that its safety level requires has lapsed."),
    Code.LOG_UNAVAILABLE: Told(
        503,
        "The request could not be recorded and was not sent.",
        midway="What followed could not be recorded and was withheld.",
    ),
    Code.SAFEGUARD_FAILED: Told(
        503,
        "A required safeguard is not available; the request was not served.",
        midway="A required safeguard is not available; what followed was withheld.",
    ),
    Code.HELD_TOO_MUCH: Told(
        502,
        "The answer could not be checked and was withheld.",
        midway="What followed could not be checked and was withheld.",
    ),
    Code.UPSTREAM_FAILED: Told(502, "The model's server failed."),
    Code.UPSTREAM_TIMEOUT: Told(504, "The model's server did not answer in time."),
    Code.DEADLINE: Told(504, "The answer took longer than this model's limit."),
    Code.OVERLOADED: Told(503, "The server is at its limit; try again.", retry=True),
    Code.DRAINING: Told(503, "The server is shutting down; try again.", retry=True),
    Code.POLICY_CHANGED: Told(503, "The policy for this model or key became stricter; send it again.", retry=True),
    Code.CALLER_GONE: Told(499, "The caller left."),
    Code.INTERNAL: Told(
        500, "The guard failed; nothing was served.", midway="The guard failed; nothing more is served."
    ),
}
