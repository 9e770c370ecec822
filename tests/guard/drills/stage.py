"""One real worker in this process, its door open, and callers at it: what drills of its parts need."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from guard.app import Worker, build_worker
from guard.clock import SystemClock
from guard.drills.bench import Bench
from guard.drills.caller import Caller
from guard.drills.drill import Ground
from guard.drills.exercise import Stage
from guard.drills.forms import FORMS
from guard.drills.places import RunFolder
from guard.policy.load import load
from guard.resuming import ResumeJudge
from guard.serve.drilled import Door
from guard.serve.worker import WorkerLoop
from safeguards.scope import Operation
from tests.parts.configuration import write_configuration

DEADLINE = 10.0


@dataclass
class Standing:
    """The worker, a caller of its self-test model, and what drills act with."""

    worker: Worker
    caller: Caller
    ground: Ground

    def stage(self, covered: Sequence[Operation], spared: Sequence[Operation] = (), deadline: float = 10.0) -> Stage:
        """These operations."""
        forms = [FORMS[each] for each in covered], [FORMS[each] for each in spared]
        return Stage({"0": self.caller}, forms[0], self.ground.steady, deadline, forms[1])


@asynccontextmanager
async def standing(directory: Path, *, obeys: bool = True) -> AsyncIterator[Standing]:
    """Serve in this loop; unless it ``obeys``, nothing looks for orders but the safeguards themselves."""
    write_configuration(directory)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    config = load(directory)
    state = directory / "var" / "state"
    worker = build_worker(config, 0)
    door = Door(worker, 0)
    clock = SystemClock()
    bench = Bench(state, ResumeJudge(config, state, clock.now, keep=False), clock.now, os.urandom)
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    ticking = asyncio.ensure_future(WorkerLoop(worker, reader, writer).tick()) if obeys else None
    try:
        async with AsyncExitStack() as stack:
            await door.open()
            run = stack.enter_context(RunFolder(state))
            caller = await stack.enter_async_context(Caller(run.door("0"), run.model("0"), clock.steady))
            yield Standing(worker, caller, Ground(bench, ("0",), DEADLINE, clock.steady, "a test"))
    finally:
        if ticking is not None:
            ticking.cancel()
        writer.close()
        theirs.close()
        await door.aclose()
        await worker.models.aclose()
        worker.ledger.close()
        worker.acknowledgements.withdraw()
        root.handlers[:] = handlers
        root.setLevel(level)
