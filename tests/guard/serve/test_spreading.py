"""A policy on its way to workers that a test plays: all or none, and nobody serves by a policy of before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from guard.policy.config import Config
from guard.policy.load import load
from guard.serve import spreading as module
from guard.serve.control import Abandon, Adopt, Adopted, FromSupervisor, Prepare, Prepared
from guard.serve.processes import Standing, WorkerProcess
from guard.serve.spreading import Spreading
from tests.parts.configuration import write_configuration


class Process:
    """One that runs until it is killed."""

    def __init__(self) -> None:
        """Run."""
        self.code: int | None = None

    def poll(self) -> int | None:
        """Its exit code."""
        return self.code

    def kill(self) -> None:
        """End it."""
        self.code = -9


class Floor:
    """Stands for `Tending`: workers that do as ``answers`` says of them."""

    def __init__(self, count: int, digest: str) -> None:
        """So many, serving by this digest."""
        self.said = asyncio.Event()
        self.arrived: Callable[[WorkerProcess], None] = lambda _: None
        self.heard: list[tuple[int, FromSupervisor]] = []
        self.problems: dict[int, tuple[str, ...]] = {}
        self.deaf: set[int] = set()
        self.replaced: list[int] = []
        self.taken: list[str] = []
        self.workers = [self.worker(index, digest) for index in range(count)]
        for each in self.workers:
            each.begun = True

    def worker(self, index: int, digest: str) -> WorkerProcess:
        """One that has been started."""
        nothing: Any = None
        process: Any = Process()
        writer: Any = Writer(self, index)
        return WorkerProcess(index, 0, process, nothing, writer, 0.0, digest)

    def hear(self, worker: WorkerProcess, message: FromSupervisor) -> None:
        """A worker hears this, and does it."""
        self.heard.append((worker.index, message))
        if worker.index in self.deaf:
            return
        if isinstance(message, Prepare):
            worker.prepared = Prepared(message.digest, self.problems.get(worker.index, ()))
            if not worker.begun:
                self.arrived(worker)
        elif isinstance(message, Adopt):
            worker.adopted, worker.digest = Adopted(message.digest, 2), message.digest
        self.said.set()

    @property
    def begun(self) -> list[WorkerProcess]:
        """Those that serve."""
        return [worker for worker in self.workers if worker.begun and worker.process.poll() is None]

    def tell(self, message: FromSupervisor) -> None:
        """All hear this."""
        for worker in self.workers:
            self.hear(worker, message)

    def take(self, _: Config, standing: Standing) -> None:
        """Remember."""
        self.taken.append(standing.digest)

    def replace(self, worker: WorkerProcess, _: str) -> None:
        """End it."""
        worker.process.kill()
        self.replaced.append(worker.index)


class Writer:
    """What is written here was said to a worker."""

    def __init__(self, floor: Floor, index: int) -> None:
        """Of this worker."""
        self.floor, self.index = floor, index


def standing(digest: str) -> Standing:
    return Standing(Path("config"), digest, Path("policy") / digest)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_configuration(tmp_path, workers=3)
    return load(tmp_path)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(writer: Any, message: FromSupervisor) -> None:
        worker = next(each for each in writer.floor.workers if each.writer is writer)
        asyncio.get_running_loop().call_soon(writer.floor.hear, worker, message)

    monkeypatch.setattr(module, "send", send)
    monkeypatch.setattr(module, "PREPARE_SECONDS", 0.2)
    monkeypatch.setattr(module, "ADOPT_SECONDS", 0.2)


def run(test: Callable[[Floor, Spreading], Awaitable[None]]) -> None:
    async def main() -> None:
        floor: Any = Floor(3, "old")
        await test(floor, Spreading(floor, standing("old")))

    asyncio.run(main())


def test_only_when_all_are_ready_is_it_brought_into_force(config: Config) -> None:
    async def test(floor: Floor, spreading: Spreading) -> None:
        assert await spreading.prepare(standing("new")) == ()
        assert [type(message) for _, message in floor.heard] == [Prepare] * 3
        assert floor.taken == []
        assert await spreading.adopt(config, standing("new"), ("demo",)) == ((), 6)
        assert floor.taken == ["new"]
        assert floor.heard[3:] == [(index, Adopt("new", ("demo",))) for index in range(3)]
        assert floor.replaced == []

    run(test)


def test_what_one_worker_cannot_serve_is_abandoned_by_all() -> None:
    async def test(floor: Floor, spreading: Spreading) -> None:
        floor.problems = {1: ("a secret is missing",)}
        assert await spreading.prepare(standing("new")) == ("worker 1: a secret is missing",)
        spreading.abandon(standing("new"))
        assert floor.heard[3:] == [(index, Abandon("new")) for index in range(3)]
        assert {worker.digest for worker in floor.workers} == {"old"}
        assert floor.taken == []

    run(test)


@pytest.mark.parametrize("when", ["prepare", "adopt"])
def test_a_worker_that_says_nothing_is_replaced_and_holds_up_nobody(config: Config, when: str) -> None:
    async def test(floor: Floor, spreading: Spreading) -> None:
        if when == "prepare":
            floor.deaf = {2}
        assert await spreading.prepare(standing("new")) == ()
        floor.deaf = {2}
        assert await spreading.adopt(config, standing("new"), ()) == (("2",), 4)
        assert floor.replaced == [2]

    run(test)


def test_a_worker_that_arrives_during_a_change_waits_and_begins_with_the_new_policy(config: Config) -> None:
    async def test(floor: Floor, spreading: Spreading) -> None:
        assert await spreading.prepare(standing("new")) == ()
        late = floor.worker(0, "old")
        late.prepared = Prepared("old")
        floor.workers[0].process.kill()
        floor.workers[0] = late
        floor.arrived(late)
        assert floor.begun == floor.workers[1:]
        missing, _ = await spreading.adopt(config, standing("new"), ())
        assert missing == ("0",)
        while late.digest != "new":  # noqa: ASYNC110 - a fake announces nothing
            await asyncio.sleep(0.001)
        assert late.begun
        said = [message for index, message in floor.heard if index == 0][-2:]
        assert said == [Prepare("new", "policy/new"), Adopt("new")]

    run(test)


def test_a_worker_that_arrives_begins_and_one_that_cannot_serve_is_replaced() -> None:
    async def test(floor: Floor, _: Spreading) -> None:
        fresh = floor.worker(1, "old")
        floor.workers[1] = fresh
        fresh.prepared = Prepared("old")
        floor.arrived(fresh)
        await asyncio.sleep(0)
        assert fresh.begun
        assert floor.heard == [(1, Adopt("old"))]
        broken = floor.worker(2, "old")
        broken.prepared = Prepared("old", ("no",))
        floor.arrived(broken)
        assert floor.replaced == [2]

    run(test)
