"""A policy on its way to the workers: made ready by all of them first, and only then brought into force.

So a policy that one worker cannot serve comes into force nowhere. A worker that says nothing in time is replaced: its
successor begins with the policy in force. A worker that starts meanwhile waits, so none serves by a policy of before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from guard.policy.config import Config
from guard.serve.control import Abandon, Adopt, Prepare, send
from guard.serve.processes import Standing, WorkerProcess
from guard.serve.tending import Tending

PREPARE_SECONDS: Final = 30.0
ADOPT_SECONDS: Final = 5.0
TICK_SECONDS: Final = 0.05


class Spreading:
    """Brings all workers of one supervisor to one policy; one change at a time."""

    def __init__(self, tending: Tending, standing: Standing) -> None:
        """Take who keeps the workers, and the policy that they begin with."""
        self._tending = tending
        self._standing = standing
        self._changing = False
        self._waiting: list[WorkerProcess] = []
        tending.arrived = self._arrived

    async def prepare(self, standing: Standing) -> tuple[str, ...]:
        """Have every worker that serves make a policy ready; returns why any of them cannot.

        Until `adopt` or `abandon` no other worker begins.
        """
        self._changing = True
        asked = self._tending.begun
        for worker in asked:
            worker.prepared = None
            send(worker.writer, Prepare(standing.digest, str(standing.snapshot)))
        await self._until(lambda: not _silent(asked, standing), PREPARE_SECONDS)
        for worker in _silent(asked, standing):
            self._tending.replace(worker, f"policy {standing.digest} was not ready within {PREPARE_SECONDS:g} s")
        said = [(worker.index, worker.prepared) for worker in asked if worker.prepared is not None]
        return tuple(f"worker {index}: {problem}" for index, word in said for problem in word.problems)

    def abandon(self, standing: Standing) -> None:
        """It does not come into force."""
        self._tending.tell(Abandon(standing.digest))
        self._settled()

    async def adopt(self, config: Config, standing: Standing, stricter: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """Bring a policy into force that was made ready.

        Returns the places whose workers have not said that they serve by it, and how many exchanges were ended.
        """
        self._standing = standing
        self._tending.take(config, standing)
        asked = self._tending.begun
        for worker in asked:
            worker.adopted = None
            send(worker.writer, Adopt(standing.digest, stricter))
        self._settled()
        await self._until(lambda: not _behind(asked), ADOPT_SECONDS)
        for worker in _behind(asked):
            self._tending.replace(worker, f"policy {standing.digest} was not taken over within {ADOPT_SECONDS:g} s")
        there = {worker.index for worker in self._tending.begun if worker.adopted is not None}
        cut = sum(worker.adopted.cut for worker in asked if worker.adopted is not None)
        return tuple(str(index) for index in range(config.guard.workers) if index not in there), cut

    def _settled(self) -> None:
        self._changing = False
        waiting, self._waiting = self._waiting, []
        for worker in waiting:
            self._arrived(worker)

    def _arrived(self, worker: WorkerProcess) -> None:
        """Let a worker begin, once what it has made ready is the policy in force."""
        if self._changing:
            self._waiting.append(worker)
        elif worker.prepared is None or worker.prepared.problems:
            self._tending.replace(worker, "it cannot serve the policy in force")
        elif worker.prepared.digest == self._standing.digest:
            worker.begun = True
            send(worker.writer, Adopt(self._standing.digest))
        else:
            send(worker.writer, Prepare(self._standing.digest, str(self._standing.snapshot)))

    async def _until(self, true: Callable[[], bool], seconds: float) -> None:
        said = self._tending.said
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not true():
                    said.clear()
                    with contextlib.suppress(TimeoutError):  # somebody else may have heard it first
                        async with asyncio.timeout(TICK_SECONDS):
                            await said.wait()


def _silent(asked: list[WorkerProcess], standing: Standing) -> list[WorkerProcess]:
    return [
        worker
        for worker in asked
        if worker.process.poll() is None and (worker.prepared is None or worker.prepared.digest != standing.digest)
    ]


def _behind(asked: list[WorkerProcess]) -> list[WorkerProcess]:
    return [worker for worker in asked if worker.process.poll() is None and worker.adopted is None]
