"""The section fleet of guard.yaml: the engine that shares stop orders, and how long a replica may be without it."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError, Name, Pathname, Url, unique
from guard.policy.secret_ref import SecretRef


class FleetEngine(StrEnum):
    """What shares the orders."""

    POSTGRES = "postgres"
    ETCD = "etcd"
    FOLDER = "folder"


class ServerTls(Frozen):
    """Whom a server must prove to be, and what the guard shows there; nothing is read from the environment."""

    ca: Pathname | None = Field(
        default=None, description="PEM certificates, the only ones trusted; null trusts those of the system."
    )
    client_certificate: Pathname | None = Field(
        default=None, description="The guard's own certificate chain in PEM; null shows none."
    )
    client_key: SecretRef | None = Field(default=None, description="Its private key in PEM, not encrypted.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> ServerTls:
        if self.client_certificate is None and self.client_key is not None:
            raise MisplacedError("needs client_certificate", "client_key")
        if self.client_certificate is not None and self.client_key is None:
            raise MisplacedError("needs client_key", "client_certificate")
        return self


class Leases(Frozen):
    """For how many seconds models of a level are served without proof that every stop order is known here.

    After that they are refused, and what runs is cut. What a level has can be made shorter, never longer.
    """

    asl_1: float | None = Field(default=None, description="null: served on, with an alarm.", ge=2, le=86400)
    asl_2: float | None = Field(default=None, description="null: served on, with an alarm.", ge=2, le=86400)
    asl_3: float = Field(default=30.0, description="At most 30.", ge=2, le=30)
    asl_4: float = Field(default=3.0, description="At most 3.", ge=2, le=3)


class PeerConfig(Frozen):
    """Another guard of the fleet, which is told of stops and rules without the engine too."""

    replica: Name = Field(description="Its name in the fleet.")
    admin: Url = Field(
        description="Its admin listener, as this host reaches it: https://host:port, or http:// on this host."
    )

    @model_validator(mode="after")
    def _in_the_clear_only_here(self) -> PeerConfig:
        parts = urlsplit(self.admin)
        if parts.scheme != "https" and not _on_this_host(parts.hostname or ""):
            raise MisplacedError("must begin with https:// where it is not on this host", "admin")
        return self


class FleetConfig(Frozen):
    """Which engine, by which name this guard is known there, and its leases."""

    engine: Annotated[FleetEngine, LAX] = Field(
        description="postgres, etcd; or folder: one that several guards on one host share."
    )
    replica: Name = Field(description="This guard's name in the fleet; no other guard may have it.")
    database: SecretRef | None = Field(
        default=None,
        description="Where postgresql://user:password@host:port/database stands, or for etcd "
        "https://user:password@host:port/prefix; several hosts are separated by commas, and the one that is the "
        "primary, or answers, is used.",
    )
    tls: ServerTls | None = Field(
        default=None,
        description="For postgres and etcd; null speaks in the clear, which only a database on this host may.",
    )
    folder: Pathname | None = Field(default=None, description="For folder: the shared one, on a local file system.")
    peers: Annotated[
        tuple[PeerConfig, ...], Field(max_length=256), AfterValidator(unique("the replica", "replica"))
    ] = Field(
        default=(),
        description="Every guard of the fleet (its own line is passed over), so that a stop or a rule reaches all of "
        "them while the engine is away; each must know the others' `issuers`.",
    )
    peer_tls: ServerTls | None = Field(
        default=None,
        description="Whom peers must prove to be, and what is shown there; null trusts the system's certificates.",
    )
    connect_seconds: float = Field(default=2.0, description="How long connecting may take.", gt=0, le=10)
    answer_seconds: float = Field(default=0.5, description="How long one answer may take.", gt=0, le=5)
    leases: Leases = Field(default_factory=Leases, description="How long levels are served without proof.")

    @model_validator(mode="after")
    def _what_the_engine_needs(self) -> FleetConfig:
        folder = self.engine is FleetEngine.FOLDER
        needed, other = ("folder", "database") if folder else ("database", "folder")
        if getattr(self, needed) is None:
            raise MisplacedError(f"is required for engine {self.engine.value}", needed)
        for key in (other, *(("tls",) if folder else ())):
            if getattr(self, key) is not None:
                raise MisplacedError(f"is not for engine {self.engine.value}", key)
        if self.peer_tls is not None and not self.peers:
            raise MisplacedError("needs peers", "peer_tls")
        return self


def _on_this_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
