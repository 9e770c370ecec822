"""A receiver has the one address that its kind has, and hears what it asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guard.policy.notify import Occasion, ReceiverConfig

GIVEN: dict[str, Any] = {
    "name": "chat",
    "kind": "generic",
    "url": "https://x.example/hook",
    "credential": {"file": "secrets/chat"},
    "on": ("stop",),
}


def test_whoever_hears_of_stops_hears_of_trips_and_of_nothing_else() -> None:
    settings = ReceiverConfig.model_validate(GIVEN)
    assert {each for each in Occasion if settings.hears(each)} == {Occasion.STOP, Occasion.TRIP}
    trips = ReceiverConfig.model_validate({**GIVEN, "on": ("trip", "lease")})
    assert {each for each in Occasion if trips.hears(each)} == {Occasion.TRIP, Occasion.LEASE}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": None},
        {"kind": "grafana", "url": None},
        {"kind": "slack"},
        {"url": "https://user:word@x.example"},
        {"url": "https://x.example/?token=1"},
        {"on": ()},
        {"on": ("stop", "stop")},
        {"on": ("lunch",)},
        {"kind": "pager"},
        {"credential": None},
        {"timeout_seconds": 0},
        {"timeout_seconds": 61},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        ReceiverConfig.model_validate({**GIVEN, **wrong})
