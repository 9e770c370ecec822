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
from tests.guard.drills.stage import Standing, standing


async def held_by_the_model(here: Standing) -> list[str]:
    """What the model says that it holds."""
    road = httpx.AsyncHTTPTransport(uds=str(here.ground.bench.state / "run" / "model-0.sock"))
    async with httpx.AsyncClient(transport=road, base_url="http://model", trust_env=False) as model:
        return list((await model.get("/held")).json())


def test_what_does_not_stream_runs_when_the_model_holds_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            whole = [form for form in EVERY_FORM if not form.streams]
            held = [here.caller.hold(form) for form in whole]
            await asyncio.gather(*(each.released() for each in held))
            assert len(await held_by_the_model(here)) == len(whole) == 7
            assert not any(each.over for each in held)
            await here.caller.release()
            async with asyncio.timeout(30):
                while await held_by_the_model(here):  # noqa: ASYNC110 - the model is told by the guard's leaving
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_what_is_refused_at_the_door_never_ran(tmp_path: Path) -> None:
    async def run() -> None:
        async with standing(tmp_path) as here:
            await by_order(here.ground.bench, Scope.parse("model:guard-selftest"), "drill")
            held = [here.caller.hold(form) for form in EVERY_FORM]
            for each in held:
                with pytest.raises(httpx.RemoteProtocolError, match="it ended before any text, with stopped"):
                    await each.released()
            assert await held_by_the_model(here) == []
            lift(here.ground.bench, "after")

    asyncio.run(run())
