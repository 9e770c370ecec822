"""The full walk: every kind of scope, on every operation, by every path; each stop must cut what it covers and no more.

A kill switch that is used every day may still fail on what it was never used on. What can cover nothing but the
self-test model is ordered as any stop is. What would stop live traffic too (``all``, a level, an operation, a
capability) is rehearsed: an order or a STOP file of the same form, read, merged and obeyed by the same code, in a
folder where only the self-test model's switches look (`guard.rehearsing`). So of those kinds the walk does not show
that customers' exchanges answer to the words, and not the admin API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from guard.drills.bench import Bench
from guard.drills.drill import Door, Ground, Made, make
from guard.drills.exercise import Acts, Exercise, Stage
from guard.drills.forms import EVERY_FORM, Form
from guard.drills.lifting import clear, lift
from guard.drills.result import DrillError, Failure, Kind, Result, Times
from guard.drills.ways import Way, each_way, scope_for
from guard.policy.drills import DrillPath
from guard.policy.selftest import scopes_of
from guard.state.scope import Scope
from safeguards.scope import Capability, Operation

FULL: Final = "full"
REASON: Final = "full drill"
_REHEARSED: Final = (DrillPath.ORDER, DrillPath.FILE)


@dataclass(frozen=True, slots=True)
class Case:
    """One stop of the walk: what it names, how it is given, what it covers, and whether it is rehearsed.

    ``way`` is the name of one of the path's ways.
    """

    scope: Scope
    path: DrillPath
    way: str
    covered: tuple[Form, ...]
    rehearsed: bool

    @property
    def spared(self) -> tuple[Form, ...]:
        """What it must leave alone."""
        return tuple(form for form in EVERY_FORM if form not in self.covered)

    @property
    def give(self) -> Way:
        """How the stop is given."""
        return each_way(self.path)[self.way]


class Walked(msgspec.Struct, frozen=True):
    """What came of one case; times are those of `guard.drills.result.Times`."""

    scope: str
    path: str
    rehearsed: bool
    covered: tuple[str, ...]
    spared: tuple[str, ...]
    workers: tuple[Times, ...] = ()
    order: str = ""
    failure: Failure | None = None
    why: str = ""


def cases(release: str, *, fleet: bool) -> Iterator[Case]:
    """Yield every case; ``release`` is the self-test model's, and ``fleet`` whether the guard is part of one."""
    for text in scopes_of(release):
        for path in DrillPath:
            if path is DrillPath.ENGINE and not (fleet and Scope.parse(text) == scope_for(path, release)):
                continue  # every guard of the fleet would have to stop its own
            for way in each_way(path):
                yield Case(Scope.parse(text), path, way, EVERY_FORM, rehearsed=False)
    streaming = tuple(form for form in EVERY_FORM if form.streams)
    shared: list[tuple[str, tuple[Form, ...]]] = [
        ("all", EVERY_FORM),
        ("level:1", EVERY_FORM),
        ("level:2", EVERY_FORM),
        ("level:3", ()),
        (f"capability:{Capability.STREAMING}", streaming),
        *((f"operation:{each}", tuple(form for form in EVERY_FORM if form.operation is each)) for each in Operation),
    ]
    for text, covered in shared:
        for path in _REHEARSED:
            yield Case(Scope.parse(text), path, path.value, covered, rehearsed=True)


async def walk(ground: Ground, tell: Callable[[Walked], None]) -> tuple[Result, tuple[Walked, ...]]:
    """Walk through all of them, each told as it is done; a case that fails does not keep the next from being tried.

    Returns the drill as a whole, which is in the folder by then, and the cases. Raises BusyError or OSError.
    """
    done: list[Walked] = []

    async def deed(door: Door) -> Made:
        for case in cases(ground.bench.release, fleet=ground.bench.engine is not None):
            done.append(await _one(ground, door, case))
            tell(done[-1])
        failed = [each for each in done if each.failure is not None]
        times = slowest([each.workers for each in done])
        if failed:
            why = f"{len(failed)} of {len(done)} cases; {failed[0].scope} by {failed[0].path}: {failed[0].why}"
            raise DrillError(failed[0].failure or Failure.INTERNAL, why, times)
        await asyncio.to_thread(clear, _bench(ground, rehearsed=True))
        return Made(times, "")

    return await make(ground, Kind.STOP, FULL, deed), tuple(done)


def _bench(ground: Ground, *, rehearsed: bool) -> Bench:
    return replace(ground.bench, rehearsal=rehearsed)


async def _one(ground: Ground, door: Door, case: Case) -> Walked:
    bench = _bench(ground, rehearsed=case.rehearsed)

    async def stop() -> str:
        return await case.give(bench, case.scope, REASON)

    async def resume() -> str:
        return ", ".join(await asyncio.to_thread(lift, bench, REASON))

    stage = Stage(door.callers, case.covered, ground.steady, ground.deadline, case.spared)
    exercise = Exercise(stage, Acts(stop, resume, names_order=case.path is not DrillPath.FILE))
    walked = Walked(
        scope=str(case.scope),
        path=case.way,
        rehearsed=case.rehearsed,
        covered=tuple(form.name for form in case.covered),
        spared=tuple(form.name for form in case.spared),
    )
    try:
        times = await exercise.run()
    except DrillError as failed:
        await asyncio.to_thread(lift, bench, REASON)
        found = {"workers": failed.times, "order": failed.order, "failure": failed.failure, "why": failed.why}
        return msgspec.structs.replace(walked, **found)
    finally:
        await asyncio.gather(*(caller.release() for caller in door.callers.values()))
    return msgspec.structs.replace(walked, workers=times, order=exercise.order)


def slowest(measured: Sequence[Sequence[Times]]) -> tuple[Times, ...]:
    """Return each worker's longest times."""
    names = dict.fromkeys(each.worker for times in measured for each in times)

    def longest(worker: str, field: str) -> float | None:
        found = (getattr(each, field) for times in measured for each in times if each.worker == worker)
        return max((each for each in found if each is not None), default=None)

    return tuple(
        Times(name, longest(name, "cut"), longest(name, "refused"), longest(name, "resumed")) for name in names
    )
