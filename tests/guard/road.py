"""The journey without sockets: plain fakes at both ends, each of which yields to the loop wherever a real one may.

One file, so that both ends of a journey and what lies between them are read together.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from guard.arrival import Arrival, Arrivals, Limits
from guard.credentials import Holder, Register, digest
from guard.live import LiveExchanges
from guard.pipeline import Admitted, Mount, Pipeline
from guard.proxy import Proxy
from guard.refusal import Refused
from guard.serving import Serving
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.wire.openai_chat import OpenAIChat
from safeguards.base import Safeguard
from safeguards.decision import Outcome
from safeguards.exchange import Caller, Channel, Exchange
from safeguards.verdict import PASS, Cleared
from tests.parts.upstream import completion, stream_body

KEY: Final = "sk-guard-app-0123456789abcdef"
PATH: Final = b"/v1/chat/completions"
WORDS: Final = ("one ", "two ", "three ", "four")


class Still:
    """A clock that a test moves."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        """Begin there."""
        self.at = at

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def steady(self) -> float:
        """Monotonic seconds."""
        return self.at


class Hesitant(Safeguard):
    """Has nothing against anything, but yields to the loop at each moment; counts its closes."""

    kind = "request_log"
    watches = True

    def __init__(self, *, close_fails: bool = False) -> None:
        """Begin; ``close_fails`` makes every close raise."""
        self.admitted = 0
        self.outcomes: list[Outcome] = []
        self._close_fails = close_fails

    async def admit(self, exchange: Exchange) -> Any:
        """Pass after a while."""
        self.admitted += 1
        await asyncio.sleep(0)
        return PASS

    async def watch(self, exchange: Exchange, channel: Channel) -> Any:
        """Clear everything after a while."""
        await asyncio.sleep(0)
        return Cleared(channel.end)

    async def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """Keep the outcome after a while."""
        await asyncio.sleep(0)
        self.outcomes.append(outcome)
        if self._close_fails:
            raise RuntimeError
        await asyncio.sleep(0)


class Answering:
    """An upstream's answer in batches; a batch may be an error to raise."""

    def __init__(self, batches: Sequence[bytes | Exception], status: int, content_type: bytes) -> None:
        """Begin to answer."""
        self.status = status
        self.last_read = 0.0
        self.waiting = False
        self.complete = False
        self.closed = 0
        self._batches = list(batches)
        self._content_type = content_type

    def header(self, name: bytes) -> bytes | None:
        """The content type."""
        return self._content_type if name == b"content-type" else None

    async def read(self) -> bytes | None:
        """The next batch after a while."""
        self.waiting = True
        await asyncio.sleep(0)
        self.waiting = False
        if not self._batches:
            self.complete = True
            return None
        batch = self._batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """Count."""
        self.closed += 1


class Model:
    """An upstream: counts what was sent to it."""

    def __init__(self) -> None:
        """Answer a few words."""
        self.sent: list[Admitted] = []
        self.answers: list[Answering] = []
        self.settled: list[Any] = []
        self.status = 200
        self.batches: Sequence[bytes | Exception] | None = None
        self.refuses: Exception | None = None

    async def send(self, admitted: Admitted) -> Answering:
        """Take the request at once, as a socket does, and answer after a while."""
        self.sent.append(admitted)
        await asyncio.sleep(0)
        if self.refuses is not None:
            raise self.refuses
        streamed = admitted.request.streamed
        batches = self.batches
        if batches is None:
            whole = stream_body(*WORDS) if streamed else completion("".join(WORDS))
            batches = [each + b"\n\n" for each in whole.split(b"\n\n") if each] if streamed else [whole[:9], whole[9:]]
        answer = Answering(batches, self.status, b"text/event-stream" if streamed else b"application/json")
        self.answers.append(answer)
        return answer

    def settle(self, answer: Any) -> None:
        """Keep it."""
        self.settled.append(answer)


@dataclass
class Line:
    """The caller's end: what the server sent, and the connection's handle."""

    sent: list[MutableMapping[str, Any]] = field(default_factory=list)
    slow: bool = True
    stuck: asyncio.Event | None = None
    arrived: bool = False
    aborted: int = 0
    lasted: int = 0
    tell: Callable[[], None] | None = None
    gone: bool = False
    peer: str = ""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a message, after a while if the caller is slow, never while it is stuck."""
        if self.slow:
            await asyncio.sleep(0)
        if self.stuck is not None:
            await self.stuck.wait()
        self.sent.append(message)

    def last(self) -> None:
        """As `Connection.last`."""
        self.lasted += 1

    def abort(self) -> None:
        """As `Connection.abort`."""
        self.aborted += 1

    def when_gone(self, tell: Callable[[], None] | None) -> None:
        """As `Connection.when_gone`."""
        self.tell = tell
        if self.gone and tell is not None:
            tell()

    @property
    def status(self) -> int:
        """Of the answer, 0 without one."""
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Of the answer."""
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        """Everything of the body."""
        return b"".join(each["body"] for each in self.sent[1:])

    @property
    def ended(self) -> bool:
        """Whether the body has its end."""
        return len(self.sent) > 1 and not self.sent[-1]["more_body"]


class Notes:
    """A witness that keeps what it is told."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.began_with: list[Arrival] = []
        self.outcomes: list[Outcome] = []
        self.refusals: list[Refused] = []
        self.times: list[tuple[float | None, float | None]] = []

    def began(self, arrival: Arrival) -> None:
        """As `Witness.began`."""
        self.began_with.append(arrival)

    def took(self, arrival: Arrival, forwarding: float | None, first_byte: float | None) -> None:
        """As `Witness.took`."""
        self.times.append((forwarding, first_byte))

    def ended(self, arrival: Arrival, outcome: Outcome) -> None:
        """As `Witness.ended`."""
        self.outcomes.append(outcome)

    def refused(self, refused: Refused, request: str) -> None:
        """As `Witness.refused`."""
        self.refusals.append(refused)


class Road:
    """A proxy between a `Line` and a `Model`, with the safeguards of one model."""

    def __init__(self, *safeguards: Safeguard, enforce: bool = True, deadline: float = 5.0) -> None:
        """Mount these, in order, or one that hesitates."""
        self.first = Hesitant()
        mounts = [
            Mount(f"{number}-{each.kind}", each, enforce, True, deadline)
            for number, each in enumerate(safeguards or (self.first,))
        ]
        self.model = Model()
        self.clock = Still()
        self.notes = Notes()
        self.live = LiveExchanges()
        self.serving = Serving(
            model="demo",
            asl=3,
            provider="openai",
            policy="p" * 64,
            pipeline=Pipeline(mounts),
            upstream=self.model,
            dialects={"chat": OpenAIChat()},
            surfaces=frozenset({"public"}),
            total_seconds=60.0,
            idle_seconds=20.0,
            unmet=(),
        )
        callers = Register(
            b"pepper", {digest(b"pepper", KEY.encode()): Holder(Caller("app", "owner", "general"), 2e9)}, self.clock
        )
        numbers = iter(range(10_000))
        self.arrivals = Arrivals(
            "public",
            {PATH: OpenAIChat()},
            callers,
            self,
            Limits(body_bytes=4096, body_seconds=0.2, concurrent=4),
            self.live,
            self.clock,
            lambda: f"id{next(numbers)}",
        )
        self.proxy = Proxy(self.arrivals, self.live, self.notes, self.clock)

    def find(self, model: str) -> Serving | None:
        """As `Catalogue.find`."""
        return self.serving if model == self.serving.model else None

    def change(self, **fields: Any) -> None:
        """Serve the model otherwise."""
        self.serving = replace(self.serving, **fields)

    def scope(self, line: Line, **fields: Any) -> dict[str, Any]:
        """A request's scope."""
        return {
            "type": "http",
            "method": "POST",
            "raw_path": PATH,
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer " + KEY.encode()), (b"content-type", b"application/json")],
            "extensions": {"guard.connection": line},
            **fields,
        }

    async def travel(self, line: Line, *, stream: bool = True, **fields: Any) -> None:
        """Send one request through."""
        body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        await self.proxy(self.scope(line, **fields), receiving(json.dumps(body).encode()), line.send)


def receiving(*bodies: bytes, then: str = "http.request") -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    """A receive that brings these pieces of a body; ``then`` http.disconnect leaves after them."""
    pieces = list(bodies)

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(0)
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or then != "http.request"}
        if then == "http.disconnect":
            return {"type": then}
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def truncated() -> UpstreamError:
    """What a connection raises that ended too early."""
    return UpstreamError(UpstreamFailure.TRUNCATED, "the connection ended")
