"""Fleets of real guards on one machine, each with its own folders, over one engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from guard.state.issuer import Issuer
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.ports import free_port
from tests.parts.raw_caller import RawCaller


@dataclass(slots=True)
class Replica:
    """One guard of a fleet."""

    name: str
    config: Path
    credentials: Credentials
    guard: GuardProcess

    @property
    def state(self) -> Path:
        """Where its orders are."""
        return self.config / "var" / "state"

    @property
    def fleet(self) -> Mapping[str, Any]:
        """What its admin API tells of the fleet; empty while it does not answer."""
        return dict(self.status().get("fleet", {}))

    def status(self) -> Mapping[str, Any]:
        """What its admin API tells; empty while it does not answer."""
        try:
            answer = httpx.get(
                f"{self.guard.admin_url}/v1/status",
                headers={"authorization": f"Bearer {self.credentials.viewer}"},
                trust_env=False,
                timeout=5.0,
            )
        except httpx.HTTPError:
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def caller(self) -> RawCaller:
        """A connection of the application's."""
        return RawCaller(self.guard.data[1], self.credentials.key)

    def code(self, model: str) -> str:
        """The code of one small request's refusal; empty when it is answered."""
        with self.caller() as caller:
            caller.ask("hello", stream=False, model=model)
            answer = caller.answer()
            return "" if answer.status == 200 else answer.code


def engine_settings(name: str, *, dsn: str = "", folder: Path | None = None, **more: Any) -> dict[str, Any]:
    """The section fleet of a replica's guard.yaml; the address of a database stands in its secrets."""
    engine = {"engine": "folder", "folder": str(folder)} if folder else {"engine": "postgres"}
    database = {"database": {"file": "secrets/database"}} if dsn else {}
    return {**engine, **database, "replica": name, **more}


def write_replica(
    directory: Path,
    name: str,
    models: Sequence[ModelSpec],
    *,
    workers: int = 2,
    admin_port: int = 0,
    dsn: str = "",
    **fleet: Any,
) -> Credentials:
    """Write the configuration of one replica."""
    credentials = write_configuration(directory, models=models, workers=workers, admin_port=admin_port)
    guard = json.loads((directory / "guard.yaml").read_text())
    guard["fleet"] = engine_settings(name, dsn=dsn, **fleet)
    (directory / "guard.yaml").write_text(json.dumps(guard))
    if dsn:
        secret = directory / "secrets" / "database"
        secret.write_text(dsn + "\n")
        secret.chmod(0o600)
    return credentials


def _acquaint(directories: Sequence[Path]) -> None:
    """Make each replica's key, and let every replica's resumes count on all of them."""
    lines = []
    for directory in directories:
        state = directory / "var" / "state"
        state.mkdir(parents=True, mode=0o700, exist_ok=True)
        Issuer.open(state)
        lines.append((state / "issuer.pub").read_text().strip())
    for directory in directories:
        guard = json.loads((directory / "guard.yaml").read_text())
        (directory / "guard.yaml").write_text(json.dumps({**guard, "issuers": lines}))


@dataclass(slots=True)
class Fleet:
    """Replicas ``r0``, ``r1`` … inside a ``with`` block; entering waits until all serve and know one another."""

    folder: Path
    models: Sequence[ModelSpec]
    dsns: Sequence[str]
    workers: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    acquainted: bool = False
    """Whether each is told of the others' admin listeners."""
    replicas: list[Replica] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Start them."""
        try:
            ports = [free_port() if self.acquainted else 0 for _ in self.dsns]
            peers = [
                {"replica": f"r{index}", "admin": f"http://127.0.0.1:{port}"}
                for index, port in enumerate(ports)
                if port
            ]
            for index, dsn in enumerate(self.dsns):
                directory = self.folder / f"r{index}"
                settings = {**self.settings, "admin_port": ports[index], "peers": peers}
                credentials = write_replica(
                    directory, f"r{index}", self.models, workers=self.workers, dsn=dsn, **settings
                )
                self.replicas.append(Replica(f"r{index}", directory, credentials, GuardProcess(directory)))
            _acquaint([self.folder / f"r{index}" for index in range(len(self.dsns))])
            for each in self.replicas:
                self._stack.push(each.guard)
            with ThreadPoolExecutor() as pool:  # they start at once
                list(pool.map(GuardProcess.__enter__, [each.guard for each in self.replicas]))
            wait_until(self.together, "all know one another")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self._stack.close()

    def together(self) -> bool:
        """Whether every replica is sure of the fleet, has all its workers, and hears all the others."""
        for each in self.replicas:
            fleet = each.fleet
            heard = [other for other in fleet.get("replicas", ()) if not other["silent"]]
            if fleet.get("problem") != "" or len(heard) != len(self.dsns):
                return False
            if each.guard.get("/health/ready").json()["serving"] != self.workers:
                return False
        return True
