"""A change of policy in a worker: made ready beside the streams, brought into force between two turns of the loop.

Reading and compiling happen in a thread. The interpreter has one lock, so while that thread works the loop waits for
the lock at most one switch interval, which is made short; what holds the lock for longer in one piece (the validation
of one file) is bounded by the bounds of a file, and passes of the garbage collector are small. What has not
changed is not made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from guard.app import Policy, Worker, build_policy, declarations
from guard.policy.bundle import read_snapshot
from guard.policy.config import Config
from guard.policy.load import Memory, understand
from guard.policy.source import ConfigError
from guard.serve.beside import gently
from guard.serve.control import Adopt, Adopted, FromWorker, Prepare, Prepared
from guard.serve.garbage import in_small_passes
from guard.serve.http import GuardProtocol, rebound
from guard.serve.outgrown import Outgrown
from guard.serve.responding import compile_all
from guard.telemetry.logs import Event

MAX_PROBLEMS: Final = 100


class Changeover:
    """The policies of one worker, one after the other; used from its loop. ``begun``: it has been told to serve."""

    def __init__(
        self,
        worker: Worker,
        protocols: Mapping[str, type[GuardProtocol]],
        memory: Memory,
        say: Callable[[FromWorker], None],
    ) -> None:
        """Take the worker, the protocol of each surface, what was read for the first policy, and who is told."""
        self._worker = worker
        self._protocols = protocols
        self._memory = memory
        self._say = say
        self.begun = asyncio.Event()
        self._one = asyncio.Lock()
        self._ready: Policy | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def prepare(self, order: Prepare) -> None:
        """Begin to make a policy ready; says so when it is, or why it cannot be."""
        self._spawn(self._prepare(order))

    def abandon(self) -> None:
        """Forget what is ready."""
        self._ready = None

    def adopt(self, order: Adopt) -> None:
        """Bring what is ready into force and end what has outgrown it; another digest than that is not obeyed."""
        policy, self._ready = self._ready, None
        worker = self._worker
        if not self.begun.is_set() and order.digest == worker.config.digest:
            self.begun.set()
            self._say(Adopted(order.digest, 0))
            return
        if policy is None or policy.config.digest != order.digest:
            return
        leaving: list[Any] = [worker.models]
        before = worker.adopt(policy)
        limits = policy.config.guard.limits
        for surface in policy.config.guard.surfaces:
            http = self._protocols.get(surface.name)
            if http is not None:
                rebound(http, limits.header_bytes, limits.header_seconds, surface.hosts or ())
        outgrown = Outgrown(before, policy, order.stricter, worker.ports.clock.now())
        cut = worker.live.cut_where(outgrown.cause)
        self._say(Adopted(order.digest, cut))
        self.begun.set()
        leaving.append(before)
        self._spawn(asyncio.to_thread(_let_go, leaving))

    async def _prepare(self, order: Prepare) -> None:
        problems: tuple[str, ...] = ()
        async with self._one:
            self._ready = None
            try:
                policy = await asyncio.to_thread(self._build, order)
                await self._compile_pushed(policy)
                for _ in declarations(self._worker.witness.meter, policy):
                    await asyncio.sleep(0)
                self._ready = policy
            except ConfigError as error:
                problems = tuple(str(problem) for problem in error.problems[:MAX_PROBLEMS])
            except (OSError, ValueError) as error:
                problems = (str(error),)
            except Exception as problem:  # noqa: BLE001 - the policy in force stays, and the supervisor hears of it
                self._worker.witness.log.failure(Event.INTERNAL_ERROR, problem)
                problems = (f"{type(problem).__name__} in the worker; its log says where",)
        self._say(Prepared(order.digest, problems))

    async def _compile_pushed(self, policy: Policy) -> None:
        """Make the pushed rules ready that cover a model which only this policy serves."""
        pushed, state = self._worker.pushed, self._worker.switches.state
        if lacking := pushed.lacking_for(state, policy.served):
            pushed.take(await asyncio.to_thread(compile_all, lacking))

    def _build(self, order: Prepare) -> Policy:
        worker = self._worker
        with gently(), in_small_passes():
            bundle = read_snapshot(Path(order.snapshot))
            if bundle.digest != order.digest:
                raise ValueError("the snapshot is not what was put there")
            config = understand(bundle, worker.config.directory, self._memory)
            # Those of both: until the change, the old keys are the ones that take.
            worker.buckets.know([key.id for one in (worker.config, config) for key in one.tiers.keys])
            return build_policy(config, worker.ports, worker.models)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _let_go(leaving: list[Any]) -> None:
    """Free a policy piece by piece: all at once would hold the interpreter for as long as it takes."""
    parts: list[Any] = []
    with gently():
        for one in leaving:
            if isinstance(one, Config):
                parts.extend((*one.models.values(), *one.rules.values(), *one.lines.values(), *one.evidence.values()))
            else:
                parts.extend(one.all())
        leaving.clear()
        while parts:
            parts.pop()
