"""Orders told to each other guard of a fleet by itself, so that a stop needs no engine between them.

What is told is the signed order, and the answer is who obeys it there. Whoever does not answer, or whose workers have
not all obeyed, is told again until then, for ten minutes: later the engine's history is there for that. Telling twice,
or what came by the engine too, changes nothing. A peer is trusted with nothing but what it says of itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from guard.state.replicas import Applied, Replica, Report, Spread, spread

PATH: Final = "/v1/orders"
MAX_KEPT: Final = 64
MAX_ANSWER: Final = 65_536
ANSWER_SECONDS: Final = 8.0  # a peer waits five for its workers
PAUSE_SECONDS: Final = 0.5
GIVE_UP_SECONDS: Final = 600.0
_MAX_WORDS: Final = 200
_NOT_YET: Final = "has not answered yet"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another guard: its name in the fleet, and the address of its admin listener."""

    replica: str
    admin: str


@dataclass(frozen=True, slots=True)
class PeerWord:
    """What one peer said of an order: how many workers obey and which do not; ``problem`` where it said nothing."""

    workers: int = 0
    missing: tuple[str, ...] = ()
    streams_cut: int = 0
    problem: str = _NOT_YET

    @property
    def obeyed(self) -> bool:
        """Whether all of it obeys."""
        return not self.problem and self.workers > 0 and not self.missing


class _Answer(msgspec.Struct):
    order: str
    workers: int
    missing: list[str]
    streams_cut: int = 0


class _Refusal(msgspec.Struct):
    error: str = ""


class Peers:
    """Tells them; for one event loop."""

    def __init__(self, peers: Sequence[Peer], tls: ssl.SSLContext | None) -> None:
        """Take who they are and whom to trust there (None: as the system does)."""
        self._peers = tuple(peers)
        self._tls = tls
        self._words: dict[str, dict[str, PeerWord]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._peers)

    @property
    def names(self) -> frozenset[str]:
        """Their names in the fleet."""
        return frozenset(each.replica for each in self._peers)

    def tell(self, order: str, raw: bytes) -> None:
        """Begin to tell all of them this order; what is told already goes on. Of very many the oldest are given up."""
        if order in self._words or not self._peers:
            return
        while len(self._words) >= MAX_KEPT:
            self._forget(next(iter(self._words)))
        self._words[order] = {each.replica: PeerWord() for each in self._peers}
        self._tasks[order] = [asyncio.ensure_future(self._tell(each, order, raw)) for each in self._peers]

    def words(self, order: str) -> Mapping[str, PeerWord]:
        """Return what each has said of this order; nothing for one that was not told."""
        return self._words.get(order, {})

    async def close(self) -> None:
        """Tell no more."""
        tasks = [task for each in self._tasks.values() for task in each]
        for order in tuple(self._words):
            self._forget(order)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, order: str) -> None:
        del self._words[order]
        for task in self._tasks.pop(order):
            task.cancel()

    async def _tell(self, peer: Peer, order: str, raw: bytes) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVE_UP_SECONDS
        while loop.time() < until:
            word = self._words[order][peer.replica] = await self._ask(peer, order, raw)
            if word.obeyed:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, peer: Peer, order: str, raw: bytes) -> PeerWord:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, content = await self._post(f"{peer.admin.rstrip('/')}{PATH}", raw)
        except TimeoutError:
            return PeerWord(problem="does not answer in time")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            return PeerWord(problem=f"cannot be reached: {type(failure).__name__}")
        try:
            if status in {200, 202}:
                found = msgspec.json.decode(content, type=_Answer)
                if found.order == order and found.workers >= 0 and found.streams_cut >= 0:
                    missing = tuple(each[:_MAX_WORDS] for each in found.missing[:MAX_KEPT])
                    return PeerWord(found.workers, missing, found.streams_cut, "")
            else:
                why = msgspec.json.decode(content, type=_Refusal).error[:_MAX_WORDS]
                return PeerWord(problem=f"refuses it: {why}" if why else f"answers {status}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        return PeerWord(problem=f"answers {status}, and not as a guard does")

    async def _post(self, url: str, raw: bytes) -> tuple[int, bytes]:
        # Straight there, never through a proxy of the environment, and not to where an answer points.
        verify = True if self._tls is None else self._tls
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=ANSWER_SECONDS) as client,
            client.stream("POST", url, content=raw, headers={"content-type": "application/json"}) as answer,
        ):
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > MAX_ANSWER:
                    raise httpx.DecodingError("the answer is too long")
            return answer.status_code, bytes(content)


def spread_by_word(order: str, known: Collection[Replica], words: Mapping[str, PeerWord]) -> Spread:
    """Say how far an order has come by what peers themselves said of it; ``known`` are others as they were heard last.

    A peer's own word counts for more than what was heard of it, and one that said nothing has not obeyed.
    """
    told = {name: word for name, word in words.items() if not word.problem}
    replicas = [each for each in known if each.name not in words]
    replicas += [Replica(name, 0.0, _report(order, word)) for name, word in told.items()]
    found = spread(order, replicas)
    silent = tuple(f"{name} ({word.problem})" for name, word in words.items() if word.problem)
    return Spread(
        found.replicas,
        found.replicas_of + len(silent),
        found.workers,
        found.workers_of,
        found.streams_cut,
        (*found.missing, *silent),
    )


def _report(order: str, word: PeerWord) -> Report:
    applied = Applied(order, word.workers, word.missing, word.streams_cut)
    return Report(1, 0, word.workers + len(word.missing), (applied,))
