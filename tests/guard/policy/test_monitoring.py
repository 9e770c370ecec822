"""A band bounds something, no value is declared twice over one window, and reviews have their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from guard.policy.monitoring import Monitoring, why_not_monitored

BAND: dict[str, Any] = {"value": "block_rate", "window_seconds": 60, "max": 0.1, "at_least": 20, "then": "stop"}
WHOLE: dict[str, Any] = {"bands": (BAND,), "reviewed": "2026-06-01", "review_every_days": 30}
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def of(*bands: dict[str, Any], **changes: Any) -> Monitoring:
    return Monitoring.model_validate({**WHOLE, "bands": tuple({**BAND, **each} for each in bands), **changes})


def test_both_ends_of_a_band_are_within() -> None:
    (band,) = of({"min": 0.05}).bands
    assert [band.holds(value) for value in (0.04, 0.05, 0.07, 0.1, 0.11)] == [False, True, True, True, False]


def test_a_value_may_stand_over_several_windows_and_its_name_tells_them_apart() -> None:
    assert [band.name for band in of({}, {"window_seconds": 3600}).bands] == [
        "block_rate over 60 s",
        "block_rate over 3600 s",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max": 1.0},
        {"max": 0.1, "min": 0.2},
        {"max": 1.1},
        {"min": -0.1},
        {"value": "mood"},
        {"then": "resume"},
        {"at_least": 0},
        {"window_seconds": 0},
        {"window_seconds": 60.5},
        {"window_seconds": 86_401},
        {"also": 1},
    ],
)
def test_a_band_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        of(wrong)


@pytest.mark.parametrize("wrong", [{"bands": ()}, {"bands": (BAND, BAND)}, {"review_every_days": 0}, {"reviewed": 1}])
def test_a_declaration_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        Monitoring.model_validate({**WHOLE, **wrong})


def test_a_model_is_monitored_from_the_review_until_the_next_is_late() -> None:
    monitoring = of({})
    assert why_not_monitored(monitoring, JUNE) is None
    assert why_not_monitored(monitoring, JUNE + timedelta(days=30, seconds=-1)) is None
    assert "by 2026-07-01" in str(why_not_monitored(monitoring, JUNE + timedelta(days=30)))
    assert "future" in str(why_not_monitored(monitoring, JUNE - timedelta(seconds=1)))


def test_bands_that_say_nothing_of_what_safeguards_find_are_not_enough() -> None:
    assert why_not_monitored(None, JUNE)
    assert why_not_monitored(of({"value": "error_rate"}, {"value": "denial_rate"}), JUNE)
    assert why_not_monitored(of({"value": "error_rate"}, {"value": "hit_rate"}), JUNE) is None
