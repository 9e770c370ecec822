"""The messages of Alertmanager (version 4) and Grafana: groups of alerts.

One alert is known by its fingerprint (its labels) and the moment since when it fires: both stay the same as long as it
fires, however often its sender repeats itself, and the moment is another when it fires anew. Fields that are not used
may be anything, because senders add some with every release and a stop must not be lost for that.
"""

from __future__ import annotations

from typing import Any, Final

from guard.hooks.hook import Hook
from guard.hooks.signal import Signal, shown, text
from guard.wire.strict_json import BadField, parse_object

MAX_ALERTS: Final = 5000
_STATUS: Final = {"firing": True, "resolved": False}


def read_alerts(hook: Hook, body: bytes) -> list[Signal]:
    """Read a group; raises BadField that names the place. An alert that is wrong keeps no other from firing."""
    alerts = parse_object(body).get("alerts")
    if not isinstance(alerts, list) or not 0 < len(alerts) <= MAX_ALERTS:
        raise BadField("alerts", f"must be a list of 1 to {MAX_ALERTS} alerts")
    return [_signal(hook, alert, f"alerts[{index}]") for index, alert in enumerate(alerts)]


def _signal(hook: Hook, alert: Any, place: str) -> Signal:
    try:
        return _understood(hook, alert, place)
    except BadField as wrong:
        return Signal("", False, None, "", wrong=str(wrong))


def _understood(hook: Hook, alert: Any, place: str) -> Signal:
    if not isinstance(alert, dict):
        raise BadField(place, "must be an object")
    status = alert.get("status")
    if not isinstance(status, str) or status not in _STATUS:
        raise BadField(f"{place}.status", "must be firing or resolved")
    labels = alert.get("labels")
    if not isinstance(labels, dict):
        raise BadField(f"{place}.labels", "must be an object")
    annotations = alert.get("annotations")
    summary = annotations.get("summary") if isinstance(annotations, dict) else None
    fingerprint = text(alert.get("fingerprint"), f"{place}.fingerprint")
    since = text(alert.get("startsAt"), f"{place}.startsAt")
    named = None
    if hook.settings.field is not None and hook.settings.field in labels:
        named = text(labels[hook.settings.field], f"{place}.labels.{hook.settings.field}")
    words = shown(labels.get("alertname"), summary)
    return Signal(f"{fingerprint} {since}", _STATUS[status], named, words, status)
