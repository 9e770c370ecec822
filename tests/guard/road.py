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
from guard.reply import Head
from guard.serving import Serving
from guard.upstream.answer import Answer
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits as Bounds
from guard.upstream.http1 import ResponseReader
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


class Sudden(Hesitant):
    """Answers at once, but for the last letter of every other word."""

    def watch(self, exchange: Exchange, channel: Channel) -> Any:
        """Clear everything, sometimes after a while."""
        return super().watch(exchange, channel) if channel.end % 2 else Cleared(channel.end)


class Nowhere:
    """A connection of which nothing is asked."""

    def abort(self) -> None:
        """As `Source.abort`."""

    def resume(self) -> float:
        """As `Source.resume`."""
        return 0.0


class Pieces(ResponseReader):
    """A body without the HTTP around it."""

    def __init__(self) -> None:
        """Begin with none of it."""
        super().__init__(Bounds())

    def add(self, data: bytes) -> None:
        """Bring more of it."""
        self.pieces.append(data)
        self.held += len(data)


class Answering(Answer):
    """An upstream's answer, of which a batch arrives whenever one is waited for; a batch may be an error to raise."""

    def __init__(
        self,
        batches: Sequence[bytes | Exception],
        status: int,
        content_type: bytes,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to answer; ``between`` is called before each batch but the first, and before the end."""
        self.body = Pieces()
        loop = asyncio.get_running_loop()
        super().__init__(Nowhere(), self.body, loop, 0.0)
        self.status = status
        self.headers = ((b"content-type", content_type),)
        self.closed = 0
        self._batches = list(batches)
        self._between: Callable[[], None] = lambda: None
        self._then = between
        loop.call_soon(self._arrive, loop)

    def _arrive(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._source is None:  # closed
            return
        if not self.waiting:
            loop.call_soon(self._arrive, loop)
            return
        self._between()
        self._between = self._then
        if not self._batches:
            self.body.complete = True
            self.ended(None)
            return
        batch = self._batches.pop(0)
        if isinstance(batch, Exception):
            self.ended(batch)
            return
        self.body.add(batch)
        self.wake()
        loop.call_soon(self._arrive, loop)

    def close(self) -> None:
        """Keep that it was closed: by the journey, and before it by a wait that is cut."""
        self.closed = 1
        super().close()


class Model:
    """An upstream: counts what was sent to it; ``between`` comes before each batch of its answers but the first."""

    def __init__(self) -> None:
        """Answer a few words."""
        self.sent: list[Admitted] = []
        self.answers: list[Answering] = []
        self.settled: list[Any] = []
        self.abandoned: list[Admitted] = []
        self.status = 200
        self.batches: Sequence[bytes | Exception] | None = None
        self.refuses: Exception | None = None
        self.between: Callable[[], None] = lambda: None

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
        content_type = b"text/event-stream" if streamed else b"application/json"
        answer = Answering(batches, self.status, content_type, self.between)
        self.answers.append(answer)
        return answer

    def abandon(self, admitted: Admitted, told: Callable[[str], None]) -> None:
        """Keep it, and say that it was done."""
        self.abandoned.append(admitted)
        told("done")

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
    within: float | None = None
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

    def last(self, within: float | None = None) -> None:
        """As `Connection.last`."""
        self.lasted += 1
        self.within = within

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


@dataclass
class Wired(Line):
    """The same past ASGI's messages: takes a piece at once unless it is stuck; ``tasks`` are those that sent one."""

    tasks: list[object] = field(default_factory=list)

    @property
    def flowing(self) -> bool:
        """As `Wire.flowing`."""
        return bool(self.sent) and not self.ended and self.stuck is None

    def piece(self, data: bytes) -> None:
        """As `Wire.piece`."""
        self.tasks.append(asyncio.current_task())
        self.sent.append({"body": data, "more_body": True})

    async def answer(self, head: Head | None, data: bytes, *, chunked: bool, ends: bool) -> None:
        """As `Wire.answer`."""
        if self.stuck is not None:
            await self.stuck.wait()
        if head is not None:
            self.sent.append({"status": head[0], "headers": head[1]})
        self.sent.append({"body": data, "more_body": not ends})


class Notes:
    """A witness that keeps what it is told."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.began_with: list[Arrival] = []
        self.outcomes: list[Outcome] = []
        self.refusals: list[Refused] = []
        self.times: list[tuple[float | None, float | None]] = []
        self.aborts: list[str] = []

    def began(self, arrival: Arrival) -> None:
        """As `Witness.began`."""
        self.began_with.append(arrival)

    def took(self, arrival: Arrival, forwarding: float | None, first_byte: float | None) -> None:
        """As `Witness.took`."""
        self.times.append((forwarding, first_byte))

    def ended(self, arrival: Arrival, outcome: Outcome) -> None:
        """As `Witness.ended`."""
        self.outcomes.append(outcome)

    def abandoned(self, arrival: Arrival, result: str) -> None:
        """As `Witness.abandoned`."""
        self.aborts.append(result)

    def refused(self, refused: Refused, request: str) -> None:
        """As `Witness.refused`."""
        self.refusals.append(refused)


class Road:
    """A proxy between a `Line` and a `Model`, with the safeguards of one model."""

    def __init__(
        self, *safeguards: Safeguard, enforce: bool = True, deadline: float = 5.0, first: Hesitant | None = None
    ) -> None:
        """Mount these, in order, or the ``first``, which hesitates."""
        self.first = first or Hesitant()
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
            "extensions": {"guard.connection": line} | ({"guard.wire": line} if isinstance(line, Wired) else {}),
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
