"""From the section fleet to an engine: what cannot be used is named with its place, and no secret is shown."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from guard.policy.load import load
from guard.policy.source import ConfigError
from guard.serve.engines import open_engine
from guard.state.engine import StateEngine
from guard.state.etcd_engine import EtcdEngine
from guard.state.postgres_engine import PostgresEngine
from guard.state.shared_directory import SharedDirectory
from tests.parts.certificates import Authority
from tests.parts.configuration import ModelSpec
from tests.parts.fleets import write_replica


def opened(directory: Path, dsn: str = "", **fleet: Any) -> StateEngine:
    write_replica(directory, "one", [ModelSpec()], dsn=dsn, **fleet)
    config = load(directory)
    assert config.guard.fleet is not None
    return open_engine(config.guard.fleet, directory, partial(config.problem, "guard.yaml"))


def test_each_engine_is_opened_without_connecting(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path / "a", folder=tmp_path / "shared"), SharedDirectory)
    assert isinstance(opened(tmp_path / "b", "postgresql://u:p@127.0.0.1:1,localhost:2/fleet"), PostgresEngine)
    assert isinstance(opened(tmp_path / "c", "http://127.0.0.1:1,localhost:2/fleet", engine="etcd"), EtcdEngine)
    assert not (tmp_path / "shared").exists()


def test_over_tls_a_database_may_be_elsewhere_and_trust_is_in_what_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.issue("guard.example")
    tls = {"ca": str(authority.pem), "client_certificate": str(own.certificate), "client_key": {"file": str(own.key)}}
    engine = opened(tmp_path / "a", "postgresql://u:p@db.example/fleet", tls=tls)
    assert isinstance(engine, PostgresEngine)
    assert engine._tls is not None
    assert engine._tls.check_hostname
    assert len(engine._tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("dsn", "tls", "said"),
    [
        ("postgresql://u:the-secret@db.example/fleet", None, r"fleet\.database: is not on this host, so it needs"),
        ("postgresql://u:the-secret@127.0.0.1,db.example/fleet", None, r"fleet\.database: is not on this host"),
        ("http://u:the-secret@127.0.0.1/fleet", None, r"fleet\.database: must begin with postgresql://"),
        ("postgresql://u:the-secret@127.0.0.1/fleet", {"ca": "none.pem"}, r"fleet\.tls\.ca: none\.pem "),
        ("postgresql://u:the-secret@127.0.0.1/fleet", {"ca": "tiers.yaml"}, r"fleet\.tls\.ca: is not a file of cert"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(
    tmp_path: Path, dsn: str, tls: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"guard\.yaml:\d+: {said}") as caught:
        opened(tmp_path, dsn, **({} if tls is None else {"tls": tls}))
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:the-secret@127.0.0.1/fleet", "must begin with https://"),
        ("http://u:the-secret@etcd.example/fleet", "is not on this host, so it needs fleet.tls"),
        (
            "https://u:the-secret@127.0.0.1/fleet",
            "must begin with https:// where there is fleet.tls, else with http://",
        ),
    ],
)
def test_what_cannot_be_used_of_etcd_is_named_as_well(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"guard\.yaml:\d+: fleet\.database: {said}") as caught:
        opened(tmp_path, url, engine="etcd")
    assert "the-secret" not in str(caught.value)
