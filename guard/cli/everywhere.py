"""Stopping in a fleet by every path at once: this host's orders, the fleet's engine, the admin API; any success counts.

Nothing waits for another path: a database that hangs holds up neither this host nor the API. Then the replicas' words
are waited for, and whoever has not obeyed is named.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from guard.cli.admin_client import Answer
from guard.state.acknowledgements import waiting_for
from guard.state.directory import OrderDirectory
from guard.state.engine import EngineError, StateEngine
from guard.state.giving import give
from guard.state.issuer import Issuer
from guard.state.orders import StopOrder, encode
from guard.state.peers import Peers, PeerWord, spread_by_word
from guard.state.replicas import Spread, read, spread

WAIT_SECONDS: Final = 10.0
API_SECONDS: Final = 13.0  # it waits for the fleet as long, after being looked for
_LOOK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 1.0
_SIGN_SECONDS: Final = 0.25
_TICK_SECONDS: Final = 0.002
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Here:
    """This host: where its orders are, and the places of its workers."""

    state: Path
    workers: Collection[str]


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of it: the answer to tell, None if no path worked; and a remark for every path that did not.

    ``unasked`` says that the admin API that was named did not give the order.
    """

    answer: Answer | None
    remarks: tuple[str, ...]
    unasked: bool = False


def stop_everywhere(
    order: StopOrder,
    here: Here,
    engine: StateEngine | None,
    api: Callable[[], Answer | None] | None,
    *,
    peers: Peers | None = None,
    named: bool = False,
) -> Stopped:
    """Give a stop by every path; returns when every replica has obeyed, or after ten seconds.

    With ``named`` somebody asked for this very API, and its word is waited for too.

    ``engine`` is None where it cannot even be opened; ``api`` asks the admin API, and gives an order of its own there;
    ``peers`` are told by themselves, and while the engine is away it is their words that tell who has obeyed.
    """
    return asyncio.run(_stop(order, here, engine, api, peers or Peers((), None), named=named))


def await_fleet(order: str, raw: bytes, fields: dict[str, Any], here: Here, engine: StateEngine | None) -> Answer:
    """Put an order that lies on this host into the engine, and wait for the fleet."""

    async def wait() -> Answer:
        with suppress(EngineError):  # this host's guard goes on trying, and below is told why nobody answers
            if engine is not None:
                await engine.put(order, raw)
        return await _confirmed(order, fields, here, engine, time.monotonic())

    return asyncio.run(wait())


async def _stop(
    order: StopOrder,
    here: Here,
    engine: StateEngine | None,
    api: Callable[[], Answer | None] | None,
    peers: Peers,
    *,
    named: bool,
) -> Stopped:
    began = time.monotonic()
    asked = _Beside(api if api is not None else lambda: None)
    order = await _signed(order, here)
    if order.signature:  # they believe no other
        peers.tell(order.id, encode(order))
    name, shared = await asyncio.gather(_place(order, here), _put(order, engine))
    remarks = [words for words in (name.problem, shared) if words]
    if name.file:
        remarks.append(f"this host could only make the file orders/{name.file}; remove it to resume here")
    if not name.on_disk:
        remarks.append("this host obeys it, and its disk does not hold it yet: a crash of the host could lose it here")
    fields: dict[str, Any] = {"scope": str(order.scope), "mode": order.mode.value}
    if name.problem and shared and not await _any_peer(order.id, peers):
        await peers.close()
        answer = await asked.wait(API_SECONDS)
        if answer is None or "order" not in answer.body:
            if api is not None:
                remarks.append("the admin API does not do it")
            return Stopped(None, tuple(remarks))
        return Stopped(answer, tuple(remarks))
    confirmed = f"file:{name.file}" if name.file and shared else order.id
    answer = await _confirmed(confirmed, fields, here, engine, began, peers.words(order.id))
    await peers.close()
    told = await asked.wait(API_SECONDS) if named else asked.found
    if told is not None and "order" in told.body:
        remarks.append(f"the admin API gave order {told.body['order']} besides; resuming the scope lifts both")
    return Stopped(answer, tuple(remarks), unasked=named and (told is None or "order" not in told.body))


class _Beside(Generic[T]):
    """Something done in a thread that ends with the process, so that a disk or a server that hangs holds up nothing."""

    def __init__(self, act: Callable[[], T]) -> None:
        self.found: T | None = None
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()

    async def wait(self, seconds: float) -> T | None:
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:  # noqa: ASYNC110 - a thread's end is no event
            await asyncio.sleep(_TICK_SECONDS)
        return self.found

    def _run(self, act: Callable[[], T]) -> None:
        with suppress(OSError, ValueError):
            self.found = act()


@dataclass(frozen=True, slots=True)
class _Placed:
    """The STOP file that was made on this host in the order's place, if so; or why nothing was.

    ``on_disk`` is whether a crash of this host cannot lose it any more.
    """

    file: str = ""
    problem: str = ""
    on_disk: bool = True


async def _signed(order: StopOrder, here: Here) -> StopOrder:
    """Sign it in this host's name, so that the record shows whence it came; a stop never depends on that."""

    def sign() -> StopOrder | None:
        with suppress(Exception):  # whatever is wrong with the key
            return Issuer.open(here.state).signed(order) if here.state.exists() else None
        return None

    return await _Beside(sign).wait(_SIGN_SECONDS) or order


async def _place(order: StopOrder, here: Here) -> _Placed:
    def place() -> _Placed:
        if not here.state.exists():
            return _Placed(problem="this host has no folder of orders")
        try:
            given = give(OrderDirectory(here.state, create=False), order, leaving=True)
            if given.order != order.id:
                return _Placed(given.order.removeprefix("file:"))
            return _Placed(on_disk=given.on_disk)
        except OSError as problem:
            return _Placed(problem=f"this host's orders cannot be written: {problem.strerror}")

    found = await _Beside(place).wait(_PATIENCE_SECONDS)
    return _Placed(problem="this host's disk does not answer") if found is None else found


async def _put(order: StopOrder, engine: StateEngine | None) -> str:
    """Put it into the engine; returns why not, or nothing."""
    if engine is None:
        return "the fleet's engine cannot be used"
    for attempt in range(2):  # the first may find a connection of a server that has just gone
        try:
            await engine.put(order.id, encode(order))
        except EngineError as problem:
            if attempt:
                return f"the fleet's engine: {problem}"
        else:
            return ""
    return ""


async def _any_peer(order: str, peers: Peers) -> bool:
    """Wait until a peer has taken it, where no other path has."""
    until = time.monotonic() + WAIT_SECONDS
    while (words := peers.words(order)) and time.monotonic() < until:
        if any(not each.problem for each in words.values()):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _confirmed(
    order: str,
    fields: dict[str, Any],
    here: Here,
    engine: StateEngine | None,
    began: float,
    words: Mapping[str, PeerWord] | None = None,
) -> Answer:
    while True:
        found = await _spread(order, here, engine, words or {})
        if not found.missing or time.monotonic() - began >= WAIT_SECONDS:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    seconds = round(time.monotonic() - began, 3)
    if engine is not None:
        await engine.aclose()
    body = {"order": order, **fields, **found.fields(), "seconds": seconds}
    return Answer(202 if found.missing else 200, body)


async def _spread(order: str, here: Here, engine: StateEngine | None, words: Mapping[str, PeerWord]) -> Spread:
    """Ask the fleet; where it cannot be asked, this host's workers and its peers' words, or that they are not known."""
    why = "its engine cannot be used"
    if engine is not None:
        try:
            return spread(order, read(await engine.heard()))
        except EngineError as problem:
            why = str(problem)
    with suppress(OSError):
        acks, missing = waiting_for(here.state, order, here.workers)
        if words:
            obeyed = PeerWord(len(acks), missing, sum(ack.streams_cut for ack in acks), "")
            return spread_by_word(order, (), {"this host": obeyed, **words})
        cut = sum(ack.streams_cut for ack in acks)
        told = tuple(f"worker {each}" for each in missing)
        return Spread(int(not missing), 1, len(acks), len(acks) + len(missing), cut, (*told, f"the fleet ({why})"))
    return Spread(0, 0, 0, 0, 0, (f"the fleet ({why})",))
