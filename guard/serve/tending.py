"""Keeping every place of a worker filled: each has a task of its own, so no worker's trouble delays another's care.

A worker that exits or falls silent is replaced; one that never came to serve, or died soon after, is tried again with
growing pauses, and `troubles` says so for as long as its place is empty.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Final

from guard.admin.overview import Place
from guard.admin.running import Running
from guard.policy.load import Config
from guard.serve.control import Adopted, Beat, Drain, FromSupervisor, Prepared, Ready, hear_worker, send
from guard.serve.deafness import Silence, patience
from guard.serve.processes import Standing, WorkerProcess, ending, start_worker
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Restart

TICK_SECONDS: Final = 0.05
START_SECONDS: Final = 30.0
LEAVE_SECONDS: Final = 8.0
SETTLED_SECONDS: Final = 10.0  # a worker that lived so long was sound: its end begins a new count
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
AWAY_SECONDS: Final = 1.0  # a tick that took so long means that this process did not run, not that workers were silent


def pause_before(short_lives: int, *, served: bool) -> float:
    """Return the seconds to wait before a place is filled again.

    ``short_lives`` counts the workers of this place in a row, the last included, that ended soon; ``served`` is whether
    the last one had come to serve, in which case its first early end costs no pause.
    """
    if short_lives - served <= 0:
        return 0.0
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(short_lives - served - 1, 10))


class Tending:
    """The workers of one supervisor."""

    def __init__(
        self,
        config: Config,
        standing: Standing,
        sockets: Mapping[str, socket.socket],
        exposition: Exposition,
        meter: Meter,
        log: JsonLog,
        now: Callable[[], float],
    ) -> None:
        """Take what workers are started with and where their metrics, ends and lines go; ``now`` is epoch seconds.

        ``said`` is set whenever a worker said something or left; ``arrived`` is called when one could begin.
        """
        self._config = config
        self._standing = standing
        self._sockets = sockets
        self._exposition = exposition
        self._meter = meter
        self._log = log
        self._now = now
        self._workers: dict[int, WorkerProcess] = {}
        self._troubles: dict[int, str] = {}
        self._durable: dict[int, int] = {}
        self._incarnation = 0
        self._keeping: list[asyncio.Task[None]] = []
        self._hearing: set[asyncio.Task[None]] = set()
        self.said = asyncio.Event()
        self.arrived: Callable[[WorkerProcess], None] = lambda _: None

    def begin(self) -> None:
        """Fill every place."""
        self._keeping = [asyncio.ensure_future(self._keep(index)) for index in range(self._config.guard.workers)]

    def tell(self, message: FromSupervisor) -> None:
        """Send every worker a message."""
        for worker in self._workers.values():
            send(worker.writer, message)

    def take(self, config: Config, standing: Standing) -> None:
        """Start whoever starts from now on with this policy."""
        self._config, self._standing = config, standing

    @property
    def begun(self) -> list[WorkerProcess]:
        """The workers that take requests, or are about to."""
        return [worker for worker in self._workers.values() if worker.begun and worker.process.poll() is None]

    def replace(self, worker: WorkerProcess, why: str) -> None:
        """End a worker that does not do what it is told, if it still runs; its place is filled again."""
        if self._workers.get(worker.index) is worker and worker.process.poll() is None:
            self._log.emit(Level.ERROR, Event.WORKER_BEHIND, worker=worker.index, reason=why)
            worker.process.kill()

    @property
    def serving(self) -> int:
        """How many workers take requests."""
        return sum(worker.ready for worker in self._workers.values())

    @property
    def live(self) -> int:
        """How many exchanges run, by the workers' last word."""
        return sum(worker.live for worker in self._workers.values())

    @property
    def running(self) -> tuple[Running, ...]:
        """What runs on all workers, by their last word."""
        return tuple(each for worker in self._workers.values() for each in worker.running)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of a worker and what it is doing."""
        found = []
        for index in range(self._config.guard.workers):
            worker = self._workers.get(index)
            serving = worker is not None and worker.ready and worker.process.poll() is None
            live = 0 if worker is None else worker.live
            found.append(Place(str(index), serving, live, "" if serving else self._troubles.get(index, "")))
        return tuple(found)

    @property
    def durable(self) -> dict[int, int | None]:
        """For every place, up to which record its log was last known to be on the disk; None before the first word."""
        return {index: self._durable.get(index) for index in range(self._config.guard.workers)}

    @property
    def troubles(self) -> tuple[str, ...]:
        """For every place that a worker failed to fill, why."""
        return tuple(f"worker {index}: {why}" for index, why in sorted(self._troubles.items()))

    async def drain(self, seconds: float, at_once: asyncio.Event) -> None:
        """Let workers finish what runs within ``seconds`` and end; whoever is left then, or ``at_once``, is killed."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self.tell(Drain(seconds))
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds + LEAVE_SECONDS
        while self._running() and loop.time() < until and not at_once.is_set():  # noqa: ASYNC110 - ends come unannounced
            await asyncio.sleep(TICK_SECONDS)
        for worker in self._running():
            worker.process.kill()
        until = loop.time() + LEAVE_SECONDS
        while self._running() and loop.time() < until:  # noqa: ASYNC110 - as above
            await asyncio.sleep(TICK_SECONDS)
        if self._hearing:  # their last words are in the sockets
            await asyncio.wait(self._hearing, timeout=AWAY_SECONDS)

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.process.poll() is None]

    async def _keep(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        short_lives = 0
        while True:
            began = loop.time()
            served = await self._one(index)
            short_lives = 0 if served and loop.time() - began >= SETTLED_SECONDS else short_lives + 1
            await asyncio.sleep(pause_before(short_lives, served=served))

    async def _one(self, index: int) -> bool:
        """Start a worker and see it to its end; returns whether it served."""
        loop = asyncio.get_running_loop()
        self._incarnation += 1
        try:
            worker = await start_worker(self._standing, index, self._incarnation, self._sockets, loop.time())
        except OSError as problem:
            self._troubles[index] = f"no process: {problem.strerror}"
            self._log.emit(Level.ERROR, Event.WORKER_EXITED, worker=index, reason=self._troubles[index])
            return False
        self._workers[index] = worker
        self._log.emit(Level.INFO, Event.WORKER_STARTED, worker=index, pid=worker.process.pid)
        hearing = asyncio.ensure_future(self._hear(worker))
        self._hearing.add(hearing)
        hearing.add_done_callback(self._hearing.discard)
        code, deaf = await self._until_gone(worker)
        del self._workers[index]
        # Its last words may still be in the socket; they count, and after them there are none.
        await asyncio.wait({hearing}, timeout=AWAY_SECONDS)
        hearing.cancel()
        self._exposition.retire(index, worker.incarnation)
        self._meter.inc(self._meter.bind("guard_worker_restarts_total", Restart.DEAF if deaf else Restart.EXITED))
        self._troubles[index] = "it fell silent" if deaf else ending(code)
        if not deaf:
            self._log.emit(Level.ERROR, Event.WORKER_EXITED, worker=index, code=code, reason=ending(code))
        return worker.ready

    async def _until_gone(self, worker: WorkerProcess) -> tuple[int, bool]:
        """Watch over a worker; returns its exit code, and whether it was killed for its silence."""
        loop = asyncio.get_running_loop()
        deaf = False
        silence = Silence(worker.process.pid)
        while (code := worker.process.poll()) is None:
            before = loop.time()
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            if now - before > AWAY_SECONDS:
                worker.heard = now
            silent = silence.seconds(worker.heard, now)
            if not deaf and silent >= (patience(self._config) if worker.ready else START_SECONDS):
                deaf = True
                self._log.emit(Level.ERROR, Event.WORKER_DEAF, worker=worker.index, silent_seconds=round(silent, 3))
                worker.process.kill()
        return code, deaf

    async def _hear(self, worker: WorkerProcess) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (message := await hear_worker(worker.reader)) is not None:
                worker.heard = loop.time()
                match message:
                    case Ready():
                        worker.ready = True
                        self._troubles.pop(worker.index, None)
                    case Prepared():
                        worker.prepared = message
                        if not worker.begun:
                            self.arrived(worker)
                    case Adopted(digest):
                        worker.adopted, worker.digest = message, digest
                    case Beat(live, metrics, durable, running):
                        worker.live, worker.running = live, running
                        self._durable[worker.index] = durable
                        self._exposition.apply(worker.index, worker.incarnation, metrics, self._now())
                self.said.set()
        except ValueError as problem:  # words that no worker of ours says: not heard again, it counts as deaf
            self._log.failure(Event.INTERNAL_ERROR, problem, worker=worker.index)
        finally:
            worker.writer.close()
            self.said.set()
