"""One suite for every engine of a fleet: the shared folder, a real PostgreSQL, a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from guard.state.engine import GENESIS, MAX_PAGE, ConflictError, EngineError, Head, StateEngine, TakenError, chain
from guard.state.orders import MAX_ORDER_BYTES
from tests.guard.state.engines import Open, etcd, postgres, rule, shared, stop
from tests.parts.etcd import Etcd
from tests.parts.postgres import Postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture(scope="module")
def member() -> Iterator[Etcd]:
    with Etcd() as running:
        yield running


@pytest.fixture(params=["shared", "postgres", "etcd"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "shared":
        return shared(tmp_path / "shared")
    if request.param == "etcd":
        return etcd(request.getfixturevalue("member"), f"of-{uuid4()}")
    server: Postgres = request.getfixturevalue("server")
    server.sql(
        "fleet",
        "truncate guard.orders, guard.replicas",
        "delete from guard.history",
        "insert into guard.history default values",
    )
    return postgres(server)


def run(test: object) -> None:
    asyncio.run(test)  # type: ignore[arg-type]  # each test hands its own coroutine


async def history(engine: StateEngine) -> Head:
    """Recompute the head from all entries."""
    at = GENESIS
    position = 0
    while page := await engine.since(position):
        for entry in page:
            assert entry.position == position + 1
            at, position = chain(at, entry), entry.position
    return Head((await engine.head()).engine, position, at)


def test_a_new_history_is_empty_and_has_a_name_that_stays(opened: Open) -> None:
    async def test() -> None:
        one, other = opened(), opened()
        head = await one.head()
        assert (head.position, head.digest) == (0, GENESIS)
        assert head.engine
        assert await other.head() == head
        assert await one.since(0) == ()
        await one.aclose()
        await other.aclose()

    run(test())


def test_what_was_put_is_there_for_everybody_in_its_order_and_byte_for_byte(opened: Open) -> None:
    async def test() -> None:
        one, other = opened(), opened()
        orders = [*(stop(number, reason="ünïcode " * 9) for number in (3, 1, 2)), rule(1)]
        assert [await one.put(*order) for order in orders] == [1, 2, 3, 4]
        found = await other.since(0)
        assert [(each.order, each.raw) for each in found] == orders
        assert [each.position for each in await other.since(1)] == [2, 3, 4]
        assert await other.head() == await history(other)
        await one.aclose()
        await other.aclose()

    run(test())


def test_putting_the_same_again_changes_nothing_and_another_text_under_the_id_is_refused(opened: Open) -> None:
    async def test() -> None:
        engine = opened()
        order, raw = stop(1)
        assert await engine.put(order, raw) == 1
        head = await engine.head()
        assert await engine.put(order, raw) == 1
        with pytest.raises(ConflictError):
            await engine.put(order, raw + b" ")
        assert await engine.head() == head
        assert (await engine.since(0))[0].raw == raw
        await engine.aclose()

    run(test())


def test_many_writers_at_once_get_positions_without_gap_and_one_wins_each_id(opened: Open) -> None:
    async def test() -> None:
        engines = [opened() for _ in range(8)]
        await asyncio.gather(*(engine.head() for engine in engines))

        async def write(engine: StateEngine, index: int) -> int:
            for number in range(10):
                await engine.put(*stop(100 * index + number))
            order, raw = stop(9999)
            try:
                await engine.put(order, raw + b" " * index)
            except ConflictError:
                return 0
            return 1

        won = sum(await asyncio.gather(*(write(engine, index) for index, engine in enumerate(engines))))
        assert won == 1
        head = await engines[0].head()
        assert head.position == 81
        assert await history(engines[1]) == head
        for engine in engines:
            await engine.aclose()

    run(test())


def test_a_page_is_bounded_and_the_next_goes_on(opened: Open) -> None:
    async def test() -> None:
        engine = opened()
        count = MAX_PAGE + 3
        writers = [opened() for _ in range(6)]
        orders = [stop(number) for number in range(count)]
        await asyncio.gather(*(write_all(each, orders[index::6]) for index, each in enumerate(writers)))
        first = await engine.since(0)
        assert len(first) == MAX_PAGE
        assert len(await engine.since(MAX_PAGE)) == 3
        for each in (engine, *writers):
            await each.aclose()

    run(test())


async def write_all(engine: StateEngine, orders: list[tuple[str, bytes]]) -> None:
    for order in orders:
        await engine.put(*order)


@pytest.mark.parametrize(
    ("order", "raw"),
    [("../etc", b"x"), ("", b"x"), (stop(1)[0], b""), (stop(1)[0], b"x" * (MAX_ORDER_BYTES + 1)), ("a' --", b"x")],
)
def test_what_is_no_order_is_refused_and_the_engine_goes_on(opened: Open, order: str, raw: bytes) -> None:
    async def test() -> None:
        engine = opened()
        with pytest.raises(EngineError):
            await engine.put(order, raw)
        assert (await engine.head()).position == 0
        assert await engine.put(*stop(1)) == 1
        await engine.aclose()

    run(test())


def test_a_beat_tells_the_others_and_answers_the_head(opened: Open) -> None:
    async def test() -> None:
        one, other = opened(), opened()
        await one.put(*stop(1))
        head = await one.beat("one", "start-1", b"first")
        assert head == await other.head()
        await one.beat("one", "start-1", b"second")
        await other.beat("two", "start-2", b"")
        heard = await other.heard()
        assert [(each.replica, each.report) for each in heard] == [("one", b"second"), ("two", b"")]
        assert all(0.0 <= each.ago < 30.0 for each in heard)
        await one.forget("one")
        assert [each.replica for each in await other.heard()] == ["two"]
        await one.aclose()
        await other.aclose()

    run(test())


def test_a_replicas_name_that_another_guard_has_is_not_proof_for_the_second(opened: Open) -> None:
    async def test() -> None:
        one, other = opened(), opened()
        await one.beat("one", "start-1", b"first")
        with pytest.raises(TakenError):
            await other.beat("one", "start-2", b"intruder")
        assert (await other.heard())[0].report == b"first"
        await other.forget("one")
        assert (await other.beat("one", "start-2", b"successor")).position == 0
        await one.aclose()
        await other.aclose()

    run(test())


@pytest.mark.parametrize("replica", ["", "../a", "a b", "x" * 65])
def test_a_replicas_name_is_bounded(opened: Open, replica: str) -> None:
    async def test() -> None:
        engine = opened()
        with pytest.raises(EngineError):
            await engine.beat(replica, "start", b"")
        assert await engine.heard() == ()
        await engine.aclose()

    run(test())


def test_the_hint_comes_for_what_another_puts(opened: Open) -> None:
    async def test() -> None:
        one, other = opened(), opened()
        await one.head()
        waiting = asyncio.ensure_future(one.hint(30.0))
        await asyncio.sleep(0)
        await other.put(*stop(1))
        assert await waiting is True
        await one.head()
        assert await one.hint(0.01) is False
        await one.aclose()
        await other.aclose()

    run(test())


def test_after_closing_it_can_be_asked_again(opened: Open) -> None:
    async def test() -> None:
        engine = opened()
        await engine.put(*stop(1))
        await engine.aclose()
        assert (await engine.head()).position == 1
        await engine.aclose()

    run(test())
