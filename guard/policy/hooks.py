"""Webhooks that may stop: who sends them, how they prove it, and the only scopes they may choose among.

A hook can tighten and nothing else (law 5), so its settings say what it may stop, and there are none for resuming.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from guard.policy.fields import (
    LAX,
    Frozen,
    HeaderName,
    JsonPath,
    Line,
    MisplacedError,
    Name,
    ScopeText,
    Word,
    unique,
)
from guard.policy.secret_ref import SecretRef
from guard.state.scope import SCOPE_FORMS

MAX_HOOKS: Final = 64
MAX_SCOPES: Final = 64
MAX_SECRETS: Final = 4


class HookKind(StrEnum):
    """Whose messages they are."""

    ALERTMANAGER = "alertmanager"
    GRAFANA = "grafana"
    PAGERDUTY = "pagerduty"
    SLACK = "slack"
    STANDARD = "standard-webhooks"
    GENERIC = "generic"


class HookAuth(StrEnum):
    """How a sender proves who it is."""

    SIGNATURE = "signature"
    BEARER = "bearer"
    BASIC = "basic"
    CERTIFICATE = "certificate"


_ALERTS: Final = frozenset({HookKind.ALERTMANAGER, HookKind.GRAFANA})
_EVENTS: Final = frozenset({HookKind.PAGERDUTY, HookKind.STANDARD, HookKind.GENERIC})
_SIGNED: Final = frozenset(HookKind) - {HookKind.ALERTMANAGER}
_PLAIN: Final = frozenset({HookKind.ALERTMANAGER, HookKind.GRAFANA, HookKind.GENERIC})
# For which kinds a key means something; of keys that are not here, for all.
_FOR: Final[Mapping[str, frozenset[HookKind]]] = MappingProxyType(
    {
        "field": _ALERTS | _EVENTS,
        "events": _EVENTS,
        "event_field": _EVENTS,
        "id_field": frozenset({HookKind.GENERIC}),
        "signature_header": frozenset({HookKind.GRAFANA, HookKind.GENERIC}),
        "timestamp_header": frozenset({HookKind.GRAFANA, HookKind.GENERIC}),
        "users": frozenset({HookKind.SLACK}),
    }
)
_DEFAULT_EVENTS: Final[Mapping[HookKind, tuple[str, ...]]] = MappingProxyType(
    {HookKind.PAGERDUTY: ("incident.triggered", "incident.reopened"), HookKind.GENERIC: ("stop",)}
)
_DEFAULT_EVENT_FIELDS: Final[Mapping[HookKind, str]] = MappingProxyType(
    {HookKind.PAGERDUTY: "event.event_type", HookKind.STANDARD: "type", HookKind.GENERIC: "event"}
)
_DEFAULT_HEADERS: Final[Mapping[HookKind, str]] = MappingProxyType(
    {HookKind.GRAFANA: "X-Grafana-Alerting-Signature", HookKind.GENERIC: "X-Hub-Signature-256"}
)


Scopes = Annotated[
    tuple[ScopeText, ...], Field(min_length=1, max_length=MAX_SCOPES), AfterValidator(unique("the scope"))
]


class HookConfig(Frozen):
    """One address below ``/v1/hooks/`` of the admin listener."""

    name: Name = Field(description="The last part of its address; records name it `hook:<name>`.")
    kind: Annotated[HookKind, LAX] = Field(description="Whose messages it takes.")
    auth: Annotated[HookAuth | None, LAX] = Field(
        default=None,
        description="How the sender proves itself: by a signature over the body as its kind makes it, a bearer token, "
        "a user and password, or a TLS client certificate. null: `signature`, and `bearer` for alertmanager, which "
        "signs nothing.",
    )
    secrets: Annotated[tuple[SecretRef, ...], Field(max_length=MAX_SECRETS)] = Field(
        default=(),
        description="Each is accepted, so that one can be replaced by the next: signing keys, bearer tokens, or for "
        "`basic` user:password; 16 bytes or more.",
    )
    peer: Line | None = Field(
        default=None, description="For `certificate`: the SPIFFE id or subject, as the log names it."
    )
    scopes: Scopes = Field(description=f"All that it may stop, each one of {SCOPE_FORMS}.")
    field: JsonPath | None = Field(
        default=None,
        description="What chooses among them: the name of an alert's label, or the path to a field of the body, such "
        "as `data.scope`. null: there is one scope, and every firing stops it.",
    )
    values: (
        Annotated[
            Mapping[Word, ScopeText], Field(max_length=1000), AfterValidator(MappingProxyType), PlainSerializer(dict)
        ]
        | None
    ) = Field(
        default=None,
        description="What the field's values stand for, where they are not scopes themselves: `demo: model:demo`.",
    )
    default: ScopeText | None = Field(
        default=None, description="What is stopped where a message says no scope; null: nothing, and it is counted."
    )
    events: Annotated[tuple[Word, ...] | None, Field(max_length=64)] = Field(
        default=None,
        description="Which events stop; others are recorded. null: for pagerduty incident.triggered and "
        "incident.reopened, for generic `stop`.",
    )
    event_field: JsonPath | None = Field(
        default=None, description="Where the event stands. null: event.event_type, type, and event for generic."
    )
    id_field: JsonPath = Field(default="id", description="Where the id of a generic message stands.")
    signature_header: HeaderName | None = Field(
        default=None,
        description="Where the signature stands. null: X-Grafana-Alerting-Signature, X-Hub-Signature-256 for generic.",
    )
    timestamp_header: HeaderName | None = Field(
        default=None,
        description="Where the time stands that is signed with the body (`<seconds>:<body>`); with it a message is "
        "taken for five minutes only. null: the body alone is signed.",
    )
    users: Annotated[tuple[Word, ...] | None, Field(min_length=1, max_length=1000)] = Field(
        default=None, description="The ids of the people of Slack who may stop; null: everybody in the workspace."
    )

    @property
    def proof(self) -> HookAuth:
        """How its sender proves itself."""
        if self.auth is not None:
            return self.auth
        return HookAuth.BEARER if self.kind is HookKind.ALERTMANAGER else HookAuth.SIGNATURE

    @property
    def stopping(self) -> tuple[str, ...]:
        """The events that stop."""
        return _DEFAULT_EVENTS.get(self.kind, ()) if self.events is None else self.events

    @property
    def event_path(self) -> str:
        """Where the event stands; empty for kinds without events."""
        return self.event_field or _DEFAULT_EVENT_FIELDS.get(self.kind, "")

    @property
    def signed_in(self) -> str:
        """The header of the signature; empty for kinds whose header is fixed."""
        return self.signature_header or _DEFAULT_HEADERS.get(self.kind, "")

    @property
    def otherwise(self) -> str | None:
        """The scope of a message that says none."""
        return self.scopes[0] if self.default is None and self._fixed else self.default

    @property
    def _fixed(self) -> bool:
        return self.field is None and len(self.scopes) == 1

    @model_validator(mode="after")
    def _fits_its_kind(self) -> HookConfig:
        for key, kinds in _FOR.items():
            if self.kind not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                raise MisplacedError(f"means nothing for a hook of the kind {self.kind.value}", key)
        if self.kind not in (_SIGNED if self.proof is HookAuth.SIGNATURE else _PLAIN):
            raise MisplacedError(f"is not how {self.kind.value} proves itself", "auth")
        if self.proof is not HookAuth.SIGNATURE:
            for key in ("signature_header", "timestamp_header"):
                if getattr(self, key) is not None:
                    raise MisplacedError("needs auth: signature", key)
        certificate = self.proof is HookAuth.CERTIFICATE
        if certificate == bool(self.secrets):
            raise MisplacedError("must be empty for a certificate, and must not be for anything else", "secrets")
        if certificate != (self.peer is not None):
            raise MisplacedError("is for auth: certificate, which needs it", "peer")
        return self

    @model_validator(mode="after")
    def _knows_what_to_stop(self) -> HookConfig:
        if self.field is None and not self._fixed and self.kind is not HookKind.SLACK:
            raise MisplacedError("must be one, unless `field` says what chooses among them", "scopes")
        if self.field is None and self.values and self.kind is not HookKind.SLACK:
            raise MisplacedError("needs `field`", "values")
        if self.kind in _EVENTS and not self.stopping:
            raise MisplacedError("must name the events that stop", "events")
        if self.default is not None and self.default not in self.scopes:
            raise MisplacedError("must be one of `scopes`", "default")
        for word, scope in (self.values or {}).items():
            if scope not in self.scopes:
                raise MisplacedError("must be one of `scopes`", "values", word)
        return self
