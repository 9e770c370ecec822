"""A host and its fleet's engine: what was seen once stays, what was ordered here goes up, and proof needs both.

One file, because every case is the same host before another engine.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.state.directory import OrderDirectory
from guard.state.engine import MAX_PAGE, EngineError, Entry, Head, StateEngine
from guard.state.follower import BEAT_SECONDS, DRILL_SECONDS, HURRY_SECONDS, MAX_STANDING, NOT_YET, Follower
from guard.state.merge import State
from guard.state.orders import Order, ResumeOrder, Source, encode
from guard.state.replicas import MAX_TOLD, Applied, Report
from guard.state.scope import EVERYTHING, Scope
from guard.state.seen import Seen
from guard.state.shared_directory import SharedDirectory
from tests.guard.state.parts import HandClock, of_a_known_host, resume, rule, stop


class Proofs:
    """Remembers the moments of proof."""

    def __init__(self) -> None:
        """None yet."""
        self.moments: list[float] = []

    def renew(self, proof: float) -> None:
        """One more."""
        self.moments.append(proof)


class Host:
    """One replica with its folder, which survives `restart`."""

    def __init__(self, state: Path, engine: StateEngine, name: str = "one") -> None:
        """Begin."""
        self.state = state
        self.directory = OrderDirectory(state)
        self.clock = HandClock()
        self.proofs = Proofs()
        self.woken = 0
        self.applied: tuple[Applied, ...] = ()
        self.told: list[tuple[tuple[str, ...], int, str]] = []
        self.starts = 0
        self.name = name
        self.restart(engine)

    def restart(self, engine: StateEngine) -> None:
        """A new process over what lies on the disk."""
        self.starts += 1
        self.engine = engine
        self.follower = Follower(
            engine, self.directory, Seen(self.state), self.proofs, self.clock, (self.name, "start"), self._report,
            self._fresh,
        )  # fmt: skip

    @property
    def orders(self) -> State:
        """What lies here."""
        return self.directory.snapshot(of_a_known_host)

    async def turn(self) -> str:
        """Go around once, a second later; returns the problem."""
        self.clock.time += BEAT_SECONDS
        try:
            await self.follower.turn()
        except (EngineError, OSError):
            assert self.follower.following.problem
        return self.follower.following.problem

    def _report(self, orders: tuple[str, ...], position: int, trouble: str) -> Report:
        self.told.append((orders, position, trouble))
        return Report(1, position, 2, self.applied, (), trouble)

    def _fresh(self) -> None:
        self.woken += 1


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


class Failing(SharedDirectory):
    """An engine whose calls fail while ``why`` says so."""

    why = ""

    async def beat(self, replica: str, incarnation: str, report: bytes) -> Head:
        """Fail, or do it."""
        if self.why:
            raise EngineError(self.why)
        return await super().beat(replica, incarnation, report)

    async def head(self) -> Head:
        """As `beat`."""
        if self.why:
            raise EngineError(self.why)
        return await super().head()


def test_orders_come_down_byte_for_byte_and_wake_the_workers(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        raw = encode(stop()) + b"\n  "
        await engine.put(stop().id, raw)
        assert await host.turn() == ""
        assert host.directory.bytes_of(stop().id) == raw
        assert host.woken == 1
        assert await host.turn() == ""
        assert host.woken == 1
        assert host.follower.following.position == 1

    run(test)


def test_a_stop_that_stands_is_told_of_however_many_orders_come_after_it(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host, other = Host(tmp_path / "host", engine), Host(tmp_path / "other", engine, "two")
        first, *later = [stop(number=number) for number in range(1, 2 * MAX_TOLD)]
        await engine.put(first.id, encode(first))
        for each in later:
            host.directory.put(each)
        both = resume(*later, number=900)

        async def told() -> list[tuple[str, ...]]:
            for _ in range(2):
                assert [await host.turn(), await other.turn()] == ["", ""]
            return [each.told[-1][0] for each in (host, other)]

        for found in await told():
            assert len(found) == len(set(found))
            assert found[-MAX_STANDING:] == tuple(each.id for each in later[-MAX_STANDING:])
        host.directory.put(both)
        for found in await told():
            assert found[-1] == first.id
            assert both.id in found[-MAX_TOLD:]

    run(test)


def test_what_was_ordered_here_while_the_engine_was_away_goes_up_when_it_is_back(tmp_path: Path) -> None:
    async def test() -> None:
        engine = Failing(tmp_path / "shared")
        host, other = Host(tmp_path / "host", engine), Host(tmp_path / "other", engine, "two")
        engine.why = "away"
        host.directory.put(stop())
        assert await host.turn() == "away"
        assert host.proofs.moments == []
        engine.why = ""
        assert await host.turn() == ""
        await other.turn()
        assert other.orders.ids == {stop().id}
        assert other.directory.bytes_of(stop().id) == encode(stop())

    run(test)


def test_a_drill_stays_on_its_host_and_asks_the_engine_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host, other = Host(tmp_path / "host", engine), Host(tmp_path / "other", engine, "two")
        drill = stop("model:guard-selftest", 1)
        host.directory.put(drill)
        host.directory.put(replace(resume(drill), source=Source.DRILL))
        host.directory.put(stop("model:demo", 2))
        assert await host.turn() == ""
        assert await other.turn() == ""
        assert (await engine.head()).position == 1
        assert other.orders.ids == {stop("model:demo", 2).id}
        assert len(host.orders.ids) == 3

    run(test)


def test_a_drill_that_comes_by_the_engine_is_taken_by_its_own_host_alone_and_while_it_is_new(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host, other = Host(tmp_path / "host", engine), Host(tmp_path / "other", engine, "two")
        own = stop("version:guard-selftest/one", 1000)
        strangers = [stop("model:guard-selftest", 1001), stop("version:guard-selftest/three", 1002)]
        for each in (own, *strangers, stop("model:demo", 1003)):
            await engine.put(each.id, encode(each))
        assert await host.turn() == await other.turn() == ""
        assert host.orders.ids == {own.id, stop("model:demo", 1003).id}
        assert other.orders.ids == {stop("model:demo", 1003).id}
        assert host.woken == 1
        assert own.id not in host.told[-1][0]  # nobody else waits for it
        for one in (host, other):
            (one.state / "orders" / f"{own.id}.json").unlink(missing_ok=True)
            host.clock.time += DRILL_SECONDS
            one.restart(engine)
            assert await one.turn() == ""
            assert one.orders.ids == {stop("model:demo", 1003).id}  # it is over, and nobody wants it back
        assert (await engine.head()).position == 4

    run(test)


def test_a_drill_in_the_place_of_an_order_that_is_held_here_hides_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        real = stop("all", 1000)
        host.directory.put(real)
        await engine.put(real.id, encode(replace(stop("model:guard-selftest", 1000), id=real.id)))
        assert "has another text there than here" in await host.turn()

    run(test)


def test_a_drills_stop_that_is_removed_when_it_was_lifted_is_no_reason_to_read_all_again(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        own = stop("version:guard-selftest/one", 1000)
        await engine.put(own.id, encode(own))
        assert await host.turn() == ""
        lifted = replace(resume(own, number=1001), source=Source.DRILL)
        host.directory.put(lifted)
        assert await host.turn() == ""
        for each in (own, lifted):
            (host.state / "orders" / f"{each.id}.json").unlink()
        assert await host.turn() == ""
        assert host.orders.ids == frozenset()
        assert (await engine.head()).position == 1

    run(test)


def test_a_drill_that_cannot_be_written_here_stops_nothing_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        own = stop("version:guard-selftest/one", 1000)
        await engine.put(own.id, encode(own))
        monkeypatch.setattr(host.directory, "adopt", full)
        assert await host.turn() == "No space left on device"
        assert host.orders.standing == frozenset()

    run(test)


def test_a_stop_that_was_seen_once_holds_without_the_engine_and_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        engine = Failing(tmp_path / "shared")
        await engine.put(stop().id, encode(stop()))
        host = Host(tmp_path / "host", engine)
        await host.turn()
        engine.why = "away"
        host.restart(engine)
        await host.turn()
        assert host.orders.ids == {stop().id}

    run(test)


def test_a_resume_from_elsewhere_means_here_what_it_means_there(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        for order in (stop(), resume(stop())):
            await engine.put(order.id, encode(order))
        await host.turn()
        assert host.orders.still_held(2) == ()
        assert host.orders.still_held(3) == (stop(),)

    run(test)


def test_proof_is_of_the_moment_before_the_engine_was_asked_and_only_a_beat_is_one(tmp_path: Path) -> None:
    async def test() -> None:
        host = Host(tmp_path / "host", SharedDirectory(tmp_path / "shared"))
        await host.turn()
        assert host.proofs.moments == [host.clock.time]
        host.clock.time += BEAT_SECONDS / 4
        await host.follower.turn()
        assert len(host.proofs.moments) == 1
        await host.turn()
        assert len(host.proofs.moments) == 2

    run(test)


def test_no_proof_while_an_order_cannot_be_written_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: a STOP file needs no room, and stops the order's scope until the order itself is there."""

    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        await host.turn()
        await engine.put(stop().id, encode(stop("model:demo")))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(host.directory, "adopt", full)
            words = f"the file orders/STOP.model.demo stops in place of order {stop().id}, which cannot be written"
            assert await host.turn() == f"No space left on device: {words}"
            assert await host.turn() == f"No space left on device: {words}"
            assert host.follower.following.stand_in == words
        assert len(host.proofs.moments) == 1
        assert [str(each.scope) for each in host.orders.still_held(2)] == ["model:demo"]
        assert host.woken == 2
        assert await host.turn() == ""
        assert host.orders.ids == {stop().id}
        assert [path.name for path in host.directory.orders.iterdir()] == [f"{stop().id}.json"]
        assert host.follower.following.stand_in == ""

    run(test)


def test_a_resume_of_a_real_stop_is_shared_though_it_says_that_it_is_a_drills(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        lie = replace(resume(stop("model:demo")), source=Source.DRILL)
        host.directory.put(stop("model:demo"))
        host.directory.put(lie)
        assert await host.turn() == ""
        assert {entry.order for entry in await engine.since(0)} == {stop("model:demo").id, lie.id}

    run(test)


@pytest.mark.parametrize("first", [stop("model:a"), rule("model:a"), resume(stop("model:z", 3))])
def test_what_cannot_be_written_here_hides_no_stop_that_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Order
) -> None:
    """Also on a later page of the history; each file goes when the last order that it stands in for is there."""

    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        later = [stop("model:b", number) for number in range(1_000, 1_000 + MAX_PAGE)]
        orders = [first, *later, rule("model:c", 2_000), stop("all", 2_001), stop("all", 2_002)]
        for order in orders:
            await engine.put(order.id, encode(order))
        adopt, room = host.directory.adopt, {first.id, orders[-2].id}

        def full(order: str, raw: bytes) -> None:
            if order not in room:
                raise OSError(28, "No space left on device")
            adopt(order, raw)

        with monkeypatch.context() as patched:
            patched.setattr(host.directory, "adopt", lambda *_: full("", b""))
            for _ in range(2):
                assert (await host.turn()).startswith("No space left on device: the file orders/STOP")
            a = set() if isinstance(first, ResumeOrder) else {"model:a"}
            assert {str(each.scope) for each in host.orders.still_held(2)} == {*a, "model:b", "model:c", "all"}
            patched.setattr(host.directory, "adopt", full)
            room.update(order.id for order in orders[:-1])
            assert (await host.turn()).startswith("No space left on device: the file orders/STOP")
            files = {path.name for path in host.directory.orders.glob("STOP*")}
            assert files == {"STOP"}
        assert host.proofs.moments == []
        assert await host.turn() == ""
        assert list(host.directory.orders.glob("STOP*")) == []
        assert host.directory.held() == {order.id for order in orders}
        assert host.follower.following.stand_in == ""

    run(test)


def test_what_nobody_can_read_and_cannot_be_written_stops_everything_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        await engine.put(stop().id, b'{"version": 99}')

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(host.directory, "adopt", full)
            await host.turn()
            assert host.orders.ids == {"file:STOP"}

    run(test)


@pytest.mark.parametrize("theirs", ["before", "touched", "tripped"])
def test_a_stop_file_that_is_somebodys_stays_when_the_order_could_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    """Whether it was there before, or somebody wanted the same while it stood in for the order."""

    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        file = host.directory.orders / "STOP.model.demo"
        await engine.put(stop().id, encode(stop("model:demo")))
        if theirs == "before":
            file.touch()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(host.directory, "adopt", full)
            await host.turn()
        if theirs == "touched":
            file.touch()
        elif theirs == "tripped":
            host.directory.trip(Scope.parse("model:demo"))
        host.restart(engine)
        assert await host.turn() == ""
        assert host.orders.ids == {stop().id, "file:STOP.model.demo"}

    run(test)


def test_an_order_that_was_written_and_could_not_be_made_durable_needs_no_stop_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        await engine.put(stop().id, encode(stop("model:demo")))
        adopt = host.directory.adopt

        def unsure(order: str, raw: bytes) -> None:
            adopt(order, raw)
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(host.directory, "adopt", unsure)
            assert (await host.turn()).startswith("Input/output error: the file orders/STOP.model.demo stops ")
        assert await host.turn() == ""
        assert host.orders.ids == {stop().id}

    run(test)


def test_what_nobody_can_read_in_the_history_stops_everything_here(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        await engine.put(stop().id, b'{"version": 99}')
        assert await host.turn() == ""
        (held,) = host.orders.still_held(2)
        assert held.scope == EVERYTHING
        assert host.woken == 1

    run(test)


def test_a_damaged_file_here_is_neither_spread_nor_a_reason_to_doubt_the_engine(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        (host.directory.orders / f"{stop().id}.json").write_bytes(b"damaged")
        (host.directory.orders / "STOP").touch()
        assert await host.turn() == ""
        assert (await engine.head()).position == 0
        await engine.put(stop().id, encode(stop()))
        assert await host.turn() == ""
        assert host.directory.bytes_of(stop().id) == b"damaged"

    run(test)


def test_what_somebody_removes_here_is_written_again_while_the_history_holds_it(tmp_path: Path) -> None:
    async def test() -> None:
        host = Host(tmp_path / "host", SharedDirectory(tmp_path / "shared"))
        for number in (1, 2):
            host.directory.put(stop(number=number))
        await host.turn()
        await host.turn()
        (host.directory.orders / f"{stop(number=1).id}.json").unlink()
        assert await host.turn() == ""
        assert host.orders.ids == {stop(number=n).id for n in (1, 2)}
        assert len(host.proofs.moments) == 3

    run(test)


def went_back(shared: Path, kept: Path) -> None:
    shutil.rmtree(shared)
    shutil.copytree(kept, shared)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_history_that_went_back_lifts_nothing_proves_nothing_and_gets_back_what_is_here(
    tmp_path: Path, *, restarted: bool
) -> None:
    async def test() -> None:
        shared, kept = tmp_path / "shared", tmp_path / "kept"
        engine = SharedDirectory(shared)
        host = Host(tmp_path / "host", engine)
        await engine.put(stop(number=1).id, encode(stop(number=1)))
        await host.turn()
        shutil.copytree(shared, kept)
        await engine.put(stop(number=2).id, encode(stop(number=2)))
        await host.turn()
        proofs = len(host.proofs.moments)
        went_back(shared, kept)
        if restarted:
            host.restart(SharedDirectory(shared))
        assert "went back from position 2 to 1" in await host.turn()
        later = stop(number=3)
        lifting = resume(stop(number=1))
        for order in (later, lifting):
            await engine.put(order.id, encode(order))
        for _ in range(3):
            assert "went back" in await host.turn()
        assert len(host.proofs.moments) == proofs
        assert {each.id for each in host.orders.still_held(2)} == {stop(number=n).id for n in (1, 2, 3)}
        assert stop(number=2).id in {each.order for each in await SharedDirectory(shared).since(0)}
        assert host.told[-1][2].startswith("the history went back")

        # A restart does not make it believed; a person does.
        host.restart(SharedDirectory(shared))
        assert "went back" in await host.turn()
        Seen(host.state).accept()
        assert await host.turn() == ""
        assert len(host.proofs.moments) == proofs + 1
        assert {each.id for each in host.orders.still_held(2)} == {stop(number=n).id for n in (2, 3)}
        assert (await SharedDirectory(shared).head()).position == host.follower.following.position

    run(test)


def test_another_history_is_not_believed(tmp_path: Path) -> None:
    async def test() -> None:
        host = Host(tmp_path / "host", SharedDirectory(tmp_path / "shared"))
        await host.turn()
        host.restart(SharedDirectory(tmp_path / "other"))
        assert "another history answers" in await host.turn()
        assert len(host.proofs.moments) == 1

    run(test)


def test_a_history_that_was_rewritten_is_not_believed_whether_it_grew_or_not(tmp_path: Path) -> None:
    async def test() -> None:
        for grown in (0, 1):
            folder = tmp_path / str(grown)
            engine = SharedDirectory(folder / "shared")
            host = Host(folder / "host", engine)
            await engine.put(stop(number=1).id, encode(stop(number=1)))
            await host.turn()
            name = (folder / "shared" / "engine").read_bytes()
            shutil.rmtree(folder / "shared")
            forged = SharedDirectory(folder / "shared")
            for number in range(7, 8 + grown):
                await forged.put(stop(number=number).id, encode(stop(number=number)))
            (folder / "shared" / "engine").write_bytes(name)
            host.restart(forged)
            assert "was changed at or before position 1" in await host.turn()
            assert len(host.proofs.moments) == 1

    run(test)


def test_one_id_with_two_texts_is_not_believed_and_what_is_here_stays(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        host.directory.put(stop("all"))
        await engine.put(stop().id, encode(replace(stop(), reason="another")))
        assert "has another text there" in await host.turn()
        for _ in range(2):
            assert "has another text there" in await host.turn()
        assert host.directory.bytes_of(stop().id) == encode(stop())
        assert host.proofs.moments == []

    run(test)


class Lying(SharedDirectory):
    """An engine that answers pages as ``lie`` makes them."""

    lie: Callable[[tuple[Entry, ...]], tuple[Entry, ...]] = staticmethod(lambda page: page)

    async def since(self, position: int) -> tuple[Entry, ...]:
        """Lie."""
        return self.lie(await super().since(position))


LIES: dict[str, Callable[[tuple[Entry, ...]], tuple[Entry, ...]]] = {
    "nothing": lambda _: (),
    "a gap": lambda page: page[1:],
    "another order of them": lambda page: page[::-1],
    "twice the same": lambda page: (page[0], page[0]),
    "no id": lambda page: (replace(page[0], order="../../etc/passwd"),),
    "another text": lambda page: tuple(replace(each, raw=encode(stop("key:x", 5))) for each in page),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_engine_that_lies_proves_nothing_before_every_order_is_here(tmp_path: Path, lie: str) -> None:
    async def test() -> None:
        engine = Lying(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        for number in (1, 2):
            await engine.put(stop(number=number).id, encode(stop(number=number)))
        engine.lie = LIES[lie]
        both = {stop(number=number).id for number in (1, 2)}
        for _ in range(4):
            assert await host.turn() or both <= host.orders.ids
            assert not host.proofs.moments or both <= host.orders.ids
        assert {path.parent for path in host.directory.orders.rglob("*")} <= {host.directory.orders}

    run(test)


def test_the_others_are_told_at_once_when_a_worker_obeys(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        host.directory.put(stop())
        host.applied = (Applied(stop().id, 1, ("1",), 0),)
        await host.turn()
        host.applied = (Applied(stop().id, 2, (), 3),)
        assert host.follower._news_here()
        await host.follower.turn()
        (heard,) = await engine.heard()
        assert b'"streams_cut":3' in heard.report
        assert not host.follower._news_here()

    run(test)


def test_an_order_that_a_worker_does_not_obey_is_looked_after_only_while_somebody_may_wait(tmp_path: Path) -> None:
    """A resume that does not count here is never acknowledged, and must not keep the follower busy for ever."""

    async def test() -> None:
        host = Host(tmp_path / "host", SharedDirectory(tmp_path / "shared"))
        host.directory.put(stop())
        host.applied = (Applied(stop().id, 1, ("1",), 0),)
        await host.turn()
        asked = len(host.told)
        assert not host.follower._news_here()
        assert len(host.told) == asked + 1
        host.clock.time += HURRY_SECONDS + 1.0
        assert not host.follower._news_here()
        assert len(host.told) == asked + 1

    run(test)


def test_leaving_means_that_nobody_waits_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        engine = SharedDirectory(tmp_path / "shared")
        host = Host(tmp_path / "host", engine)
        assert host.follower.following.problem == NOT_YET
        await host.turn()
        assert [each.replica for each in await engine.heard()] == ["one"]
        await host.follower.leave()
        assert await engine.heard() == ()

    run(test)


def test_a_damaged_note_of_what_was_seen_is_told_and_nothing_is_proved(tmp_path: Path) -> None:
    async def test() -> None:
        host = Host(tmp_path / "host", SharedDirectory(tmp_path / "shared"))
        (host.state / "fleet").mkdir()
        (host.state / "fleet" / "seen").write_bytes(b"damaged")
        assert "fleet/seen is damaged" in await host.turn()
        assert host.proofs.moments == []

    run(test)


ORDERS: list[Order] = [
    *(stop(number=n) for n in range(1, 5)),
    rule(number=1),
    *(resume(stop(number=n), number=900 + n) for n in (1, 2)),
]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    acts=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([*ORDERS, "turn", "turn", "restart", "away", "back"])), max_size=25
    )
)
def test_whatever_fails_in_between_all_hosts_come_to_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, Order | str]]
) -> None:
    folder = tmp_path_factory.mktemp("fleet")

    async def test() -> None:
        engines = [Failing(folder / "shared") for _ in range(3)]
        hosts = [Host(folder / f"h{index}", engine, f"h{index}") for index, engine in enumerate(engines)]
        ordered = set()
        for index, act in acts:
            host = hosts[index]
            held = set(host.orders.ids)
            match act:
                case "turn":
                    await host.turn()
                case "restart":
                    engines[index] = Failing(folder / "shared")
                    host.restart(engines[index])
                case "away" | "back":
                    engines[index].why = "away" if act == "away" else ""
                case str():
                    raise AssertionError(act)
                case _:
                    host.directory.put(act)
                    ordered.add(act.id)
            assert held <= set(host.orders.ids)  # nothing that is known is ever lost
        for engine in engines:
            engine.why = ""
        for _ in range(2):
            for host in hosts:
                assert await host.turn() == ""
        assert all(host.orders.ids == ordered for host in hosts)

    run(test)
