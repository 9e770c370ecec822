"""A worker's side of drills: the door to the self-test model, and the synthetic model behind it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from guard.app import Worker
from guard.drills.synthetic import Synthetic
from guard.serve.http import protocol_class
from guard.serve.server import server
from guard.telemetry.logs import Event
from safeguards.decision import Ending, Unavailable
from safeguards.exchange import Exchange
from safeguards.kill_switch import stopped
from safeguards.scope import SELF_TEST
from safeguards.verdict import Block

HEADER_BYTES: Final = 16_384
HEADER_SECONDS: Final = 5.0
CONNECTIONS: Final = 256


def rehearse(worker: Worker) -> None:
    """Cut what runs of the self-test model if a stop that is only rehearsed covers it; nothing else is asked about."""
    if not worker.rehearsed.changed():
        return

    def cause(exchange: Exchange) -> tuple[Ending, Block] | None:
        stop = worker.rehearsed.cutting(exchange) if exchange.model == SELF_TEST else None
        return None if stop is None else (Ending.STOPPED, stopped(stop))

    with contextlib.suppress(Unavailable):  # the next text is refused: the self-test model's own switches say why
        worker.live.cut_where(cause)


class Door:
    """Open as long as the worker serves."""

    def __init__(self, worker: Worker, index: int) -> None:
        """Take the worker whose self-test model it leads to."""
        self._worker = worker
        self._name = str(index)
        self._synthetic = Synthetic()
        self._http = server(
            worker.self_test.proxy, protocol_class(HEADER_BYTES, HEADER_SECONDS, CONNECTIONS), keep_alive=5
        )
        self._serving: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        """Let drills in; where that cannot be, the worker serves all the same, and drills fail and name it."""
        run = self._worker.run
        try:
            await self._synthetic.open(run.listening(run.model(self._name)))
            self._serving = asyncio.ensure_future(self._http.serve([run.listening(run.door(self._name))]))
        except OSError as problem:
            self._worker.witness.log.failure(Event.INTERNAL_ERROR, problem, worker=int(self._name))

    async def aclose(self) -> None:
        """Let nobody in any more, and end what runs."""
        self._worker.self_test.arrivals.draining = True
        self._http.should_exit = self._http.force_exit = True
        await self._synthetic.aclose()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=1.0)
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await self._worker.self_test.aclose()
        self._worker.run.close()
