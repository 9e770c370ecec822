"""Messages that tell of one event: PagerDuty's webhooks V3, Standard Webhooks, and a generic form.

PagerDuty and Standard Webhooks send the same id when they try again, and another for another event. Fields that are not
used may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guard.hooks.hook import Hook
from guard.hooks.signal import Signal, at, shown, text
from guard.policy.model import HookKind
from guard.wire.strict_json import parse_object


def read_event(hook: Hook, body: bytes, signed_id: str) -> Signal:
    """Read one; ``signed_id`` is the id that was signed beside the body. Raises BadField that names the place."""
    settings = hook.settings
    message = parse_object(body)
    event = text(at(message, settings.event_path), settings.event_path)
    if settings.kind is HookKind.PAGERDUTY:
        identity = text(at(message, "event.id"), "event.id")
        words = _incident(message)
    elif settings.kind is HookKind.STANDARD:
        identity, words = signed_id, event
    else:
        identity = text(at(message, settings.id_field), settings.id_field)
        words = shown(message.get("reason")) or event
    firing = event in settings.stopping
    named = None
    # Of an event that stops nothing the scope need not be there.
    if settings.field is not None and firing:
        found = at(message, settings.field)
        named = None if found is None else text(found, settings.field)
    return Signal(identity, firing, named, words, event)


def _incident(message: Mapping[str, Any]) -> str:
    """Name the incident and, where a person acted, the person."""
    title = shown(at(message, "event.data.id"), at(message, "event.data.title"))
    agent = at(message, "event.agent.summary")
    return shown(title, f"by {agent}" if isinstance(agent, str) and agent else "")
