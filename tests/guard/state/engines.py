"""Engines to run one suite on, and orders to put into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guard.state.engine import StateEngine
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


def shared(folder: Path) -> Open:
    return lambda: SharedDirectory(folder)


def postgres(server: Postgres, port: int | None = None, patience: Patience | None = None) -> Open:
    return lambda: PostgresEngine(Server.parse(server.dsn(port=port)), None, patience or Patience(2.0, 0.5), "test")


def etcd(server: Etcd, prefix: str, port: int | None = None, patience: Patience | None = None) -> Open:
    url = server.url(prefix, port=port)
    return lambda: EtcdEngine(Cluster.parse(url), None, patience or Patience(5.0, 5.0))


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
