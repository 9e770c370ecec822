"""What the engine of a fleet does when its etcd is put back or not what it should be.

Gone, frozen and silent servers are in `test_engine_faults`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guard.state.engine import EngineError, TakenError
from guard.state.etcd_engine import EtcdEngine
from guard.state.etcd_gateway import Cluster
from tests.guard.state.engines import HASTY, PATIENT, etcd, stop, until_answered
from tests.parts.certificates import Authority
from tests.parts.etcd import Etcd
from tests.parts.ports import free_port
from tests.parts.tcp_proxy import TcpProxy


@pytest.fixture(scope="module")
def member() -> Iterator[Etcd]:
    with Etcd() as running:
        yield running


@pytest.fixture
def own() -> Iterator[Etcd]:
    with Etcd() as running:
        yield running


def test_while_no_watch_holds_one_is_begun_a_second(member: Etcd) -> None:
    async def test() -> None:
        with TcpProxy(member.port) as proxy:
            engine = etcd(member, "quiet", proxy.port)()
            proxy.cut()
            proxy.refuse(refusing=True)
            before, began = proxy.connections, time.monotonic()
            for _ in range(30):
                assert await engine.hint(0.001) is False
            assert proxy.connections - before <= 1 + (time.monotonic() - began)
            await engine.aclose()

    asyncio.run(test())


def test_a_watch_that_goes_nowhere_costs_the_hint_and_nothing_else(member: Etcd) -> None:
    async def test() -> None:
        with TcpProxy(member.port) as proxy:
            engine, other = etcd(member, "silent", proxy.port, HASTY)(), etcd(member, "silent")()
            await until_answered(engine.head)
            assert await engine.hint(0.05) is False
            proxy.swallow()
            await other.put(*stop(1))
            assert await engine.hint(0.05) is False
            assert (await until_answered(engine.head)).position == 1
            await engine.aclose()
            await other.aclose()

    asyncio.run(test())


def test_a_history_that_goes_back_is_seen(own: Etcd) -> None:
    async def test() -> None:
        engine = etcd(own, "crash")()
        for number in range(20):
            await engine.put(*stop(number))
        head = await engine.head()
        own.kill()
        kept = own.copy_of_data()
        own.start()
        assert await until_answered(engine.head) == head
        await engine.put(*stop(20))
        newer = await engine.head()
        own.kill()
        own.go_back_to(kept)
        own.start()
        assert await until_answered(engine.head) == head != newer
        assert await engine.put(*stop(21)) == newer.position
        assert (await engine.head()).digest != newer.digest  # another history of the same length
        await engine.aclose()

    asyncio.run(test())


def test_the_next_host_is_asked_where_one_is_not_there(member: Etcd) -> None:
    async def test() -> None:
        cluster = Cluster.parse(member.url("hosts"))
        both = replace(cluster, hosts=(("127.0.0.1", free_port()), *cluster.hosts))
        engine = EtcdEngine(both, None, PATIENT)
        assert await engine.put(*stop(1)) == 1
        await engine.aclose()
        gone = EtcdEngine(replace(cluster, hosts=both.hosts[:1]), None, PATIENT)
        with pytest.raises(EngineError, match="etcd cannot be reached"):
            await gone.head()
        await gone.aclose()

    asyncio.run(test())


def test_a_name_is_free_again_when_its_guard_was_silent_for_long_enough(member: Etcd) -> None:
    async def test() -> None:
        one, other = etcd(member, "names")(), etcd(member, "names")()
        await one.beat("one", "start-1", b"")
        with pytest.raises(TakenError):
            await other.beat("one", "start-2", b"")

        async def until_free() -> None:
            await other.beat("one", "start-2", b"")

        await until_answered(until_free)
        with pytest.raises(TakenError):
            await one.beat("one", "start-1", b"")
        await one.aclose()
        await other.aclose()

    asyncio.run(test())


@pytest.mark.parametrize("key", ["head", "orders/00000000000000000001", "names/one"])
def test_keys_that_somebody_else_wrote_are_an_error_and_not_believed(member: Etcd, key: str) -> None:
    async def test() -> None:
        prefix = f"odd-{key.partition('/')[0]}"
        engine = EtcdEngine(Cluster.parse(member.url(prefix)), None, PATIENT)
        await engine.put(*stop(1))
        await engine.beat("one", "start", b"")

        async def all_of_it() -> None:
            await engine.head()
            await engine.since(0)
            await engine.heard()

        await all_of_it()
        for value in (b"", b"{}", b"\xff", b'{"engine":"x","position":-1,"digest":"00"}', b"x x"):
            await engine._txn([], [{"request_put": {"key": f"{prefix}/{key}".encode(), "value": value}}])
            with pytest.raises(EngineError):
                await all_of_it()
        await engine.aclose()

    asyncio.run(test())


def test_a_user_and_a_password_are_asked_for_and_never_shown(own: Etcd) -> None:
    async def test() -> None:
        own.ask("auth/user/add", {"name": "root", "password": "root-secret"})
        own.ask("auth/user/add", {"name": "guards", "password": "guards-secret"})
        own.ask("auth/role/add", {"name": "guards"})
        # The role may write what lies below its prefix and nothing else.
        span = {"permType": "READWRITE", "key": "ZmxlZXQv", "range_end": "ZmxlZXQw"}  # fleet/ to fleet0
        own.ask("auth/role/grant", {"name": "guards", "perm": span})
        own.ask("auth/user/grant", {"user": "guards", "role": "guards"})
        own.ask("auth/user/grant", {"user": "root", "role": "root"})
        own.ask("auth/enable", {})

        def opened(who: str, prefix: str = "fleet") -> EtcdEngine:
            return EtcdEngine(Cluster.parse(own.url(prefix, who=who)), None, PATIENT)

        engine = opened("guards:guards-secret@")
        assert await engine.put(*stop(1)) == 1
        assert (await engine.beat("one", "start", b"said")).position == 1
        assert [each.replica for each in await engine.heard()] == ["one"]
        engine._gateway._token = engine._watcher._token = "an old one"
        assert (await engine.head()).position == 1
        await engine.hint(2.0)
        assert engine._watcher._token == ""  # the next watch asks for another
        engine._watched = -10.0
        waiting = asyncio.ensure_future(engine.hint(30.0))
        other = opened("guards:guards-secret@")
        await other.put(*stop(2))
        assert await waiting is True
        await other.aclose()
        await engine.aclose()
        for who, prefix, words in (
            ("", "fleet", "etcd refuses kv/txn"),
            ("guards:other-secret@", "fleet", "does not take the user"),
            ("guards:guards-secret@", "elsewhere", "etcd refuses kv/txn"),
        ):
            engine = opened(who, prefix)
            with pytest.raises(EngineError, match=words) as caught:
                await engine.head()
            assert "secret" not in str(caught.value)
            assert "secret" not in repr(engine._gateway._cluster)
            await engine.aclose()

    asyncio.run(test())


def test_over_tls_the_member_must_be_the_one_that_is_trusted(tmp_path: Path) -> None:
    async def test() -> None:
        own, other = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
        issued = own.issue("127.0.0.1")
        with Etcd(tls=(issued.certificate, issued.key)) as member:
            for authority, works in ((own, True), (other, False)):
                context = ssl.create_default_context(cafile=authority.pem)
                engine = EtcdEngine(Cluster.parse(member.url("tls")), context, PATIENT)
                if works:
                    assert (await engine.head()).engine
                else:
                    with pytest.raises(EngineError, match="TLS"):
                        await engine.head()
                await engine.aclose()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("text", "hosts", "prefix"),
    [
        ("https://u:p@etcd/fleet", (("etcd", 2379),), "fleet"),
        ("https://a:1,b:2\n", (("a", 1), ("b", 2)), "guard"),
        ("http://[::1]:5433/", (("::1", 5433),), "guard"),
    ],
)
def test_where_etcd_is_can_be_written_in_these_ways(text: str, hosts: tuple[tuple[str, int], ...], prefix: str) -> None:
    found = Cluster.parse(text)
    assert (found.hosts, found.prefix) == (hosts, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etcd://u:secret@etcd/fleet",
        "https://u@etcd/fleet",
        "https://:secret@etcd/fleet",
        "https://u:secret@/fleet",
        "https://u:secret@etcd:0/fleet",
        "https://u:secret@a,,b/fleet",
        "https://u:secret@etcd/fleet?x=1",
        "https://u:secret@etcd/fleet/more",
        "https://u:secret@etcd/../secret",
    ],
)
def test_anything_else_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - that the words hold no secret is what is tested
        Cluster.parse(text)
    assert "secret" not in str(caught.value)
