"""In which bands a model's measured values must stay, and when people look at the bands again (row C9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from guard.policy.evidence import midnight
from guard.policy.fields import LAX, Day, Frozen, MisplacedError, unique


class Measure(StrEnum):
    """What the guard counts of each model, as a share of all; what an order refused or blocked counts in none of them.

    ``block_rate``: exchanges that a safeguard ended, prompt or answer. ``hit_rate``: judgements of the model's
    classifiers that objected, also in shadow and also because the classifier failed, so on every rung alike.
    ``denial_rate``: exchanges without the right or beyond the rate. ``error_rate``: exchanges that failed.
    ``unscanned_rate``: exchanges that passed without every required check.
    """

    BLOCK_RATE = "block_rate"
    HIT_RATE = "hit_rate"
    DENIAL_RATE = "denial_rate"
    ERROR_RATE = "error_rate"
    UNSCANNED_RATE = "unscanned_rate"


class Then(StrEnum):
    """What happens when a value leaves its band."""

    STOP = "stop"
    STEP_DOWN = "step_down"
    ALARM = "alarm"


class Band(Frozen):
    """One value, the range in which it must stay, and what happens when it does not; both ends are within."""

    value: Annotated[Measure, LAX] = Field(
        description="block_rate, hit_rate, denial_rate, error_rate or unscanned_rate: a share from 0 to 1."
    )
    window_seconds: int = Field(description="Over how much of the past it is measured.", ge=1, le=86400)
    min: float = Field(
        default=0.0, description="The least it may be: a rate that is too low is news as well.", ge=0, le=1
    )
    max: float = Field(default=1.0, description="The most it may be.", ge=0, le=1)
    at_least: int = Field(
        description="How many exchanges (hit_rate: judgements) it takes to say anything.", ge=1, le=10**9
    )
    then: Annotated[Then, LAX] = Field(
        description="step_down: the model goes a rung down its ladder; stop: it is stopped; alarm: it is only said."
    )

    @property
    def name(self) -> str:
        """How metrics and records call it: no other band of the model has this value over this window."""
        return f"{self.value.value} over {self.window_seconds} s"

    def holds(self, value: float) -> bool:
        """Whether a value lies within."""
        return self.min <= value <= self.max

    @model_validator(mode="after")
    def _bounds_something(self) -> Band:
        if self.max < self.min:
            raise MisplacedError("must not be less than `min`", "max")
        if self.min <= 0 and self.max >= 1:
            raise MisplacedError("must leave some value outside, or `min` must", "max")
        return self


class Monitoring(Frozen):
    """The bands of a model, and when people last looked whether they are still the right ones."""

    bands: Annotated[
        tuple[Band, ...],
        Field(min_length=1, max_length=32),
        AfterValidator(unique("the value with this window", "value", "window_seconds")),
    ] = Field(description="The bands, at least one; no value twice over the same window.")
    reviewed: Day = Field(description="The day on which people last reviewed them against what was measured.")
    review_every_days: int = Field(description="Within how many days they do so again.", ge=1, le=366)

    @property
    def begins(self) -> datetime:
        """From when on the last review counts."""
        return midnight(self.reviewed)

    @property
    def due(self) -> datetime:
        """From when on the next review is late."""
        return midnight(self.reviewed) + timedelta(days=self.review_every_days)


FINDS = frozenset({Measure.BLOCK_RATE, Measure.HIT_RATE})


def why_not_monitored(monitoring: Monitoring | None, at: datetime) -> str | None:
    """Say why a model does not count as monitored at an instant (row C9), or nothing.

    Without a band for what the safeguards find, the rest says little about risk.
    """
    if monitoring is None:
        return "monitoring declares no band in which measured values must stay"
    if not any(band.value in FINDS for band in monitoring.bands):
        return "monitoring has no band for block_rate or hit_rate"
    if at < monitoring.begins:
        return f"monitoring.reviewed ({monitoring.reviewed}) is in the future"
    if at >= monitoring.due:
        return f"the bands of monitoring were to be reviewed by {monitoring.due.date()}"
    return None
