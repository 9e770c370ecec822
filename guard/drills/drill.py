"""One drill: whether it can be made now, the stop or the lapse from end to end, and what came of it, in a file.

Whatever happens, what was ordered is lifted again. A process that is killed in the middle leaves a stop of the
self-test model and a note; the next drill lifts the one and tells of the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from guard.drills.bench import Bench
from guard.drills.caller import Caller
from guard.drills.exercise import Acts, Exercise, Stage
from guard.drills.folder import DrillFolder
from guard.drills.forms import FORMS
from guard.drills.held import HeldLease
from guard.drills.lifting import lift, standing, tidy
from guard.drills.places import LEASE_SECONDS, RunFolder
from guard.drills.result import DrillError, Failure, Kind, Result, Times
from guard.drills.ways import WAYS, scope_for
from guard.policy.drills import DrillPath
from guard.policy.selftest import ATTRIBUTE, SELF_TEST_ASL
from guard.state.lease import ORDER
from guard.state.orders import ENTROPY_BYTES, order_id
from safeguards.scope import CAPABILITY_WORDS, SELF_TEST, Capability, Operation, caller_words, request_words

REASON: Final = "drill"
LAPSE: Final = "lapse"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where drills are made: what they act with, the workers by name, the time each step may take, who asked for it.

    ``leased`` is whether a drill must hold the self-test model's lease, which is so in a fleet.
    """

    bench: Bench
    workers: Sequence[str]
    deadline: float
    steady: Callable[[], float]
    who: str
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """What is there while a drill is made: a caller of each worker, and in a fleet the lease."""

    callers: Mapping[str, Caller]
    lease: HeldLease | None


@dataclass(frozen=True, slots=True)
class Made:
    """What a drill that succeeded measured, and its order."""

    times: tuple[Times, ...]
    order: str


Deed = Callable[[Door], Awaitable[Made]]


def self_test_words(release: str, operation: Operation = Operation.CHAT) -> frozenset[str]:
    """Return the scopes that the self-test model's streams answer to."""
    words = request_words(SELF_TEST, release, SELF_TEST_ASL, operation)
    caller = caller_words(SELF_TEST, SELF_TEST, SELF_TEST, ("=".join(ATTRIBUTE),))
    return frozenset((*words, *caller, CAPABILITY_WORDS[Capability.STREAMING]))


async def drill_stop(ground: Ground, path: DrillPath) -> Result:
    """Drill a stop of the self-test model by this path; returns what came of it, which is in the folder by then.

    Raises BusyError where another drill is under way, and OSError where nothing can be written.
    """
    bench = ground.bench

    async def stop() -> str:
        return await WAYS[path](bench, scope_for(path, bench.release), REASON)

    async def resume() -> str:
        return ", ".join(await asyncio.to_thread(lift, bench, REASON))

    async def deed(door: Door) -> Made:
        stage = Stage(door.callers, (FORMS[Operation.CHAT],), ground.steady, ground.deadline)
        exercise = Exercise(stage, Acts(stop, resume, names_order=path is not DrillPath.FILE))
        return Made(await exercise.run(), exercise.order)

    return await make(ground, Kind.STOP, path.value, deed)


async def drill_lease(ground: Ground) -> Result:
    """Let the self-test model's lease lapse on every worker and renew it; returns and raises as `drill_stop`."""

    async def deed(door: Door) -> Made:
        lease = door.lease
        if lease is None:
            raise DrillError(Failure.INTERNAL, "there is no lease here")

        async def stop() -> str:
            lease.let_go()
            return ORDER

        async def resume() -> str:
            lease.hold()
            return ORDER

        stage = Stage(door.callers, (FORMS[Operation.CHAT],), ground.steady, ground.deadline)
        return Made(await Exercise(stage, Acts(stop, resume, lapse=LEASE_SECONDS)).run(), ORDER)

    return await make(ground, Kind.LEASE, LAPSE, deed)


async def make(ground: Ground, kind: Kind, path: str, deed: Deed) -> Result:
    """Make one drill, alone on this host, unless something is stopped already; raises BusyError or OSError."""
    bench = ground.bench
    folder = DrillFolder(bench.state)

    def result(identity: str = "", **more: object) -> Result:
        now = bench.now()
        identity = identity or order_id(now, bench.entropy(ENTROPY_BYTES))
        return Result(identity, kind, path, now, ground.who, **more)  # type: ignore[arg-type]  # as its fields are

    with folder.alone():
        own_up(folder)
        for each in (bench, replace(bench, rehearsal=True)):
            with contextlib.suppress(OSError):  # where it cannot be lifted, it is seen to stand
                await asyncio.to_thread(lift, each, "left by a drill")
        stopped, own = await asyncio.to_thread(standing, bench, self_test_words(bench.release), SELF_TEST_ASL)
        if own:
            why = f"{stopped} since an earlier drill, and could not be resumed"
            found = result(failure=Failure.NOT_RESUMED, why=why)
        elif stopped:
            found = result(skipped=stopped)
        else:
            began = result(failure=Failure.INTERRUPTED, why="the guard ended in the middle of it")
            folder.begin(began)
            try:
                found = result(began.id, **await _outcome(ground, deed))
            except asyncio.CancelledError:
                folder.forget()  # the guard ends as it was told to, and has lifted the stop
                raise
        await asyncio.to_thread(folder.add, found)
        await asyncio.to_thread(tidy, bench)
    return found


async def _outcome(ground: Ground, deed: Deed) -> dict[str, object]:
    """Do it; returns what a result says of it."""
    try:
        async with _open(ground) as door:
            made = await deed(door)
    except DrillError as failed:
        return {"workers": failed.times, "order": failed.order, "failure": failed.failure, "why": failed.why}
    except Exception as problem:  # noqa: BLE001 - whatever it was, a drill that showed nothing has failed
        return {"failure": Failure.INTERNAL, "why": type(problem).__name__}
    else:
        return {"workers": made.times, "order": made.order}
    finally:
        with contextlib.suppress(OSError):  # then that is what failed, or the next drill finds it
            await asyncio.shield(asyncio.to_thread(lift, ground.bench, REASON))


@asynccontextmanager
async def _open(ground: Ground) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        run = stack.enter_context(RunFolder(ground.bench.state))
        lease = None
        if ground.leased:
            lease = await stack.enter_async_context(HeldLease(run.path, ground.steady))
        callers = {
            worker: await stack.enter_async_context(Caller(run.door(worker), run.model(worker), ground.steady))
            for worker in ground.workers
        }
        yield Door(callers, lease)


def own_up(folder: DrillFolder) -> None:
    """Tell of a drill that nobody ended: the lock is ours, so whoever made it is gone."""
    left = folder.interrupted()
    if left is not None:
        folder.add(left)
