"""What every engine with a server does when that is gone, frozen or silent: one suite for PostgreSQL and etcd."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from guard.state.engine import EngineError, StateEngine
from guard.state.places import Patience
from tests.guard.state.engines import HASTY, PATIENT, etcd, postgres, stop, until_answered
from tests.parts.etcd import Etcd
from tests.parts.postgres import Postgres
from tests.parts.tcp_proxy import TcpProxy


@dataclass(frozen=True, slots=True)
class Place:
    """A server of its own, and what opens an engine on it."""

    server: Postgres | Etcd

    def engine(self, patience: Patience = PATIENT, port: int | None = None) -> StateEngine:
        """Open one, perhaps through another port."""
        if isinstance(self.server, Etcd):
            return etcd(self.server, "faults", port, patience)()
        return postgres(self.server, port, patience)()


@pytest.fixture(params=[Postgres, Etcd])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with request.param() as running:
        yield Place(running)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]  # each is a coroutine function


def test_a_connection_that_goes_nowhere_is_given_up_and_a_new_one_is_made(place: Place) -> None:
    async def test() -> None:
        with TcpProxy(place.server.port) as proxy:
            engine = place.engine(HASTY, proxy.port)
            await until_answered(lambda: engine.put(*stop(1)))
            proxy.swallow()
            with pytest.raises(EngineError, match="does not answer in time"):
                await engine.head()
            assert (await until_answered(engine.head)).position == 1
            assert proxy.connections >= 2
            await engine.aclose()

    run(test)


def test_a_server_that_takes_connections_and_says_nothing_is_an_error_in_time(place: Place) -> None:
    async def test() -> None:
        with TcpProxy(place.server.port) as proxy:
            engine = place.engine(HASTY, proxy.port)
            proxy.refuse(refusing=True)
            with pytest.raises(EngineError, match="does not answer in time"):
                await engine.head()
            proxy.refuse(refusing=False)
            await until_answered(engine.head)
            await engine.aclose()

    run(test)


def test_a_frozen_server_is_an_error_in_time_and_what_was_durable_is_there_when_it_thaws(place: Place) -> None:
    async def test() -> None:
        engine = place.engine(HASTY)
        await until_answered(lambda: engine.put(*stop(1)))
        place.server.signal(signal.SIGSTOP)
        try:
            for _ in range(3):
                with pytest.raises(EngineError):
                    await engine.beat("one", "start", b"")
        finally:
            place.server.signal(signal.SIGCONT)
        await until_answered(lambda: engine.put(*stop(2)))
        assert (await until_answered(engine.head)).position == 2
        await engine.aclose()

    run(test)


def test_after_a_crash_of_the_server_every_order_that_was_put_is_there(place: Place) -> None:
    async def test() -> None:
        engine = place.engine()
        for number in range(20):
            await engine.put(*stop(number))
        head = await engine.head()
        place.server.kill()
        with pytest.raises(EngineError, match="cannot be reached"):
            await engine.head()
        place.server.start()
        assert await until_answered(engine.head) == head
        assert len(await engine.since(0)) == 20
        await engine.aclose()

    run(test)
