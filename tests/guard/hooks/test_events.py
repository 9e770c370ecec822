"""Single events: PagerDuty, Standard Webhooks and the generic form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.hooks.events import read_event
from guard.wire.strict_json import BadField
from tests.guard.hooks.deliveries import hook
from tests.guard.hooks.test_alerts import JSON
from tests.guard.hooks.test_proof import PAGERDUTY_BODY

SERVICE = "event.data.service.id"
DUTY = hook("pagerduty", field=SERVICE, values={"PF9KMXH": "model:demo"})


def pagerduty(event_type: str) -> bytes:
    return PAGERDUTY_BODY.replace(b"incident.priority_updated", event_type.encode())


@pytest.mark.parametrize(
    ("event", "firing"),
    [
        ("incident.triggered", True),
        ("incident.reopened", True),
        ("incident.resolved", False),
        ("incident.acknowledged", False),
        ("pagey.ping", False),
    ],
)
def test_of_pagerduty_a_triggered_or_reopened_incident_stops(event: str, firing: bool) -> None:
    signal = read_event(DUTY, pagerduty(event), "")
    assert signal.firing is firing
    assert signal.event == event
    assert signal.identity == "01BWDWL3NYY7LUFPZCC28QUCMK"
    assert signal.named == ("PF9KMXH" if firing else None)
    assert signal.words == "PGR0VU2: A little bump in the road: by Tenex Engineer"


def test_which_events_stop_can_be_said() -> None:
    one = hook("pagerduty", events=("incident.priority_updated",))
    assert read_event(one, PAGERDUTY_BODY, "").firing
    assert not read_event(one, pagerduty("incident.triggered"), "").firing


def test_standard_webhooks_are_known_by_the_id_that_was_signed() -> None:
    one = hook("standard-webhooks", events=("incident.created",), field="data.scope")
    body = json.dumps({"type": "incident.created", "timestamp": "2027", "data": {"scope": "model:demo"}}).encode()
    signal = read_event(one, body, "msg_1")
    assert (signal.identity, signal.firing, signal.named) == ("msg_1", True, "model:demo")
    assert not read_event(one, body.replace(b"created", b"closed"), "msg_2").firing


def test_a_generic_message_says_where_things_stand() -> None:
    plain = {"id": "7", "event": "stop", "scope": "model:demo", "reason": "why"}
    signal = read_event(hook("generic", field="scope"), json.dumps(plain).encode(), "")
    assert (signal.identity, signal.firing, signal.named, signal.words) == ("7", True, "model:demo", "why")
    own = hook("generic", field="a.b", event_field="what", events=("alarm",), id_field="meta.id")
    body = {"what": "alarm", "meta": {"id": "8"}, "a": {"b": "all"}}
    signal = read_event(own, json.dumps(body).encode(), "")
    assert (signal.identity, signal.firing, signal.named, signal.words) == ("8", True, "all", "alarm")


def test_a_message_without_the_field_names_nothing() -> None:
    signal = read_event(hook("generic", field="scope"), b'{"id": "7", "event": "stop"}', "")
    assert signal.named is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"id": "7"}, "event: must be a text"),
        ({"event": "stop"}, "id: must be a text"),
        ({"event": "stop", "id": 7}, "id: must be a text"),
        ({"event": ["stop"], "id": "7"}, "event: must be a text"),
        ({"event": "stop", "id": "7", "scope": {}}, "scope: must be a text"),
        ({"event": "stop", "id": "7", "scope": ""}, "scope: must be a text"),
        ({"event": "stop", "id": "x" * 1025}, "id: must be a text"),
    ],
)
def test_what_is_missing_is_named(body: dict[str, Any], said: str) -> None:
    with pytest.raises(BadField, match=said):
        read_event(hook("generic", field="scope"), json.dumps(body).encode(), "")


@given(JSON)
def test_whatever_json_comes_it_is_read_or_refused(value: Any) -> None:
    for one in (DUTY, hook("generic", field="scope"), hook("standard-webhooks", field="data")):
        for body in (value, {"event": value, "id": "7", "type": value, "scope": value, "data": value}):
            try:
                signal = read_event(one, json.dumps(body).encode(), "m")
            except BadField as wrong:
                assert str(wrong)  # noqa: PT017 - either is right
            else:
                assert signal.event


@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_refused(body: bytes) -> None:
    with pytest.raises(BadField):
        read_event(DUTY, body, "")
