"""The webhooks by which drills come: one of each sender's kind, and none can stop more than the self-test model.

They are there without being configured, so that a drill weakens nothing of an operator's, and their one secret is made
anew at each start. What is drilled is the road from the address to the stop: the listener, each sender's proof and
form, and what acts on it. That a sender of yours has the secret that you gave it, a drill cannot show.
"""

from __future__ import annotations

from typing import Any, Final

from guard.hooks.hook import Hook, Hooks
from guard.policy.model import HookConfig, HookKind
from guard.policy.selftest import hook_of, scopes_of

FIELD: Final = "scope"
TIME_HEADER: Final = "x-guard-drill-time"
EVENT: Final = "stop"
_MADE_AT_START: Final = {"file": "run/admin.json"}
_WAYS: Final[dict[HookKind, dict[str, Any]]] = {
    HookKind.ALERTMANAGER: {"field": FIELD},
    HookKind.GRAFANA: {"field": FIELD, "timestamp_header": TIME_HEADER},
    HookKind.PAGERDUTY: {"field": f"event.data.{FIELD}"},
    HookKind.SLACK: {},
    HookKind.STANDARD: {"field": f"data.{FIELD}", "events": (EVENT,)},
    HookKind.GENERIC: {"field": FIELD, "timestamp_header": TIME_HEADER},
}


def drill_hooks(secret: bytes, release: str) -> Hooks:
    """Return them by name, all with this secret, for the self-test model of this release."""
    found: dict[str, Hook] = {}
    for kind in HookKind:
        name = hook_of(kind)
        settings = {"name": name, "kind": kind, "secrets": (_MADE_AT_START,), "scopes": scopes_of(release)}
        found[name] = Hook(HookConfig.model_validate({**settings, **_WAYS[kind]}), (secret,))
    return found
