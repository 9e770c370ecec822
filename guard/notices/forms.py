"""A notice in each receiver's own form: the very request that is sent.

| kind | what is posted | how the guard proves itself |
|---|---|---|
| grafana | ``time``, ``timeEnd`` (of what ended), ``tags``, ``text`` to ``/api/annotations`` | bearer token |
| slack | ``{"text": …}`` with ``&``, ``<`` and ``>`` escaped, so that none mentions or links | the address itself |
| generic | ``type``, ``timestamp``, ``data`` | Standard Webhooks: HMAC-SHA256 over id, time and body |
"""

from __future__ import annotations

import base64
import hmac
import html
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from guard.notices.notice import Notice, moment
from guard.policy.notify import ReceiverConfig, ReceiverKind

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_JSON: Final = {"content-type": "application/json", "accept": "application/json"}
MAX_TAG: Final = 100
"""Grafana keeps no longer ones."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver with its credential read: ``url`` and ``secret`` are told to nobody else.

    ``trusted`` says whose certificates count as its own, and ``authorities`` is the SHA-256 of the file of them, empty
    for the system's: one that was renewed under its name makes another receiver.
    """

    settings: ReceiverConfig
    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    trusted: ssl.SSLContext = field(repr=False, compare=False)
    authorities: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """How logs and metrics name it."""
        return self.settings.name


@dataclass(frozen=True, slots=True)
class Post:
    """A request to send."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


def post(receiver: Receiver, notice: Notice, now: float) -> Post:
    """Return what is sent to this receiver at this moment, seconds since the epoch."""
    match receiver.settings.kind:
        case ReceiverKind.GRAFANA:
            return _grafana(receiver, notice)
        case ReceiverKind.SLACK:
            return Post(receiver.url, _JSON, _encode({"text": html.escape(notice.text, quote=False)}))
        case ReceiverKind.GENERIC:
            return _generic(receiver, notice, int(now))


def _grafana(receiver: Receiver, notice: Notice) -> Post:
    begin = notice.at if notice.since is None else notice.since
    words = ["asl-guard", notice.occasion.value, *notice.subject.split(), notice.host]
    body: dict[str, object] = {
        "time": int(begin * 1000),
        "tags": list(dict.fromkeys(word[:MAX_TAG] for word in words if word)),
        "text": html.escape(notice.text),
    }
    if notice.since is not None:
        body["timeEnd"] = int(notice.at * 1000)
    headers = {**_JSON, "authorization": f"Bearer {receiver.secret.decode()}"}
    return Post(f"{receiver.url}/api/annotations", headers, _encode(body))


def _generic(receiver: Receiver, notice: Notice, now: int) -> Post:
    body = _encode({"type": f"guard.{notice.occasion.value}", "timestamp": moment(notice.at), "data": notice.fields()})
    signed = hmac.digest(receiver.secret, f"{notice.id}.{now}.".encode() + body, "sha256")
    headers = {
        **_JSON,
        "webhook-id": notice.id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    return Post(receiver.url, headers, body)
