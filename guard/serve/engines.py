"""The engine of a fleet as its configuration names it: secrets read, whom to trust decided, nothing connected yet."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from guard.policy.config import Config
from guard.policy.file import UnreadableError, read_regular
from guard.policy.fleet import FleetConfig, FleetEngine, ServerTls
from guard.policy.secret import read_secret, read_secret_bytes
from guard.policy.source import ConfigError, Place, Problem
from guard.state.engine import StateEngine
from guard.state.etcd_engine import EtcdEngine
from guard.state.etcd_gateway import Cluster
from guard.state.peers import Peer, Peers
from guard.state.places import Patience
from guard.state.shared_directory import SharedDirectory
from guard.upstream.tls import BadTls, client_tls

_MAX_BYTES: Final = 1_048_576
T = TypeVar("T")
Named = Callable[[Place, str], Problem]


def open_engine(fleet: FleetConfig, directory: Path, named: Named) -> StateEngine:
    """Return the engine of this section; raises ConfigError that names what cannot be used.

    ``directory`` is the configuration's, ``named`` makes a problem of a place in guard.yaml and words.
    """
    if fleet.engine is FleetEngine.FOLDER:
        return SharedDirectory(directory / (fleet.folder or ""))
    at = partial(named, ("fleet", "database"))
    assert fleet.database is not None  # noqa: S101 - the section's own check
    patience = Patience(fleet.connect_seconds, fleet.answer_seconds)
    if fleet.engine is FleetEngine.ETCD:
        cluster = _read(Cluster.parse, fleet, directory, at)
        tls = _tls(fleet, directory, named, cluster.hosts)
        if (cluster.scheme == "https") is not (tls is not None):
            raise ConfigError([at("must begin with https:// where there is fleet.tls, else with http://")])
        return EtcdEngine(cluster, tls, patience)
    try:
        from guard.state.postgres_engine import PostgresEngine, Server  # noqa: PLC0415 - an optional part
    except ImportError:
        raise ConfigError([at("needs the extra postgres: pip install 'asl-guard[postgres]'")]) from None
    server = _read(Server.parse, fleet, directory, at)
    context = _tls(fleet, directory, named, server.hosts)
    if context is not None:
        context.set_alpn_protocols(["postgresql"])  # a server of version 17 or newer ends a connection without it
    return PostgresEngine(server, context, patience, f"asl-guard {fleet.replica}"[:63])


def engine_of(config: Config) -> Callable[[], StateEngine] | None:
    """Return what opens the engine that a guard's fleet shares, and raises as `open_engine`; None without a fleet."""
    fleet = config.guard.fleet
    if fleet is None:
        return None
    return partial(open_engine, fleet, config.directory, partial(config.problem, "guard.yaml"))


def open_peers(fleet: FleetConfig, directory: Path, named: Named) -> Peers:
    """Return how the other guards of this section are told; raises ConfigError that names what cannot be used."""
    peers = tuple(Peer(each.replica, each.admin) for each in fleet.peers if each.replica != fleet.replica)
    tls = None if fleet.peer_tls is None else _context(directory, named, fleet.peer_tls, "", ("fleet", "peer_tls"))
    return Peers(peers, tls)


def _read(parse: Callable[[str], T], fleet: FleetConfig, directory: Path, at: Callable[[str], Problem]) -> T:
    assert fleet.database is not None  # noqa: S101 - as above
    try:
        return parse(read_secret(fleet.database, directory, at))
    except ValueError as wrong:
        raise ConfigError([at(str(wrong))]) from None


def _tls(
    fleet: FleetConfig, directory: Path, named: Named, hosts: tuple[tuple[str, int], ...]
) -> ssl.SSLContext | None:
    if fleet.tls is not None:
        return _context(directory, named, fleet.tls, hosts[0][0], ("fleet", "tls"))
    if not all(_here(host) for host, _ in hosts):
        raise ConfigError([named(("fleet", "database"), "is not on this host, so it needs fleet.tls")])
    return None


def _context(directory: Path, named: Named, tls: ServerTls, host: str, where: tuple[str, str]) -> ssl.SSLContext:
    read: dict[str, bytes] = {}
    for key, name in (("ca", tls.ca), ("client_certificate", tls.client_certificate)):
        if name is not None:
            try:
                read[key], _ = read_regular(directory / name, _MAX_BYTES)
            except UnreadableError as error:
                raise ConfigError([named((*where, key), f"{name} {error}")]) from None
    if tls.client_key is not None:
        at = partial(named, (*where, "client_key"))
        read["client_key"] = read_secret_bytes(tls.client_key, directory, at)
    try:
        context = client_tls(host, read.get("ca"), read.get("client_certificate"), read.get("client_key")).context
    except BadTls as wrong:
        raise ConfigError([named((*where, wrong.key), str(wrong))]) from None
    return context


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
