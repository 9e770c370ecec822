"""Drills on a model that is served, in a maintenance window: what runs is cut, and what each worker did is measured.

The self-test model shows that the switch works; this shows that it works on this model. In a fleet an order stops it
everywhere: every guard must say that it obeys, the resume too, and the workers of this host are timed. Below ASL-3
the stop is lifted by one person, as ever, after each way; from there on it stays until two people have signed, so
that it is given once. What anybody else stops meanwhile is not lifted: a drill's orders are known by their reason,
and its STOP file by the moment it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from guard.admin.switchboard import ResumeRefusedError, Switchboard
from guard.drills.bench import NoWayError
from guard.drills.drill import Ground, own_up
from guard.drills.folder import DrillFolder
from guard.drills.result import DrillError, Failure, Kind, Result, Times
from guard.drills.ways import WAYS
from guard.policy.drills import DrillPath
from guard.state.acknowledgements import Ack, waiting_for
from guard.state.directory import OrderDirectory
from guard.state.engine import EngineError, StateEngine
from guard.state.issuer import Issuer
from guard.state.merge import TWO_PERSON_ASL, InForce, mode_of
from guard.state.orders import ENTROPY_BYTES, Source, StopOrder, is_order_id, issue_resume, order_id
from guard.state.replicas import Spread, read, spread
from guard.state.scope import OrderError, Scope

_POLL_SECONDS: Final = 0.005
_LOOK_SECONDS: Final = 0.05
Give = Callable[[Scope, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Window:
    """What is stopped, why, and by which ways; ``ways`` give a stop and return the order's id."""

    alias: str
    reason: str
    ways: Mapping[DrillPath, Give]


class Disrupted(msgspec.Struct, frozen=True):
    """One stop of a served model; times by the host's clock, from the order to what each worker says of it.

    ``replicas`` obeyed, 1 where there is no fleet or a file does not reach it; ``streams_cut`` ran there when it came.
    ``left_stopped`` is whether it still is, and ``why`` says what went wrong.
    """

    path: str
    order: str = ""
    workers: tuple[Times, ...] = ()
    replicas: int = 0
    streams_cut: int = 0
    left_stopped: bool = True
    failure: Failure | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The drill as a whole, each way, and what two people sign to end it; empty where nobody has to."""

    result: Result
    cases: tuple[Disrupted, ...]
    approval: str = ""


def ways_here(ground: Ground) -> dict[DrillPath, Give]:
    """Return the ways that need nobody's token: an order file, a STOP file, and in a fleet its engine."""
    bench = replace(ground.bench, who=ground.who)
    paths = (DrillPath.ORDER, DrillPath.FILE, *(() if bench.engine is None else (DrillPath.ENGINE,)))
    return {path: partial(WAYS[path], bench) for path in paths}


async def disrupt(ground: Ground, board: Switchboard, window: Window, tell: Callable[[Disrupted], None]) -> Report:
    """Stop the model by each way, measure and lift; each is told as it is done. Raises BusyError or OSError.

    The window's model is served here, and its ways are one where two people resume it.
    """
    folder, bench = DrillFolder(ground.bench.state), ground.bench
    identity = order_id(bench.now(), bench.entropy(ENTROPY_BYTES))
    name = f"disruptive:{'+'.join(window.ways)}"

    def result(**more: object) -> Result:
        made = Result(identity, Kind.STOP, name, bench.now(), ground.who, disrupted=window.alias)
        return msgspec.structs.replace(made, **more)

    with folder.alone():
        own_up(folder)
        if held := await asyncio.to_thread(board.over, window.alias):
            found = result(skipped=f"{held[0].scope}: {mode_of(held[0])} is in force (order {held[0].id})")
            await asyncio.to_thread(folder.add, found)
            return Report(found, ())
        left = f"the drill ended in the middle of it: model {window.alias} may still be stopped"
        folder.begin(result(failure=Failure.INTERRUPTED, why=left))
        cases: list[Disrupted] = []
        async with AsyncExitStack() as stack:
            engine = None if bench.engine is None else bench.engine()
            if engine is not None:
                stack.push_async_callback(engine.aclose)
            one = _One(ground, board, window, f"drill {identity}: {window.reason}", engine)
            for path in window.ways:
                cases.append(await one.run(path))
                tell(cases[-1])
                if cases[-1].left_stopped:
                    break
        failed = next((each for each in cases if each.failure is not None), None)
        outcome: dict[str, object] = {
            "why": _words(window.alias, cases),
            "workers": cases[-1].workers,
            "order": cases[-1].order,
        }
        if failed is not None:
            outcome |= {"failure": failed.failure, "why": f"model {window.alias} by {failed.path}: {failed.why}"}
        found = result(**outcome)
        await asyncio.to_thread(folder.add, found)
    return Report(found, tuple(cases), one.approval)


def _words(alias: str, cases: list[Disrupted]) -> str:
    slowest = max((each.cut or 0.0 for case in cases for each in case.workers), default=0.0)
    cut = sum(each.streams_cut for each in cases)
    end = "left stopped for two people to resume" if cases[-1].left_stopped else "resumed"
    by = ", ".join(each.path for each in cases)
    return f"model {alias} stopped by {by}: every worker within {slowest * 1000:.0f} ms, {cut} streams cut, {end}"


class _One:
    """One way after the other, with what each leaves."""

    def __init__(
        self, ground: Ground, board: Switchboard, window: Window, reason: str, engine: StateEngine | None
    ) -> None:
        self._ground = ground
        self._board = board
        self._window = window
        self._reason = reason
        self._engine = engine
        self._scope = Scope.parse(f"model:{window.alias}")
        self._strict = board.served.models[window.alias].asl >= TWO_PERSON_ASL
        self._file = ground.bench.orders / "orders" / self._scope.file
        self._end = f"end of {reason}"
        self.approval = ""

    async def run(self, path: DrillPath) -> Disrupted:
        """Stop, measure, lift; what goes wrong is in what it returns."""
        made: int | None = None
        order, began, failed = "", self._ground.bench.now(), None
        acks: tuple[Ack, ...] = ()
        replicas = cut = 0
        giving = asyncio.ensure_future(self._window.ways[path](self._scope, self._reason))
        try:
            order = await asyncio.shield(giving)  # each way ends by itself
            made = self._touched() if path is DrillPath.FILE else None
            acks = await self._obeyed(order, began, Failure.NOT_CUT)
            replicas, cut = 1, sum(each.streams_cut for each in acks)
            if (found := await self._everywhere(order, Failure.NOT_CUT)) is not None:
                replicas, cut = found.replicas, found.streams_cut
        except NoWayError as problem:
            order = problem.order
            failed = DrillError(Failure.NOT_ORDERED, str(problem))
        except DrillError as problem:
            failed = problem
        except Exception as problem:  # noqa: BLE001 - whatever it was, what was ordered is to be lifted
            failed = DrillError(Failure.NOT_ORDERED, type(problem).__name__)
        finally:
            if not giving.done():  # whoever ends the drill now must not leave an order that nobody lifts
                with suppress(Exception):
                    order = await giving
            resumed, why, left = await asyncio.shield(self._lift(order, made))
        if why and failed is None:
            failed = DrillError(Failure.NOT_RESUMED, why)
        times = tuple(
            Times(each.worker, cut=max(0.0, each.at - began), resumed=resumed.get(each.worker)) for each in acks
        )
        case = Disrupted(path.value, order, times, replicas, cut, left)
        if failed is None:
            return case
        return msgspec.structs.replace(case, failure=failed.failure, why="; ".join(filter(None, (failed.why, why))))

    async def _obeyed(self, order: str, began: float, failure: Failure) -> tuple[Ack, ...]:
        """Wait until every worker has applied this order since; raises DrillError that names who has not."""
        ground = self._ground
        until = ground.steady() + ground.deadline
        while True:
            acks, missing = await asyncio.to_thread(waiting_for, ground.bench.state, order, ground.workers)
            old = [each.worker for each in acks if each.at < began]  # of a STOP file that was there before
            if not missing and not old:
                return acks
            if ground.steady() >= until:
                late = ", ".join(sorted({*missing, *old}))
                raise DrillError(failure, f"worker {late}: not within {ground.deadline:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def _everywhere(self, order: str, failure: Failure) -> Spread | None:
        """Wait until every guard of the fleet obeys; None where there is none. Raises DrillError that names others."""
        if self._engine is None or not is_order_id(order):
            return None
        until = self._ground.steady() + self._ground.deadline
        while True:
            try:
                found = spread(order, read(await self._engine.heard()))
                missing = found.missing
            except EngineError as problem:
                missing = (f"the fleet ({problem})",)
            if not missing:
                return found
            if self._ground.steady() >= until:
                raise DrillError(failure, f"{', '.join(missing)}: not within {self._ground.deadline:g} s")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _lift(self, order: str, made: int | None) -> tuple[dict[str, float], str, bool]:
        """Lift what was ordered; returns each worker's time to it, what is wrong, and whether the model is stopped."""
        began, resumed = self._ground.bench.now(), dict[str, float]()
        why = ""
        try:
            for lifting in await asyncio.to_thread(self._resume, order, made):
                for ack in await self._obeyed(lifting, began, Failure.NOT_RESUMED):
                    resumed[ack.worker] = max(0.0, ack.at - began)
                await self._everywhere(lifting, Failure.NOT_RESUMED)
        except DrillError as problem:
            why = problem.why
        except (ResumeRefusedError, OrderError, OSError) as problem:
            return resumed, f"not resumed: {problem}", True
        try:
            held = await asyncio.to_thread(self._board.over, self._window.alias)
        except OSError as problem:
            return resumed, f"the orders cannot be read: {problem.strerror}", True
        if held and not self._strict:
            why = f"still stopped: {held[0].scope} (order {held[0].id})"
        return resumed, why, bool(held)

    def _resume(self, order: str, made: int | None) -> list[str]:
        """Lift this drill's own orders, or write what two people sign; returns the resumes. Raises as `resume`."""
        if made is not None and self._touched() == made:
            self._file.unlink()
        state = self._board.state()
        own = [each.id for each in self._board.over(self._window.alias, state) if self._is_own(each)]
        found = []
        for stop in own:
            try:
                found.append(self._board.resume(stop, self._end, self._ground.who, Source.CLI).order)
            except ResumeRefusedError as refusal:
                if not refusal.approval:
                    raise
                self.approval = refusal.approval
        if is_order_id(order) and order not in state.ids and not self._strict:
            found.append(self._lift_beforehand(order))
        return found

    def _lift_beforehand(self, order: str) -> str:
        """Lift an order that was given and is not here yet: it may still come, when nobody looks any more."""
        bench = self._ground.bench
        now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
        lifted = issue_resume(
            [order], reason=self._end, who=self._ground.who, source=Source.CLI, now=now, entropy=entropy
        )
        OrderDirectory(bench.state).put(Issuer.open(bench.state).signed(lifted))
        return lifted.id

    def _is_own(self, stop: InForce) -> bool:
        return isinstance(stop, StopOrder) and stop.reason == self._reason

    def _touched(self) -> int | None:
        """When the STOP file was last touched; None where there is none."""
        with suppress(FileNotFoundError):
            return self._file.stat(follow_symlinks=False).st_mtime_ns
        return None
