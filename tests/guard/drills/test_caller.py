"""A caller knows that its request runs: by its first text, or, where none comes, by the model that holds it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from guard.drills.forms import EVERY_FORM
from guard.drills.lifting import lift
from guard.drills.ways import by_order
from guard.state.scope import Scope
from tests.guard.drills.stage import standing


def test_what_does_not_stream_runs_when_the_model_holds_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            whole = [form for form in EVERY_FORM if not form.streams]
            held = [here.caller.hold(form) for form in whole]
            await asyncio.gather(*(each.released() for each in held))
            assert len(whole) == 7
            assert not any(each.over for each in held)
            await by_order(here.ground.bench, Scope.parse("model:guard-selftest"), "drill")
            assert {(await each.ended()).code for each in held} == {"stopped"}
            lift(here.ground.bench, "after")

    asyncio.run(run())


def test_what_is_refused_at_the_door_never_ran(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            await by_order(here.ground.bench, Scope.parse("model:guard-selftest"), "drill")
            held = [here.caller.hold(form) for form in EVERY_FORM]
            for each in held:
                with pytest.raises(httpx.RemoteProtocolError, match="it ended before any text, with stopped"):
                    await each.released()
            lift(here.ground.bench, "after")

    asyncio.run(run())
