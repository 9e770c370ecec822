"""Messages as the senders of webhooks make and sign them: from their documents, not from the code that reads them.

All fire: they say which scope to stop, and carry an id of their own, so that none passes for another's repetition.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from guard.policy.hooks import HookKind

TIME_HEADER: Final = "x-guard-drill-time"
NAME: Final = "GuardSelfTest"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the body, and the headers that prove it."""

    body: bytes
    headers: Mapping[str, str] = field(repr=False)


def message(kind: HookKind, secret: bytes, scope: str, reason: str, identity: str, now: float) -> Message:
    """Return a message that stops this scope; ``now`` is in seconds since the epoch, ``identity`` printable ASCII."""
    seconds = str(int(now))
    match kind:
        case HookKind.ALERTMANAGER:
            return Message(_alerts(scope, reason, identity, now), {"authorization": f"Bearer {secret.decode('ascii')}"})
        case HookKind.GRAFANA:
            body = _alerts(scope, reason, identity, now)
            signed = _hexed(secret, seconds.encode() + b":" + body)
            return Message(body, {TIME_HEADER: seconds, "x-grafana-alerting-signature": signed})
        case HookKind.PAGERDUTY:
            data = {"id": identity, "type": "incident", "title": reason, "scope": scope}
            event = {"id": identity, "event_type": "incident.triggered", "resource_type": "incident", "data": data}
            body = _json({"event": event})
            return Message(body, {"x-pagerduty-signature": f"v1={_hexed(secret, body)}"})
        case HookKind.SLACK:
            said = {"command": "/guard-stop", "text": f"{scope} {reason}", "user_id": "U0", "trigger_id": identity}
            body = urlencode(said).encode()
            signed = f"v0={_hexed(secret, b':'.join((b'v0', seconds.encode(), body)))}"
            form = {"content-type": "application/x-www-form-urlencoded"}
            return Message(body, {"x-slack-request-timestamp": seconds, "x-slack-signature": signed, **form})
        case HookKind.STANDARD:
            body = _json({"type": "stop", "timestamp": _utc(now), "data": {"scope": scope}})
            content = b".".join((identity.encode(), seconds.encode(), body))
            signed = f"v1,{base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()}"
            return Message(body, {"webhook-id": identity, "webhook-timestamp": seconds, "webhook-signature": signed})
        case HookKind.GENERIC:
            body = _json({"event": "stop", "id": identity, "reason": reason, "scope": scope})
            signed = f"sha256={_hexed(secret, seconds.encode() + b':' + body)}"
            return Message(body, {TIME_HEADER: seconds, "x-hub-signature-256": signed})


def _alerts(scope: str, reason: str, identity: str, now: float) -> bytes:
    """A group of one alert that fires, in the form that Alertmanager gave and Grafana took over."""
    labels = {"alertname": NAME, "scope": scope}
    alert: dict[str, Any] = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": reason},
        "startsAt": _utc(now),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": identity,
    }
    whole = {"version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "guard"}
    common = {"groupLabels": {}, "commonLabels": labels, "commonAnnotations": {}, "externalURL": ""}
    return _json({**whole, **common, "alerts": [alert]})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _hexed(secret: bytes, content: bytes) -> str:
    return hmac.new(secret, content, hashlib.sha256).hexdigest()


def _utc(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
