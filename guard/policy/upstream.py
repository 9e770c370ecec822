"""The section upstream of a model's file: where its inference server is, whom to trust there, how long it may take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from guard.policy.fields import (
    LAX,
    BasePath,
    Frozen,
    Host,
    Line,
    MisplacedError,
    Pathname,
    Seconds,
    UpstreamUrl,
)
from guard.policy.secret_ref import SecretRef


class ServerKind(StrEnum):
    """Which inference server answers."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    TGI = "tgi"
    OLLAMA = "ollama"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class UpstreamTls(Frozen):
    """Whom an https address must prove to be, and what the guard shows there; nothing is read from the environment."""

    ca: Pathname | None = Field(
        default=None, description="PEM certificates, the only ones trusted; null trusts those of the system."
    )
    client_certificate: Pathname | None = Field(
        default=None, description="The guard's own certificate chain in PEM; null shows none."
    )
    client_key: SecretRef | None = Field(default=None, description="Its private key in PEM, not encrypted.")
    server_name: Host | None = Field(
        default=None, description="The name its certificate must have; null means the host of the URL."
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> UpstreamTls:
        if self.client_certificate is None and self.client_key is not None:
            raise MisplacedError("needs client_certificate", "client_key")
        if self.client_certificate is not None and self.client_key is None:
            raise MisplacedError("needs client_key", "client_certificate")
        return self


class Abort(Frozen):
    """How the server is asked to stop generating what a stop has cut; its own request id goes with each request."""

    path: BasePath = Field(default="/abort_request", description="Where, below the server's base path.")
    seconds: Annotated[Seconds, Field(le=30)] = Field(
        default=2.0, description="How long that may take; nothing waits for it, and what fails is counted."
    )


class Upstream(Frozen):
    """The inference server of one model and how long it may take."""

    url: UpstreamUrl = Field(
        description="Its base URL, http://…, https://… or unix:/path/of/its.socket; the guard calls fixed paths there."
    )
    base_path: BasePath | None = Field(
        default=None, description="What precedes those paths on a Unix socket, such as /v1; a URL has its own."
    )
    tls: UpstreamTls | None = Field(
        default=None, description="For https only; null trusts the system's certificates and shows none."
    )
    kind: Annotated[ServerKind, LAX] = Field(description="Which server it is.")
    model: Line = Field(description="The name that server knows the model by.")
    expect_model: Line | None = Field(
        default=None,
        description="The model that answers must name before any text, or they are withheld; null checks nothing.",
    )
    abort: Abort | None = Field(
        default=None,
        description="For sglang: it is asked besides to stop generating what a stop has cut. null, and for every other "
        "server: the connection is closed, which is done in any case and stops those that notice it.",
    )
    credential: SecretRef | None = Field(default=None, description="Sent as a bearer token; null sends none.")
    connect_seconds: Seconds = Field(default=5.0, description="How long connecting may take.")
    first_byte_seconds: Seconds = Field(default=60.0, description="How long the first byte may take.")
    idle_seconds: Seconds = Field(default=60.0, description="The longest silence within an answer.")
    total_seconds: Seconds = Field(default=600.0, description="How long the whole answer may take.")
    max_idle: int = Field(default=32, description="Connections kept open for reuse.", ge=0, le=10_000)
    rest_seconds: float = Field(
        default=0.05, description="How long a connection must have been silent before it is used again.", ge=0, le=60
    )

    @model_validator(mode="after")
    def _fits_its_url(self) -> Upstream:
        if self.tls is not None and urlsplit(self.url).scheme != "https":
            raise MisplacedError("is only for a URL that begins with https://", "tls")
        if self.base_path is not None and urlsplit(self.url).scheme != "unix":
            raise MisplacedError("is only for a Unix socket; write it into the URL", "base_path")
        if self.abort is not None and self.kind is not ServerKind.SGLANG:
            raise MisplacedError("is only for sglang: the others stop when the connection closes", "abort")
        return self
