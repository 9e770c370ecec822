"""One stop from end to end as its callers see it: begun, ordered, cut, refused, resumed, each worker timed.

What a stop covers must end with the stop's own ending, in the operation's own form, and be refused when it is asked for
again; what it does not cover must go on. The order is lifted whatever happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from guard.drills.bench import NoWayError
from guard.drills.caller import Caller, Held
from guard.drills.forms import STOPPED, Form
from guard.drills.result import DrillError, Failure, Times

_POLL_SECONDS: Final = 0.02
_SEEN_SECONDS: Final = 0.25
Name = tuple[str, str]
Deed = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Who is asked, for what, within which time: workers' callers by name, what is covered, what must be spared."""

    callers: Mapping[str, Caller]
    covered: Sequence[Form]
    steady: Callable[[], float]
    deadline: float
    spared: Sequence[Form] = ()


@dataclass(frozen=True, slots=True)
class Acts:
    """What a drill does to the switch: ``stop`` returns the order's id, ``resume`` lifts it.

    ``names_order`` is whether callers are told that id; ``lapse`` is what a stop may take beside its own way.
    """

    stop: Deed
    resume: Deed
    names_order: bool = True
    lapse: float = 0.0


class Exercise:
    """One of them; its measurements are there however far it comes."""

    def __init__(self, stage: Stage, acts: Acts) -> None:
        """Take who and how."""
        self._stage = stage
        self._acts = acts
        self.times = {worker: Times(worker) for worker in stage.callers}
        self.order = ""

    async def run(self) -> tuple[Times, ...]:
        """Do it; raises DrillError."""
        stage = self._stage
        covered = {(worker, form.name): self._hold(worker, form) for worker in stage.callers for form in stage.covered}
        spared = {(worker, form.name): self._hold(worker, form) for worker in stage.callers for form in stage.spared}
        begun = {**covered, **spared}
        await self._each(Failure.NO_STREAM, {name: held.released() for name, held in begun.items()}, stage.deadline)
        began = stage.steady()
        try:
            async with asyncio.timeout(stage.deadline + self._acts.lapse):
                self.order = await self._acts.stop()
        except TimeoutError:
            late = [f"worker {worker}, {form}" for (worker, form), held in covered.items() if not held.over]
            if late and len(late) < len(covered):  # it was given, and waited for those who do not obey
                why = f"{'; '.join(late)}: not within {stage.deadline:g} s"
                raise self._failed(Failure.NOT_CUT, why) from None
            raise self._failed(Failure.NOT_ORDERED, f"the order was not given within {stage.deadline:g} s") from None
        except Exception as problem:  # noqa: BLE001 - whatever keeps a stop from being given is what a drill looks for
            raise self._failed(Failure.NOT_ORDERED, _words(problem)) from None
        endings = {name: self._ended(name, held, began) for name, held in covered.items()}
        await self._each(Failure.NOT_CUT, endings, stage.deadline + self._acts.lapse)
        again = {
            (worker, form.name): self._refused(worker, form, began)
            for worker in stage.callers
            for form in stage.covered
        }
        await self._each(Failure.NOT_REFUSED, again, stage.deadline)
        await self._spare(spared)
        await self._resume()
        return tuple(self.times.values())

    def _hold(self, worker: str, form: Form) -> Held:
        return self._stage.callers[worker].hold(form)

    async def _ended(self, name: Name, held: Held, began: float) -> None:
        worker, _ = name
        ended = await held.ended()
        if ended.code != STOPPED or ended.complete:
            raise DrillError(Failure.WRONG_ENDING, f"it ended with {ended.code or 'no error'}")
        cut = max(ended.at - began, self.times[worker].cut or 0.0)
        self.times[worker] = msgspec.structs.replace(self.times[worker], cut=cut)

    async def _refused(self, worker: str, form: Form, began: float) -> None:
        told = await self._stage.callers[worker].ask(form)
        if told.code != STOPPED:
            raise DrillError(Failure.NOT_REFUSED, "it was served" if told.served else f"it was told {told.code}")
        if self._acts.names_order and self.order.encode() not in told.body:
            raise DrillError(Failure.NOT_REFUSED, "another order than the drill's was named")
        refused = max(self._stage.steady() - began, self.times[worker].refused or 0.0)
        self.times[worker] = msgspec.structs.replace(self.times[worker], refused=refused)

    async def _spare(self, spared: Mapping[Name, Held]) -> None:
        """Make sure that what the stop does not cover runs on, and is served."""
        if not self._stage.covered:  # nothing tells when such a stop has been seen
            await asyncio.sleep(_SEEN_SECONDS)
        for (worker, form), held in spared.items():
            if held.over:
                raise self._failed(Failure.NOT_SPARED, f"worker {worker}, {form}: it was cut and is not covered")
        served = {
            (worker, form.name): self._served(worker, form)
            for worker in self._stage.callers
            for form in self._stage.spared
        }
        await self._each(Failure.NOT_SPARED, served, self._stage.deadline)

    async def _resume(self) -> None:
        stage = self._stage
        try:
            async with asyncio.timeout(stage.deadline):
                await self._acts.resume()
        except Exception as problem:  # noqa: BLE001 - as in `run`
            raise self._failed(Failure.NOT_RESUMED, _words(problem)) from None
        began = stage.steady()
        served = {
            (worker, form.name): self._again(worker, form, began) for worker in stage.callers for form in stage.covered
        }
        await self._each(Failure.NOT_RESUMED, served, stage.deadline)

    async def _served(self, worker: str, form: Form) -> None:
        told = await self._stage.callers[worker].ask(form)
        if not told.served:
            raise DrillError(Failure.NOT_SPARED, f"it was told {told.code or told.status}")

    async def _again(self, worker: str, form: Form, began: float) -> None:
        while not (await self._stage.callers[worker].ask(form)).served:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(_POLL_SECONDS)
        resumed = max(self._stage.steady() - began, self.times[worker].resumed or 0.0)
        self.times[worker] = msgspec.structs.replace(self.times[worker], resumed=resumed)

    async def _each(self, failure: Failure, deeds: Mapping[Name, Awaitable[None]], seconds: float) -> None:
        """Do all at once, within this time; raises a DrillError that names every worker of which one failed."""
        tasks = {name: asyncio.ensure_future(deed) for name, deed in deeds.items()}
        if not tasks:
            return
        try:
            await asyncio.wait(tasks.values(), timeout=seconds)
        finally:
            for task in tasks.values():
                task.cancel()
        wrong: dict[str, str] = {}
        for (worker, form), task in tasks.items():
            await asyncio.gather(task, return_exceptions=True)
            why = f"not within {seconds:g} s" if task.cancelled() else _words(task.exception())
            if why:
                wrong.setdefault(worker, f"worker {worker}, {form}: {why}")
                problem = None if task.cancelled() else task.exception()
                failure = problem.failure if isinstance(problem, DrillError) else failure
        if wrong:
            raise self._failed(failure, "; ".join(wrong.values()))

    def _failed(self, failure: Failure, why: str) -> DrillError:
        return DrillError(failure, why, tuple(self.times.values()), self.order)


def _words(problem: BaseException | None) -> str:
    if problem is None:
        return ""
    if isinstance(problem, DrillError):
        return problem.why
    if isinstance(problem, NoWayError):
        return str(problem)
    # Of an exception its kind alone, but for what connections say: nothing but harmless text goes over these.
    detail = str(problem) if isinstance(problem, httpx.TransportError) else ""
    if isinstance(problem, OSError):
        detail = problem.strerror or ""
    return f"{type(problem).__name__} ({detail})" if detail else type(problem).__name__
