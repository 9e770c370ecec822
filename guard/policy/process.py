"""What belongs to the process and not to any model: the file guard.yaml, whose sections are one file here too."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from guard.policy.drills import DrillConfig, DrillPath
from guard.policy.fields import (
    LAX,
    Day,
    Frozen,
    Host,
    Line,
    MisplacedError,
    Name,
    Origin,
    Pathname,
    Port,
    PortlessHost,
    Seconds,
    Sha256,
    SocketPath,
    Url,
    WitnessKey,
    unique,
)
from guard.policy.fleet import FleetConfig
from guard.policy.hooks import MAX_HOOKS, HookAuth, HookConfig
from guard.policy.notify import MAX_RECEIVERS, ReceiverConfig
from guard.policy.response import LegalClock
from guard.policy.roles import OperatorRole
from guard.policy.secret_ref import SecretRef
from guard.policy.sign_in import EmergencyToken, ProxySignIn, SessionLimits
from guard.policy.ssh_key import KeyKind, read_key
from guard.policy.storage import StorageConfig
from guard.policy.timestamp import TimestampConfig


class ClientCertificates(StrEnum):
    """Whether a caller shows a certificate."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


class ListenerTls(Frozen):
    """What a listener proves itself with, and whom it lets in; its files are read again when they change."""

    certificate: Pathname = Field(description="The listener's certificate chain in PEM, its own certificate first.")
    key: SecretRef = Field(description="Its private key in PEM, not encrypted.")
    client_certificates: Annotated[ClientCertificates, LAX] = Field(
        default=ClientCertificates.NONE,
        description="required: nobody is served without one; optional: one that is shown must be valid.",
    )
    client_ca: Pathname | None = Field(
        default=None, description="PEM certificates, the only ones that callers' certificates may come from."
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> ListenerTls:
        asked = self.client_certificates is not ClientCertificates.NONE
        if asked and self.client_ca is None:
            raise MisplacedError("needs client_ca", "client_certificates")
        if not asked and self.client_ca is not None:
            raise MisplacedError("needs client_certificates: required or optional", "client_ca")
        return self


Hosts = Annotated[tuple[PortlessHost, ...], Field(min_length=1, max_length=64), AfterValidator(unique("the host"))]


class Listener(Frozen):
    """Where the guard is reached: at an address and a port, or on a Unix socket."""

    host: Host | None = Field(default=None, description="The address to listen on.")
    port: Port | None = Field(default=None, description="The port; 0 lets the system choose (for tests).")
    unix: SocketPath | None = Field(
        default=None, description="In their place the path of a Unix socket, open to the guard's user and group (0660)."
    )
    tls: ListenerTls | None = Field(default=None, description="TLS 1.2 or newer; null speaks plain HTTP.")
    hosts: Hosts | None = Field(
        default=None, description="The only names a request may ask for in Host, any port; null takes every name."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Listener:
        if self.unix is None:
            for key in ("host", "port"):
                if getattr(self, key) is None:
                    raise MisplacedError("is required, unless there is `unix`", key)
            return self
        for key in ("host", "port", "tls"):
            if getattr(self, key) is not None:
                raise MisplacedError("is not for a Unix socket", key)
        return self

    @property
    def place(self) -> str:
        """The address as it is written, ``host:port`` or ``unix:path``."""
        if self.unix is not None:
            return f"unix:{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in str(self.host) else f"{self.host}:{self.port}"


class Surface(Listener):
    """A named listener for callers."""

    name: Name = Field(description="The name by which model files and records refer to it.")


class AdminToken(Frozen):
    """One person's access to the admin listener, known only by its digest."""

    id: Name = Field(description="The name that records give it; not secret.")
    person: Line = Field(description="The person it belongs to: where there is operators.yaml, an id of that file.")
    role: Annotated[OperatorRole, LAX] = Field(
        description="What it may do, by the table of roles in the README; one of the person's in operators.yaml."
    )
    digest: Sha256 = Field(description="HMAC-SHA256 of the token under the pepper, in hexadecimal.")
    expires: Day = Field(description="The first day on which it is refused (from 00:00 UTC).")


class AdminConfig(Listener):
    """The admin listener and who may use it."""

    tokens: Annotated[
        tuple[AdminToken, ...],
        Field(max_length=1000),
        AfterValidator(unique("the id", "id")),
        AfterValidator(unique("the digest", "digest")),
    ] = Field(description="The tokens; with none, no person can stop a model over this listener.")
    hooks: Annotated[
        tuple[HookConfig, ...], Field(max_length=MAX_HOOKS), AfterValidator(unique("the name", "name"))
    ] = Field(default=(), description="Webhooks of alerting and chat, below `/v1/hooks/`; they stop and never resume.")
    sessions: SessionLimits = Field(
        default_factory=SessionLimits, description="How long somebody stays signed in on the control page."
    )
    proxy: ProxySignIn | None = Field(default=None, description="A proxy that signs people in; null: tokens alone.")
    emergency_tokens: Annotated[
        tuple[EmergencyToken, ...],
        Field(max_length=100),
        AfterValidator(unique("the id", "id")),
        AfterValidator(unique("the hash", "sha256")),
    ] = Field(default=(), description="Tokens that only stop, and whose use is told to everybody.")

    @model_validator(mode="after")
    def _certificates_are_asked_for(self) -> AdminConfig:
        asked = self.tls is not None and self.tls.client_certificates is not ClientCertificates.NONE
        for index, hook in enumerate(self.hooks):
            if hook.proof is HookAuth.CERTIFICATE and not asked:
                raise MisplacedError("needs client_certificates in the listener's `tls`", "hooks", index, "auth")
        return self


class WitnessConfig(Frozen):
    """A witness on another machine, which cosigns heads of the log that go on from those it has seen."""

    url: Url = Field(description="Where it is asked: `/add-checkpoint` is put behind it.")
    key: WitnessKey = Field(description="The key that it prints when it begins.")


class AuditConfig(Frozen):
    """How the request log is sealed against changes afterwards."""

    origin: Origin | None = Field(
        default=None, description="The name that signed heads give the log; null makes one from its key."
    )
    signing_key: SecretRef | None = Field(
        default=None,
        description="The log's Ed25519 key in PEM; null keeps one in the folder of state, made at the first start.",
    )
    checkpoint_seconds: Seconds = Field(default=1.0, description="How often what is new comes under a signed head.")
    epoch_seconds: float = Field(
        default=3600.0, description="How long one epoch's key signs before it is erased.", ge=60, le=86400
    )
    record_days: int | None = Field(
        default=None,
        description="For how many whole days the records of requests are kept, by `guard audit retain`; then only the "
        "hash of each stays, on which proofs stand. null keeps them for ever.",
        ge=183,
        le=36500,
    )
    witnesses: Annotated[tuple[WitnessConfig, ...], Field(max_length=8), AfterValidator(unique("the key", "key"))] = (
        Field(default=(), description="Who is asked to cosign each new head; requests never wait for them.")
    )
    timestamp: TimestampConfig | None = Field(
        default=None, description="Who stamps heads with the time (RFC 3161); null: nobody. Requests never wait for it."
    )


class KeyStorage(Frozen):
    """How stored digests of keys and tokens are made."""

    pepper: SecretRef = Field(description="The secret behind every stored digest.")


class ContentKeys(Frozen):
    """What the texts of the request log are sealed with; without this section no model may keep any."""

    key: SecretRef = Field(
        description="Wraps the data keys: 32 random bytes as 64 lower-case hexadecimal digits. Whoever has it and the "
        "folder below can read every kept text, and without it none can be read."
    )
    wrapped: Pathname = Field(
        description="The folder of the wrapped data keys, one for each owner, retention class and day: not within the "
        "request log, so that copies of the log tell nothing."
    )
    investigator: Pathname | None = Field(
        default=None,
        description="The public key (X25519, PEM) of whoever reads texts elsewhere: the keys are wrapped to it too, "
        "and after their day this host can no longer open them.",
    )


class RequestLimits(Frozen):
    """Bounds on what one caller may send and on how many are served at once."""

    body_bytes: int = Field(default=4_194_304, description="The longest request body.", ge=1024, le=268_435_456)
    header_bytes: int = Field(default=32_768, description="All header lines together.", ge=1024, le=1_048_576)
    concurrent: int = Field(default=2000, description="Exchanges at once per worker.", ge=1, le=100_000)
    concurrent_per_key: int = Field(
        default=500, description="Exchanges and half-sent requests of one key at once, per worker.", ge=1, le=100_000
    )
    header_seconds: Seconds = Field(default=10.0, description="How long the headers may take to arrive.")
    body_seconds: Seconds = Field(default=30.0, description="How long the body may take to arrive.")


class Supervision(Frozen):
    """When the supervisor steps in."""

    deaf_seconds: Seconds = Field(
        default=5.0,
        description="A worker silent for so long is killed and replaced; 1 s at most from ASL-3 on.",
    )
    drain_seconds: Seconds = Field(default=30.0, description="How long running streams may finish after SIGTERM.")


class LogLevel(StrEnum):
    """Which lines of the log are written."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Telemetry(Frozen):
    """Logs and traces."""

    log: Annotated[LogLevel, LAX] = Field(default=LogLevel.INFO, description="The lowest level written.")
    otlp_endpoint: Url | None = Field(default=None, description="Where traces are sent; null turns tracing off.")
    trace_ratio: float = Field(default=0.01, description="The share of exchanges that is traced.", ge=0, le=1)


def _issuer(line: str) -> str:
    if read_key(line).kind is not KeyKind.ED25519:
        raise ValueError("must be the line of another host's issuer.pub, which is an ssh-ed25519 key")
    return line


IssuerLine = Annotated[str, Field(max_length=4096), AfterValidator(_issuer)]


class GuardConfig(Frozen):
    """The file guard.yaml; what has a default here weakens no safeguard."""

    version: Literal[1] = Field(description="The version of this file's form.")
    surfaces: Annotated[tuple[Surface, ...], AfterValidator(unique("the name", "name"))] = Field(
        description="The listeners for callers, at least one.", min_length=1, max_length=64
    )
    workers: int = Field(default=1, description="Worker processes.", ge=1, le=256)
    storage: StorageConfig = Field(description="Where the guard writes.")
    audit: AuditConfig = Field(default_factory=AuditConfig, description="How the request log is sealed.")
    keys: KeyStorage = Field(description="How keys are kept.")
    content: ContentKeys | None = Field(
        default=None, description="How kept texts are sealed; null: no model keeps any."
    )
    admin: AdminConfig = Field(description="The admin listener.")
    issuers: Annotated[tuple[IssuerLine, ...], Field(max_length=1000), AfterValidator(unique("the key"))] = Field(
        default=(), description="Hosts whose resume orders count here too: the line of each one's STATE/issuer.pub."
    )
    fleet: FleetConfig | None = Field(
        default=None, description="Where stop orders are shared with other guards; null: this host has its own."
    )
    drills: DrillConfig | None = Field(
        default_factory=DrillConfig,
        description="How the kill switch is tried, again and again, on a model of its own; null: it is not.",
    )
    limits: RequestLimits = Field(default_factory=RequestLimits, description="Bounds on requests.")
    supervision: Supervision = Field(default_factory=Supervision, description="When the supervisor steps in.")
    signed_bundle: bool = Field(
        default=False,
        description="Whether two people must sign a whole configuration before it comes into force: `guard approval`.",
    )
    telemetry: Telemetry = Field(default_factory=Telemetry, description="Logs and traces.")
    clocks: Annotated[tuple[LegalClock, ...], Field(max_length=64), AfterValidator(unique("the name", "name"))] = Field(
        default=(), description="Within what time who outside must be told of an incident; counsel decides which apply."
    )

    notify: Annotated[
        tuple[ReceiverConfig, ...], Field(max_length=MAX_RECEIVERS), AfterValidator(unique("the name", "name"))
    ] = Field(default=(), description="Who is told when something is stopped, resumed or found.")

    @model_validator(mode="after")
    def _addresses_apart(self) -> GuardConfig:
        taken = {self.admin.place} if self.admin.port != 0 else set()
        for index, surface in enumerate(self.surfaces):
            if surface.place in taken:
                key = "port" if surface.unix is None else "unix"
                raise MisplacedError("is already the address of another listener", "surfaces", index, key)
            if surface.port != 0:
                taken.add(surface.place)
        return self

    @model_validator(mode="after")
    def _drilled_by_paths_there_are(self) -> GuardConfig:
        drills = self.drills
        if drills is not None and self.fleet is None and "paths" in drills.model_fields_set:
            for index, path in enumerate(drills.paths):
                if path is DrillPath.ENGINE:
                    raise MisplacedError("is a path of a fleet, and there is no `fleet`", "drills", "paths", index)
        return self

    @model_validator(mode="after")
    def _keys_apart(self) -> GuardConfig:
        if self.content is not None:
            for folder in filter(None, (self.storage.audit, self.storage.audit_second, self.storage.state)):
                if PurePosixPath(self.content.wrapped).is_relative_to(PurePosixPath(folder)):
                    raise MisplacedError(f"must lie outside {folder}", "content", "wrapped")
        return self

    @model_validator(mode="after")
    def _fleet_apart(self) -> GuardConfig:
        if self.fleet is not None and self.fleet.folder is not None:
            folder, state = PurePosixPath(self.fleet.folder), PurePosixPath(self.storage.state)
            if folder.is_relative_to(state) or state.is_relative_to(folder):
                raise MisplacedError(
                    f"must lie outside {self.storage.state}, which is this guard's own", "fleet", "folder"
                )
        return self
