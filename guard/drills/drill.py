"""One drill of a stop: whether it can be made now, the stop from end to end, and what came of it, in a file.

Whatever happens, what was ordered is lifted again. A process that is killed in the middle leaves a stop of the
self-test model and a note; the next drill lifts the one and tells of the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from guard.drills.caller import Caller
from guard.drills.exercise import Acts, Exercise, Stage
from guard.drills.folder import DrillFolder
from guard.drills.forms import FORMS
from guard.drills.places import RunFolder
from guard.drills.result import DrillError, Failure, Kind, Result, Times
from guard.drills.ways import WAYS, Bench, lift, standing, tidy
from guard.policy.drills import DrillPath
from guard.policy.selftest import ATTRIBUTE, SELF_TEST_ASL
from guard.state.orders import ENTROPY_BYTES, order_id
from guard.state.scope import Scope
from safeguards.scope import CAPABILITY_WORDS, SELF_TEST, Capability, Operation, ScopeKind, caller_words, request_words

REASON: Final = "drill"
_SCOPE: Final = Scope(ScopeKind.MODEL, SELF_TEST)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where drills are made: what they act with, the workers by name, the time each step may take, who asked for it."""

    bench: Bench
    workers: Sequence[str]
    deadline: float
    steady: Callable[[], float]
    who: str


def self_test_words(operation: Operation = Operation.CHAT) -> frozenset[str]:
    """Return the scopes that the self-test model's streams answer to, its release apart."""
    words = request_words(SELF_TEST, "", SELF_TEST_ASL, operation)
    caller = caller_words(SELF_TEST, SELF_TEST, SELF_TEST, ("=".join(ATTRIBUTE),))
    return frozenset((*words, *caller, CAPABILITY_WORDS[Capability.STREAMING]))


async def drill_stop(ground: Ground, path: DrillPath) -> Result:
    """Drill a stop of the self-test model by this path; returns what came of it, which is in the folder by then.

    Raises BusyError where another drill is under way, and OSError where nothing can be written.
    """
    bench = ground.bench
    folder = DrillFolder(bench.state)
    with folder.alone():
        _own_up(folder)
        with contextlib.suppress(OSError):  # where it cannot be lifted, it is seen to stand
            await asyncio.to_thread(lift, bench, "left by a drill")
        began = _result(ground, path, failure=Failure.INTERRUPTED, why="the guard ended in the middle of it")
        stopped, own = await asyncio.to_thread(standing, bench, self_test_words(), SELF_TEST_ASL)
        if own:
            why = f"{stopped} since an earlier drill, and could not be resumed"
            result = _result(ground, path, failure=Failure.NOT_RESUMED, why=why)
        elif stopped:
            result = _result(ground, path, skipped=stopped)
        else:
            folder.begin(began)
            try:
                result = await _run(ground, path, began.id)
            except asyncio.CancelledError:
                folder.forget()  # the guard ends as it was told to, and has lifted the stop
                raise
        await asyncio.to_thread(folder.add, result)
        await asyncio.to_thread(tidy, bench)
    return result


async def _run(ground: Ground, path: DrillPath, identity: str) -> Result:
    bench = ground.bench

    async def stop() -> str:
        return await WAYS[path](bench, _SCOPE, REASON)

    async def resume() -> str:
        return ", ".join(await asyncio.to_thread(lift, bench, REASON))

    exercise: Exercise | None = None
    try:
        async with AsyncExitStack() as stack:
            run = stack.enter_context(RunFolder(bench.state))
            callers = {
                worker: await stack.enter_async_context(Caller(run.door(worker), ground.steady))
                for worker in ground.workers
            }
            stage = Stage(callers, (FORMS[Operation.CHAT],), ground.steady, ground.deadline)
            exercise = Exercise(stage, Acts(stop, resume, names_order=path is not DrillPath.FILE))
            times = await exercise.run()
        return _result(ground, path, identity, times=times, order=exercise.order)
    except DrillError as failed:
        return _result(
            ground, path, identity, failure=failed.failure, why=failed.why, times=failed.times, order=failed.order
        )
    except Exception as problem:  # noqa: BLE001 - whatever it was, a drill that showed nothing has failed
        why = f"{type(problem).__name__}: {problem}"
        return _result(ground, path, identity, failure=Failure.INTERNAL, why=why)
    finally:
        with contextlib.suppress(OSError):  # then that is what failed, or the next drill finds it
            await asyncio.shield(asyncio.to_thread(lift, bench, REASON))


def _own_up(folder: DrillFolder) -> None:
    """Tell of a drill that nobody ended: the lock is ours, so whoever made it is gone."""
    left = folder.interrupted()
    if left is not None:
        folder.add(left)


def _result(
    ground: Ground,
    path: DrillPath,
    identity: str = "",
    *,
    times: tuple[Times, ...] = (),
    order: str = "",
    failure: Failure | None = None,
    why: str = "",
    skipped: str = "",
) -> Result:
    bench, now = ground.bench, ground.bench.now()
    return Result(
        id=identity or order_id(now, bench.entropy(ENTROPY_BYTES)),
        kind=Kind.STOP,
        path=path.value,
        at=now,
        who=ground.who,
        workers=times,
        order=order,
        failure=failure,
        why=why,
        skipped=skipped,
    )
