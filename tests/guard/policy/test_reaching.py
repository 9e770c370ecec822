"""The way to a model's server is the same as long as what it was made of is, and goes when nobody uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.policy import reaching
from guard.policy.load import load
from guard.policy.reaching import Departures, Reach, reach
from guard.upstream.send import ModelServer
from tests.parts.configuration import ModelSpec, write_configuration


def way(directory: Path, before: Reach | None = None) -> Reach:
    config = load(directory)
    return reach(config.models["demo"], config, before)


def edit(directory: Path, change: Callable[[Any], Any]) -> None:
    path = directory / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_configuration(tmp_path, models=[ModelSpec()])
    secret = tmp_path / "secrets" / "upstream"
    secret.write_text("sk-one")
    secret.chmod(0o600)
    edit(tmp_path, lambda model: model["upstream"].update(credential={"file": "secrets/upstream"}))
    return tmp_path


def test_made_of_the_same_it_is_the_same_server(directory: Path) -> None:
    first = way(directory)
    edit(directory, lambda model: model.update(operations=["chat"], allow_keys=["signature"]))
    assert way(directory, first) is first


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: edit(directory, lambda model: model["upstream"].update(url="http://127.0.0.1:10")),
        lambda directory: edit(directory, lambda model: model["upstream"].update(max_idle=3)),
        lambda directory: edit(directory, lambda model: model["upstream"].update(model="other")),
        lambda directory: (directory / "secrets" / "upstream").write_text("sk-two"),
    ],
)
def test_made_of_anything_else_it_is_another_server(directory: Path, change: Callable[[Path], Any]) -> None:
    first = way(directory)
    change(directory)
    assert way(directory, first).server is not first.server


def test_who_is_seen_off_is_closed_after_the_longest_time_of_an_answer(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "GRACE_SECONDS", 0.01)
    edit(
        directory,
        lambda model: model["upstream"].update(total_seconds=0.02, idle_seconds=0.01, first_byte_seconds=0.01),
    )
    closed: list[str] = []

    async def aclose(_: object) -> None:
        closed.append("closed")

    monkeypatch.setattr(ModelServer, "aclose", aclose)

    async def main() -> None:
        departures = Departures()
        departures.see_off(way(directory))
        assert closed == []
        async with asyncio.timeout(30):
            while not closed:  # noqa: ASYNC110 - a timer announces nothing
                await asyncio.sleep(0.002)
        departures.see_off(way(directory))
        await departures.aclose()
        assert closed == ["closed"] * 2
        await departures.aclose()
        assert closed == ["closed"] * 2

    asyncio.run(main())
