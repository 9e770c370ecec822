"""A stop from end to end on a real worker: every operation, what is spared, and each thing that may go wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard.drills.exercise import Acts, Exercise
from guard.drills.forms import FORMS
from guard.drills.lifting import lift
from guard.drills.result import DrillError, Failure, Times
from guard.drills.ways import by_file, by_order
from guard.state.scope import Scope
from safeguards.kill_switch import KillSwitch
from safeguards.scope import Operation
from safeguards.verdict import PASS, Cleared
from tests.guard.drills.stage import Standing, standing

SELF_TEST = Scope.parse("model:guard-selftest")


def acts(here: Standing, scope: Scope = SELF_TEST, **more: Any) -> Acts:
    """Stop by an order file, and resume."""
    bench = here.ground.bench

    async def stop() -> str:
        return await by_order(bench, scope, "drill")

    async def resume() -> str:
        return ", ".join(await asyncio.to_thread(lift, bench, "drill"))

    return Acts(**{"stop": stop, "resume": resume, **more})


def failing(exercise: Exercise) -> Any:
    """Run one that is to fail."""

    async def run() -> DrillError:
        try:
            await exercise.run()
        except DrillError as failed:
            return failed
        raise AssertionError("it succeeded")

    return run()


def test_every_operation_is_cut_refused_and_served_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            for way, names in ((by_order, True), (by_file, False)):

                async def stop(way: Any = way) -> str:
                    return str(await way(here.ground.bench, SELF_TEST, "drill"))

                (times,) = await Exercise(here.stage(tuple(Operation)), acts(here, stop=stop, names_order=names)).run()
                assert times.worker == "0"
                assert None not in (times.cut, times.refused, times.resumed)
            assert lift(here.ground.bench, "nothing is left") == ()

    asyncio.run(run())


def test_what_a_stop_does_not_cover_goes_on_and_is_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            nothing = Scope.parse("version:guard-selftest/another")
            exercise = Exercise(here.stage((), tuple(Operation)), acts(here, nothing))
            await exercise.run()
            cut = Exercise(here.stage((), (Operation.CHAT,)), acts(here))
            failed = await failing(cut)
            assert failed.failure is Failure.NOT_SPARED
            lift(here.ground.bench, "after")

    asyncio.run(run())


def test_a_kill_switch_that_passes_everything_fails_the_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the mount switched off, a drill would find out, though the worker still cuts what runs."""
    monkeypatch.setattr(KillSwitch, "admit", lambda _, __: PASS)
    monkeypatch.setattr(KillSwitch, "watch", lambda _, __, channel: Cleared(channel.end))

    async def run() -> None:
        async with standing(tmp_path) as here:
            failed = await failing(Exercise(here.stage((Operation.CHAT,)), acts(here)))
            assert (failed.failure, failed.why) == (Failure.NOT_REFUSED, "worker 0, chat: it was served")
            assert failed.times[0].cut is not None

    asyncio.run(run())


def test_a_worker_that_never_looks_for_orders_fails_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KillSwitch, "admit", lambda _, __: PASS)
    monkeypatch.setattr(KillSwitch, "watch", lambda _, __, channel: Cleared(channel.end))

    async def run() -> None:
        async with standing(tmp_path, obeys=False) as here:
            exercise = Exercise(here.stage((Operation.CHAT,), deadline=2.0), acts(here))
            failed = await failing(exercise)
            assert (failed.failure, failed.times) == (Failure.NOT_CUT, (Times("0"),))
            assert failed.order == exercise.order != ""

    asyncio.run(run())


def test_a_way_that_gives_no_stop_and_one_that_lifts_none_are_told_apart(tmp_path: Path) -> None:
    async def broken() -> str:
        raise OSError(28, "No space left on device")

    async def asleep() -> str:
        await asyncio.sleep(60)
        return ""

    async def run() -> None:
        async with standing(tmp_path) as here:
            chat = (Operation.CHAT,)
            failed = await failing(Exercise(here.stage(chat), acts(here, stop=broken)))
            assert (failed.failure, failed.why) == (
                Failure.NOT_ORDERED,
                "OSError (No space left on device)",
            )
            failed = await failing(Exercise(here.stage(chat, deadline=2.0), acts(here, stop=asleep)))
            assert (failed.failure, failed.why) == (Failure.NOT_ORDERED, "the order was not given within 2 s")
            failed = await failing(Exercise(here.stage(chat), acts(here, resume=broken)))
            assert failed.failure is Failure.NOT_RESUMED
            assert failed.times[0].refused is not None
            failed = await failing(Exercise(here.stage(chat), acts(here)))
            assert failed.failure is Failure.NO_STREAM  # what was not resumed is still stopped
            assert "it ended before any text, with stopped" in failed.why
            lift(here.ground.bench, "after")

    asyncio.run(run())


def test_another_order_than_the_drills_own_does_not_pass_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:

            async def lies() -> str:
                await by_order(here.ground.bench, SELF_TEST, "drill")
                return "01ZZZZZZZZZZZZZZZZZZZZZZZZ"

            failed = await failing(Exercise(here.stage((Operation.CHAT,)), acts(here, stop=lies)))
            assert failed.failure is Failure.NOT_REFUSED
            assert failed.why == "worker 0, chat: another order than the drill's was named"
            lift(here.ground.bench, "after")

    asyncio.run(run())


def test_nobody_at_the_door_is_no_stream(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            (tmp_path / "var" / "state" / "run" / "worker-0.sock").unlink()
            failed = await failing(Exercise(here.stage((Operation.CHAT,)), acts(here)))
            assert failed.failure is Failure.NO_STREAM
            assert failed.why.startswith("worker 0, chat: ConnectError (")
            assert FORMS[Operation.CHAT].streams

    asyncio.run(run())


def test_a_change_of_policy_in_the_middle_is_none_of_a_drills_business(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            held = here.caller.hold(FORMS[Operation.CHAT])
            await held.released()
            here.worker.self_test.take(here.worker.config)
            assert (await here.caller.ask(FORMS[Operation.CHAT])).served
            assert not held.over
            (times,) = await Exercise(here.stage((Operation.MESSAGES,)), acts(here)).run()
            assert times.cut is not None
            assert (await held.ended()).code == "stopped"

    asyncio.run(run())


def test_a_way_that_waits_for_workers_who_do_not_obey_is_told_as_what_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            rehearsing = replace(here.ground.bench, rehearsal=True)

            async def rehearsed() -> str:
                await by_order(rehearsing, Scope.parse("operation:chat"), "drill")
                await asyncio.sleep(60)
                return ""

            both = (Operation.CHAT, Operation.MESSAGES)
            failed = await failing(Exercise(here.stage(both, deadline=3.0), acts(here, stop=rehearsed)))
            assert (failed.failure, failed.why) == (Failure.NOT_CUT, "worker 0, messages: not within 3 s")
            assert lift(rehearsing, "after") != ()

    asyncio.run(run())
