"""A caller of the self-test model: asks a worker as any client would, over its socket, and sees how it ends."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

import httpx

from guard.drills.forms import ANSWER, HOLD, TICK, Form, code_of
from guard.drills.places import CREDENTIAL
from guard.upstream.endpoint import Endpoint
from guard.upstream.pool import Pool
from guard.upstream.transport import PoolTransport

_TAIL: Final = 16_384
_PATIENCE: Final = 120.0  # whoever asks bounds each step more tightly
_TERMINATORS: Final = (b"[DONE]", b"message_stop", b"response.completed")
_OK: Final = 200
_NAME: Final = "selftest"
_HEADERS: Final = {"authorization": f"Bearer {CREDENTIAL.decode()}", "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer: its status, the code of its error if it is one, and the whole of it."""

    status: int
    code: str
    body: bytes

    @property
    def served(self) -> bool:
        """Whether the model answered."""
        return self.status == _OK and not self.code


@dataclass(frozen=True, slots=True)
class Ended:
    """How a held exchange ended: when (the clock's steady seconds), with which code, and whether as a whole answer."""

    at: float
    code: str
    complete: bool = False


class Held:
    """One exchange that goes on until somebody ends it."""

    def __init__(self, form: Form, steady: Callable[[], float]) -> None:
        """Begin with nothing."""
        self.form = form
        self._steady = steady
        self._running = asyncio.Event()
        self._task: asyncio.Task[Ended] | None = None

    def run(self, response: Callable[[], AsyncIterator[bytes]], asked: Callable[[], Awaitable[None]]) -> None:
        """Read on, in the background; ``asked`` ends when the model has the question."""
        self._asked = asked
        self._task = asyncio.ensure_future(self._read(response))

    async def released(self) -> None:
        """Wait until text has come, or, of what does not stream, until the model was asked; raises as the end does."""
        assert self._task is not None  # noqa: S101 - `run` comes first
        waiting = asyncio.ensure_future(self._begun())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()  # a model that does not say what it holds
        else:
            ended = self._task.result()
            raise httpx.RemoteProtocolError(f"it ended before any text, with {ended.code or 'no code'}")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._task is not None and self._task.done()

    async def ended(self) -> Ended:
        """Wait for its end; raises httpx.HTTPError where it was cut without one."""
        assert self._task is not None  # noqa: S101 - as above
        return await asyncio.shield(self._task)

    async def aclose(self) -> None:
        """Leave."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _begun(self) -> None:
        await (self._running.wait() if self.form.streams else self._asked())

    async def _read(self, pieces: Callable[[], AsyncIterator[bytes]]) -> Ended:
        tail = b""
        async for piece in pieces():
            tail = (tail + piece)[-_TAIL:]
            if not self._running.is_set() and TICK.encode() in tail:
                self._running.set()
        at = self._steady()
        end = tail[-1024:]
        return Ended(at, code_of(tail), any(each in end for each in _TERMINATORS))


def _calling(socket: str, headers: Mapping[str, str]) -> httpx.AsyncClient:
    """Return what asks over a socket, with a connection for each exchange.

    Not by httpx's own transport: what that uses for sockets (anyio's raw ones) tells the loop of an InvalidStateError
    when a stream is left in the turn in which more of it comes.
    """
    endpoint = Endpoint(_NAME, 80, unix=socket)
    pool = Pool(endpoint, max_idle=0, rest_seconds=0.0, connect_seconds=_PATIENCE, first_byte_seconds=_PATIENCE)
    return httpx.AsyncClient(
        base_url=f"http://{_NAME}", transport=PoolTransport(pool), headers=headers, trust_env=False
    )


class Caller:
    """One worker's door, inside an ``async with`` block."""

    def __init__(self, address: str, model: str, steady: Callable[[], float]) -> None:
        """Take the paths of the door's and the synthetic model's sockets, and the time."""
        self._client = _calling(address, _HEADERS)
        self._model = _calling(model, {})
        self._steady = steady
        self._held: list[Held] = []
        self._names = itertools.count()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Be there."""
        await self._stack.enter_async_context(self._client)
        await self._stack.enter_async_context(self._model)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave, and end what is held."""
        await self.release()
        await self._stack.aclose()

    async def release(self) -> None:
        """End what is held."""
        held, self._held = self._held, []
        await asyncio.gather(*(each.aclose() for each in held))

    def hold(self, form: Form) -> Held:
        """Begin an exchange that does not end by itself."""
        held = Held(form, self._steady)
        self._held.append(held)
        name = f"{os.getpid()}.{next(self._names)}"

        async def asked() -> None:
            (await self._model.get(f"/held/{name}")).raise_for_status()

        async def pieces() -> AsyncIterator[bytes]:
            body = form.ask(f"{HOLD} {name}", streamed=form.streams)
            async with self._client.stream("POST", form.path, content=body) as response:
                async for piece in response.aiter_raw():
                    yield piece

        held.run(pieces, asked)
        return held

    async def ask(self, form: Form) -> Told:
        """Ask once more, in pieces where the operation can; raises httpx.HTTPError."""
        body = form.ask(ANSWER, streamed=form.streams)
        async with self._client.stream("POST", form.path, content=body) as response:
            if response.status_code == _OK and form.streams:
                return Told(_OK, "", b"")  # its status leaves with the first text, and there is no end to wait for
            answer = (await response.aread())[:_TAIL]
        return Told(response.status_code, "" if response.status_code == _OK else code_of(answer), answer)
