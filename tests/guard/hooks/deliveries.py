"""Messages as their senders make and sign them, and hooks without files; written after each sender's documents."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guard.hooks.desk import Act, Desk, Switch
from guard.hooks.hook import Hook
from guard.hooks.receiver import Receiver
from guard.policy.model import HookConfig
from guard.state.merge import State
from guard.state.orders import Source, StopOrder, issue_stop
from guard.state.scope import Scope
from tests.guard.state.parts import merged

NOW = 1_800_000_000.0
SECRET = "a-secret-of-a-hook-0123456789"
OTHER = "another-secret-of-a-hook-0123"
STANDARD_SECRET = "whsec_" + base64.b64encode(SECRET.encode()).decode()
Pair = tuple[bytes, bytes]


def hook(kind: str, *, secrets: Sequence[str] = (SECRET,), **settings: Any) -> Hook:
    """A hook of this kind that may stop model:demo, unless the settings say otherwise."""
    plain: dict[str, Any] = {"name": "test", "kind": kind, "scopes": ("model:demo",), **settings}
    if plain.get("auth") != "certificate":
        plain["secrets"] = tuple({"file": f"secrets/{index}"} for index in range(max(1, len(secrets))))
    if kind == "standard-webhooks":
        plain.setdefault("events", ("stop",))
    return Hook(HookConfig.model_validate(plain), tuple(secret.encode() for secret in secrets))


def hexed(content: bytes, secret: str = SECRET) -> str:
    """HMAC-SHA256 as hexadecimal digits."""
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def headers(**named: str) -> list[Pair]:
    """As the server gives them: names in lower case, hyphens for underscores."""
    return [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in named.items()]


def alert(fingerprint: str = "f1", since: str = "2027-01-15T08:00:00Z", status: str = "firing", **labels: str) -> Any:
    """One alert of a group."""
    return {
        "status": status,
        "labels": {"alertname": "Test", **labels},
        "annotations": {"summary": "a summary"},
        "startsAt": since,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
    }


def group(*alerts: Any, **more: Any) -> bytes:
    """A message of Alertmanager, version 4 of its form."""
    status = "firing" if any(each["status"] == "firing" for each in alerts) else "resolved"
    return json.dumps(
        {
            "receiver": "guard",
            "status": status,
            "alerts": list(alerts),
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager",
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": 0,
            **more,
        }
    ).encode()


@dataclass
class Orders:
    """Implements `guard.hooks.desk.Switch` in memory; ``broken`` is what `stop` raises."""

    stops: list[StopOrder] = field(default_factory=list)
    lifts: list[Any] = field(default_factory=list)
    broken: Exception | None = None
    unreadable: bool = False
    now: float = NOW
    looks: int = 0

    def stop(self, scope: str, reason: str, who: str, entropy: bytes) -> str:
        """Keep it."""
        if self.broken is not None:
            raise self.broken
        order = issue_stop(
            Scope.parse(scope), reason=reason, who=who, source=Source.WEBHOOK, now=self.now, entropy=entropy
        )
        self.stops.append(order)
        return order.id

    def state(self) -> State:
        """All of them."""
        self.looks += 1
        return State() if self.unreadable else merged([*self.stops, *self.lifts])


@dataclass
class Witness:
    """Implements `guard.hooks.receiver.Witness`."""

    seen: list[tuple[bool, tuple[Act, ...]]] = field(default_factory=list)

    def received(self, hook: Hook, acts: Sequence[Act], *, proved: bool) -> None:
        """Remember."""
        self.seen.append((proved, tuple(acts)))

    def results(self) -> list[str]:
        """What became of everything, in order."""
        return [act.result.value for _, acts in self.seen for act in acts]


def no_hooks(switch: Switch) -> Receiver:
    """A receiver without any hook."""
    return Receiver({}, Desk(switch, bytes), Witness(), lambda: NOW)
