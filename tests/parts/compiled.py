"""A whole configuration, compiled, behind its real arrivals and journey: only what lies outside is in memory.

The log, the switches and the counters do what a test tells them; the upstream says what it is told; one timeline
shows in which order things happened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from guard.arrival import Arrivals, Limits
from guard.callers import holder_of
from guard.conclusion import Witness
from guard.credentials import Register, digest
from guard.live import LiveExchanges
from guard.pipeline import Admitted
from guard.policy.compile import Models, Ports
from guard.policy.config import Config
from guard.proxy import Proxy
from guard.serving import Serving
from guard.wire.routes import ROUTES
from safeguards.decision import Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Keep, Ladder, Screens, Stop
from tests.guard.road import Answering, Line, Model, Notes, Still, receiving
from tests.parts.upstream import completion, stream_body

CHAT: Final = b"/v1/chat/completions"
SAID: Final = "all is well"
_PEPPER: Final = b"pepper"
_ENDLESS: Final = {"expires": date(2999, 12, 31)}  # a key without a last day, which only a test can make


class Journal:
    """The port `Log` in memory; ``fails`` refuses everything."""

    def __init__(self, timeline: list[str]) -> None:
        """Begin empty."""
        self.fails = False
        self.intents: list[str] = []
        self.parts: list[str] = []
        self.outcomes: list[Outcome] = []
        self._timeline = timeline

    def intent(
        self, exchange: Exchange, *, durable: bool, keep: Keep | None, patience: float = 0.0
    ) -> Awaitable[None] | None:
        """Take it; on disk after a while, if that is asked for."""
        self._check()
        self.intents.append(exchange.id)
        self._timeline.append("intent")
        return self._disk() if durable else None

    def part(self, exchange: Exchange, channel: Channel, *, durable: bool = False) -> Awaitable[None] | None:
        """Take it."""
        self._check()
        self.parts.append(channel.fresh)
        self._timeline.append("part")
        return self._disk() if durable else None

    def outcome(self, exchange: Exchange, outcome: Outcome, *, durable: bool) -> Awaitable[None] | None:
        """Take it."""
        self._check()
        self.outcomes.append(outcome)
        self._timeline.append("outcome")
        return self._disk() if durable else None

    def _check(self) -> None:
        if self.fails:
            raise Unavailable(Failure.UNREACHABLE, "the disk is full")

    async def _disk(self) -> None:
        await asyncio.sleep(0)
        self._timeline.append("on disk")


class Switch:
    """The port `Switches`: stopped while ``stopped``, unknown while ``fails``."""

    stopped = False
    fails = False

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop of this exchange."""
        if self.fails:
            raise Unavailable(Failure.UNREACHABLE, "no orders")
        return Stop("order", "all", "a test") if self.stopped else None

    def cutting(self, exchange: Exchange) -> Stop | None:
        """The same: a stop ends what runs."""
        return self.covering(exchange)


class Buckets:
    """The port `Meters`: has room while ``wait`` is 0, fails while ``fails``."""

    wait = 0.0
    fails = False

    def take(self, key: str, rate: float, burst: int, now: float) -> float:
        """The seconds to wait."""
        if self.fails:
            raise Unavailable(Failure.UNREACHABLE, "no counters")
        return self.wait


class Saying(Model):
    """An upstream that says ``texts`` and that it is ``name``."""

    def __init__(self, timeline: list[str]) -> None:
        """Answer something harmless."""
        super().__init__()
        self.name = "up"
        self.texts: Sequence[str] = (SAID,)
        self._timeline = timeline

    async def send(self, admitted: Admitted) -> Answering:
        """Take the request and answer in the form of a chat."""
        self._timeline.append("sent")
        if admitted.request.streamed:
            whole = stream_body(*self.texts).replace(b'"model": "up"', b'"model": "%b"' % self.name.encode())
            self.batches = [each + b"\n\n" for each in whole.split(b"\n\n") if each]
        else:
            named = {**json.loads(completion("".join(self.texts))), "model": self.name}
            self.batches = [json.dumps(named).encode()]
        return await super().send(admitted)


class _TimedLine(Line):
    """A caller whose answers are on the timeline."""

    def __init__(self, timeline: list[str]) -> None:
        super().__init__()
        self._timeline = timeline

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self._timeline.append("left")
        await super().send(message)


@dataclass(frozen=True, slots=True)
class Got:
    """What the caller got; ``forwarded`` tells whether the model was asked, ``body`` is all that left."""

    status: int
    body: bytes
    forwarded: bool

    @property
    def code(self) -> str:
        """The code of the error; empty for an answer."""
        if self.status == 200:
            return ""
        return str(json.loads(self.body)["error"]["code"])


class Compiled:
    """One configuration that serves; ``clock`` moves by hand. What is ``held`` is not judged again."""

    def __init__(
        self,
        config: Config,
        at: float,
        witness: Witness | None = None,
        ladder: Ladder | None = None,
        screens: Screens | None = None,
    ) -> None:
        """Compile; raises ConfigError. Without a ``witness`` notes are taken, without ``screens`` no rule is pushed.

        A ``ladder`` says by itself which orders are in force; without one ``switch`` does.
        """
        self.timeline: list[str] = []
        self.clock = Still(at)
        self.log = Journal(self.timeline)
        self.switch = Switch()
        self.buckets = Buckets()
        self.model = Saying(self.timeline)
        self.notes = Notes()
        self.config = config
        ports = Ports(ladder or self.switch, self.buckets, self.log, self.clock, None, ladder, screens)
        self.models = Models(config, ports)
        self.held: dict[str, Serving] = {}
        self._numbers = iter(range(1_000_000))
        live = LiveExchanges()
        callers = Register(
            _PEPPER,
            {
                digest(_PEPPER, _credential(key.id)): holder_of(
                    key if key.expires else key.model_copy(update=_ENDLESS), config.tiers
                )
                for key in config.tiers.keys
            },
            self.clock,
        )
        limits = Limits(65536, 5.0, 100)
        self._proxies = {}
        for surface in config.guard.surfaces:
            arrivals = Arrivals(surface.name, ROUTES, callers, self, limits, live, self.clock, self._id, ladder)
            self._proxies[surface.name] = Proxy(arrivals, live, witness or self.notes, self.clock)

    def find(self, model: str) -> Serving | None:
        """As `Catalogue.find`, with this upstream."""
        serving = self.held.get(model) or self.models.find(model)
        return None if serving is None else replace(serving, upstream=self.model)

    def hold(self) -> None:
        """Go on with the models as they are judged now, as requests do that are under way."""
        self.held = {alias: serving for alias in self.config.models if (serving := self.models.find(alias))}

    def ask(
        self,
        content: str = "hello",
        *,
        key: str = "app",
        model: str = "demo",
        surface: str = "public",
        stream: bool = False,
        path: bytes = CHAT,
        body: Mapping[str, Any] | None = None,
    ) -> Got:
        """Send one request and wait for all of its answer."""
        fields = body or {"messages": [{"role": "user", "content": content}], "stream": stream}
        raw = json.dumps({"model": model, **fields}).encode()
        line = _TimedLine(self.timeline)
        headers = [(b"authorization", b"Bearer " + _credential(key)), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": path,
            "query_string": b"",
            "headers": headers,
            "extensions": {"guard.connection": line},
        }
        before = len(self.model.sent)
        asyncio.run(self._proxies[surface](scope, receiving(raw), line.send))
        return Got(line.status, line.body, len(self.model.sent) > before)

    def _id(self) -> str:
        return f"id{next(self._numbers)}"


def _credential(key: str) -> bytes:
    return b"sk-guard-" + key.encode() + b"-made-up-here"
