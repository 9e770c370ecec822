"""What the engine of a fleet does when its PostgreSQL is not what it should be.

Gone, frozen and silent servers are in `test_engine_faults`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from guard.state.engine import EngineError
from guard.state.places import Patience
from guard.state.postgres_engine import PostgresEngine, Server
from guard.state.postgres_schema import schema
from tests.guard.state.engines import PATIENT, postgres, stop, until_answered
from tests.parts.certificates import Authority
from tests.parts.postgres import GUARDS, Postgres


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def test_a_client_that_freezes_while_it_writes_holds_up_nobody(server: Postgres) -> None:
    """A lock that somebody holds is waited for no longer than an answer may take."""

    async def test() -> None:
        holder = await asyncpg.connect(server.dsn(user="owner"))
        await holder.execute("begin; select * from guard.history for update")
        engine = postgres(server, None, Patience(2.0, 0.3))()
        began = time.monotonic()
        with pytest.raises(EngineError):
            await engine.put(*stop(1))
        assert time.monotonic() - began < 10.0
        assert (await until_answered(engine.head)).position == 0
        await holder.close()
        await until_answered(lambda: engine.put(*stop(1)))
        await engine.aclose()

    asyncio.run(test())


@pytest.mark.parametrize(
    "statement",
    [
        "insert into guard.orders values (1, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'x')",
        "update guard.orders set body = 'x'",
        "delete from guard.orders",
        "truncate guard.orders",
        "update guard.history set position = 0",
        "delete from guard.history",
        "delete from guard.replicas",
        "create table guard.more (x int)",
        "drop function guard.put(text, bytea)",
    ],
)
def test_the_guards_role_can_change_nothing_but_by_the_functions(least: Postgres, statement: str) -> None:
    async def test() -> None:
        guards = await asyncpg.connect(least.dsn())
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await guards.execute(statement)
        await guards.close()

    asyncio.run(test())


@pytest.fixture(scope="module")
def least() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def test_a_database_without_the_tables_says_what_to_run(least: Postgres) -> None:
    async def test() -> None:
        server = Server.parse(least.dsn().replace("/fleet", "/postgres"))
        engine = PostgresEngine(server, None, PATIENT, "test")
        with pytest.raises(EngineError, match="guard state schema"):
            await engine.head()

    asyncio.run(test())


def test_a_wrong_password_is_an_error_that_does_not_show_it(least: Postgres) -> None:
    async def test() -> None:
        engine = PostgresEngine(Server.parse(least.dsn(password="other-secret")), None, PATIENT, "test")
        with pytest.raises(EngineError, match="InvalidPasswordError") as caught:
            await engine.head()
        assert "other-secret" not in str(caught.value)
        assert "other-secret" not in repr(engine._server)

    asyncio.run(test())


def test_the_environments_variables_for_postgres_change_nothing(
    least: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        for name, value in (("PGHOST", "203.0.113.1"), ("PGUSER", "x"), ("PGPASSWORD", "x"), ("PGSSLMODE", "require")):
            monkeypatch.setenv(name, value)
        engine = PostgresEngine(Server.parse(least.dsn()), None, PATIENT, "test")
        assert (await engine.head()).engine
        await engine.aclose()

    asyncio.run(test())


def test_over_tls_the_server_must_be_the_one_that_is_trusted(tmp_path: Path) -> None:
    async def test() -> None:
        own, other = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
        issued = own.issue("127.0.0.1")
        with Postgres(tls=(issued.certificate, issued.key)) as server:
            for authority, works in ((own, True), (other, False)):
                context = ssl.create_default_context(cafile=authority.pem)
                engine = PostgresEngine(Server.parse(server.dsn()), context, PATIENT, "test")
                if works:
                    assert (await engine.head()).engine
                else:
                    with pytest.raises(EngineError, match="TLS"):
                        await engine.head()
                await engine.aclose()
            plain = PostgresEngine(Server.parse(server.dsn()), None, PATIENT, "test")
            with pytest.raises(EngineError, match="refuses"):
                await plain.head()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u:p@db/fleet", (("db", 5432),)),
        ("postgresql://u:p@a:1,b:2/fleet\n", (("a", 1), ("b", 2))),
        ("postgres://u:p@[::1]:5433/fleet", (("::1", 5433),)),
        ("postgres://u:p@[::1]/fleet", (("::1", 5432),)),
    ],
)
def test_where_the_database_is_can_be_written_in_these_ways(text: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert Server.parse(text).hosts == hosts


def test_signs_in_a_password_are_written_as_in_any_url() -> None:
    assert Server.parse("postgresql://u:p%40%2F:x@db/fleet").password == "p@/:x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://u:secret@db/fleet",
        "postgresql://u@db/fleet",
        "postgresql://u:secret@db",
        "postgresql://u:secret@/fleet",
        "postgresql://u:secret@db:0/fleet",
        "postgresql://u:secret@db:x/fleet",
        "postgresql://u:secret@a,,b/fleet",
        "postgresql://u:secret@db/fleet?sslmode=disable",
        "postgresql://u:secret@db/fleet/more",
        "postgresql://u:secret@[::1/fleet",
    ],
)
def test_anything_else_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - that the words hold no secret is what is tested
        Server.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("role", ["", "a b", "A", "x;drop", "1a", "a" * 64])
def test_the_name_of_a_role_is_bounded(role: str) -> None:
    with pytest.raises(ValueError, match="role"):
        schema(role)
    assert f"to {GUARDS};" in schema(GUARDS)
