"""The engine of a fleet over PostgreSQL: one connection, every call bounded, a notification as the hint.

A connection that did not answer in time is thrown away: asyncpg does not notice one that goes nowhere, and its own
listener stays silent then. Only a primary is spoken to. Where several servers stand behind one address, let commits
wait for a second one (``synchronous_standby_names``): then a primary that was cut off cannot confirm a beat, and no
replica believes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import unquote

import asyncpg

from guard.state.engine import MAX_PAGE, MAX_REPORT_BYTES, ConflictError, EngineError, Entry, Head, Heard, TakenError
from guard.state.places import Patience, places_of, url_of

_CHANNEL: Final = "guard_orders"
_MAX_REPLICAS: Final = 1_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is and who asks; ``hosts`` are tried in turn until one is the primary."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    database: str

    @classmethod
    def parse(cls, text: str) -> Server:
        """Read ``postgresql://user:password@host:port,host:port/database``.

        Raises ValueError that names what is wrong and shows nothing of the text, which holds a password.
        """
        parts = url_of(text)
        if parts.scheme not in {"postgresql", "postgres"}:
            raise ValueError("must begin with postgresql://")
        person, at, places = parts.netloc.rpartition("@")
        user, colon, password = person.partition(":")
        database = parts.path.removeprefix("/")
        if not (at and user and colon and password and database) or "/" in database:
            raise ValueError("must be postgresql://user:password@host:port/database")
        return cls(places_of(places, 5432), unquote(user), unquote(password), unquote(database))


class PostgresEngine:
    """Implements `StateEngine`; for one event loop, one call at a time."""

    def __init__(self, server: Server, tls: ssl.SSLContext | None, patience: Patience, name: str) -> None:
        """Take the server, whom to trust there (None: nothing is encrypted), and the name its activity is shown by."""
        self._server = server
        self._tls = tls
        self._patience = patience
        self._name = name
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._grown = asyncio.Event()

    async def put(self, order: str, raw: bytes) -> int:
        """Add an order."""
        position = await self._ask(lambda found: found.fetchval("select guard.put($1, $2)", order, raw))
        if type(position) is not int or position < 1:
            raise EngineError("the database answers no position")
        return position

    async def head(self) -> Head:
        """Answer the head; a standby's is none."""
        row = await self._ask(lambda found: found.fetchrow("select * from guard.head()"))
        if row is None or row["standby"]:
            raise EngineError("the database is a standby, whose head may be old")
        return _head(row)

    async def beat(self, replica: str, incarnation: str, report: bytes) -> Head:
        """Write down what a replica says."""
        if len(report) > MAX_REPORT_BYTES:
            raise EngineError(f"a report of {len(report)} bytes, at most {MAX_REPORT_BYTES}")
        query = "select * from guard.beat($1, $2, $3)"
        row = await self._ask(lambda found: found.fetchrow(query, replica, incarnation, report))
        if row is None:
            raise TakenError
        return _head(row)

    async def since(self, position: int) -> tuple[Entry, ...]:
        """Return a page."""
        query = "select position, id, body from guard.orders where position > $1 order by position limit $2"
        rows = await self._ask(lambda found: found.fetch(query, position, MAX_PAGE))
        return tuple(Entry(row["position"], row["id"], bytes(row["body"])) for row in rows)

    async def heard(self) -> tuple[Heard, ...]:
        """Return what the replicas said."""
        query = (
            "select name, report, extract(epoch from clock_timestamp() - seen)::float8 as ago "
            "from guard.replicas order by name limit $1"
        )
        rows = await self._ask(lambda found: found.fetch(query, _MAX_REPLICAS))
        return tuple(Heard(row["name"], max(0.0, row["ago"]), bytes(row["report"])) for row in rows)

    async def forget(self, replica: str) -> None:
        """Remove what a replica said."""
        await self._ask(lambda found: found.execute("select guard.forget($1)", replica))

    async def hint(self, seconds: float) -> bool:
        """Wait for a notification."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._grown.wait()
        grown = self._grown.is_set()
        self._grown.clear()
        return grown

    async def aclose(self) -> None:
        """Let the connection go at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
            # What asyncpg does in the background after a cancelled query ends with the connection; let it.
            await asyncio.sleep(0)

    async def _ask(self, query: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[T]]) -> T:
        try:
            connection = await self._connected()
            async with asyncio.timeout(self._patience.answer):
                return await query(connection)
        except asyncpg.UniqueViolationError:
            raise ConflictError("another order has this id") from None
        except TimeoutError:
            await self.aclose()
            raise EngineError("the database does not answer in time") from None
        except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError):
            await self.aclose()
            raise EngineError("the database has no tables for orders: run the SQL of `guard state schema`") from None
        except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError) as lost:
            await self.aclose()
            raise EngineError(f"the database cannot be reached: {type(lost).__name__}") from None
        except asyncpg.PostgresError as refused:
            await self.aclose()
            # The words of the server may quote what was sent; the code names the kind.
            raise EngineError(f"the database refuses: {type(refused).__name__} ({refused.sqlstate})") from None
        except asyncpg.TargetServerAttributeNotMatched:
            await self.aclose()
            raise EngineError("no host of the database is a primary") from None
        except ssl.SSLError as problem:
            await self.aclose()
            raise EngineError(f"no TLS with the database: {problem.reason or 'refused'}") from None
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as problem:
            await self.aclose()
            words = problem.strerror if isinstance(problem, OSError) else None
            raise EngineError(f"the database cannot be reached: {words or type(problem).__name__}") from None
        except BaseException:  # cancelled in the middle of an answer: nothing more is read on this connection
            await self.aclose()
            raise

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        milliseconds = str(max(1, int(self._patience.answer * 1000)))
        async with asyncio.timeout(self._patience.connect):
            connection = await asyncpg.connect(
                host=[host for host, _ in self._server.hosts],
                port=[port for _, port in self._server.hosts],
                user=self._server.user,
                password=self._server.password,
                database=self._server.database,
                ssl=self._tls if self._tls is not None else False,
                timeout=self._patience.connect,
                target_session_attrs=asyncpg.connect_utils.SessionAttribute.primary,
                server_settings={
                    "application_name": self._name,
                    "statement_timeout": milliseconds,
                    "lock_timeout": milliseconds,
                    "idle_in_transaction_session_timeout": "5000",
                    "tcp_user_timeout": "10000",
                    "synchronous_commit": "on",
                },
                statement_cache_size=0,  # a pooler in between cannot keep statements, and nothing here repeats often
            )
            self._connection = connection
            await connection.add_listener(_CHANNEL, self._heard)
        return connection

    def _heard(self, *_: object) -> None:
        self._grown.set()


def _head(row: asyncpg.Record) -> Head:
    engine, position, digest = row["engine"], row["head_position"], bytes(row["digest"])
    if not isinstance(engine, str) or not 1 <= len(engine) <= 64 or position < 0 or len(digest) != 32:  # noqa: PLR2004 - SHA-256
        raise EngineError("the database answers no head")
    return Head(engine, position, digest)
