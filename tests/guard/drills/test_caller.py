"""A caller knows that its request runs: by its first text, or, where none comes, by the model that holds it."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.drills.caller import Caller
from guard.drills.forms import EVERY_FORM, FORMS, TICK
from guard.drills.lifting import lift
from guard.drills.ways import by_order
from guard.state.scope import Scope
from safeguards.scope import Operation
from tests.guard.drills.stage import standing
from tests.parts.upstream import STREAM_HEAD, chunk, text


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


def test_a_stream_is_left_quietly_in_the_turn_in_which_more_of_it_comes(tmp_path: Path) -> None:
    async def run() -> None:
        loop, wrong = asyncio.get_running_loop(), list[dict[str, Any]]()
        loop.set_exception_handler(lambda _, context: wrong.append(context))
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(tmp_path / "door"))
            door.listen()
            door.setblocking(False)
            async with Caller(str(tmp_path / "door"), "", time.monotonic) as caller:
                held = caller.hold(FORMS[Operation.CHAT])
                line, _ = await loop.sock_accept(door)
                with line:
                    await loop.sock_sendall(line, STREAM_HEAD + chunk(text(TICK)))
                    await held.released()
                    line.send(chunk(text(TICK)))
                    await asyncio.sleep(0)  # what has come is seen in this turn, after what goes on here
                    await held.aclose()
        assert wrong == []

    asyncio.run(run())
