"""Engines to run one suite on, and orders to put into them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from guard.state.engine import EngineError, StateEngine
from guard.state.etcd_engine import EtcdEngine
from guard.state.etcd_gateway import Cluster
from guard.state.orders import Source, encode, issue_resume, issue_rule, issue_stop
from guard.state.places import Patience
from guard.state.postgres_engine import PostgresEngine, Server
from guard.state.rule_text import PushedRule
from guard.state.scope import Scope
from guard.state.shared_directory import SharedDirectory
from safeguards.category import Category
from safeguards.decision import Target
from tests.parts.etcd import Etcd
from tests.parts.postgres import Postgres

Open = Callable[[], StateEngine]
PATIENT: Final = Patience(20.0, 20.0)
HASTY: Final = Patience(0.3, 0.3)
"""So little that a busy machine may need longer for an answer: ask with `until_answered`."""
_T = TypeVar("_T")


async def until_answered(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Ask until there is an answer, for half a minute, and return it."""
    until = time.monotonic() + 30.0
    while True:
        try:
            return await ask()
        except EngineError:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)


def shared(folder: Path) -> Open:
    return lambda: SharedDirectory(folder)


def postgres(server: Postgres, port: int | None = None, patience: Patience | None = None) -> Open:
    return lambda: PostgresEngine(Server.parse(server.dsn(port=port)), None, patience or PATIENT, "test")


def etcd(server: Etcd, prefix: str, port: int | None = None, patience: Patience | None = None) -> Open:
    url = server.url(prefix, port=port)
    return lambda: EtcdEngine(Cluster.parse(url), None, patience or PATIENT)


def stop(number: int, scope: str = "all", reason: str = "a reason") -> tuple[str, bytes]:
    order = issue_stop(
        Scope.parse(scope), reason=reason, who="a person", source=Source.CLI, now=1000.0 + number,
        entropy=number.to_bytes(10, "big"),
    )  # fmt: skip
    return order.id, encode(order)


def rule(number: int) -> tuple[str, bytes]:
    found = PushedRule("marker", Category.OTHER, phrase="FORBIDDEN-MARKER \u00fc \U0001f6d1")
    order = issue_rule(
        Scope.parse("model:demo"), [found], list(Target), reason="seen", who="a person", source=Source.CLI,
        now=1500.0 + number, entropy=number.to_bytes(10, "big"),
    )  # fmt: skip
    return order.id, encode(order)


def resume(number: int, *lifts: str) -> tuple[str, bytes]:
    order = issue_resume(
        lifts, reason="over", who="a person", source=Source.CLI, now=2000.0 + number, entropy=number.to_bytes(10, "big")
    )
    return order.id, encode(order)
