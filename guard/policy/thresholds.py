"""Capability thresholds: what a model's assessments say about each, and which levels that demands (rows A5 to A9).

Whatever is not shown to be ruled out counts as crossed: a threshold nobody assessed, one that cannot be ruled out, and
a finding that has lapsed or is dated in the future.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from guard.policy.evidence import midnight
from guard.policy.fields import LAX, Day, Frozen, Line, MisplacedError
from guard.policy.standard import Axis, Levels, Standard, Threshold

_DAY = timedelta(days=1)


class ThresholdState(StrEnum):
    """What an assessment found."""

    RULED_OUT = "ruled_out"
    CANNOT_RULE_OUT = "cannot_rule_out"
    CROSSED = "crossed"


class Assessment(Frozen):
    """What was found about one threshold; it holds from 00:00 UTC of ``assessed`` until 00:00 UTC of ``expires``."""

    threshold: Line = Field(description="The threshold, as the standard names it.")
    state: Annotated[ThresholdState, LAX] = Field(description="ruled_out, cannot_rule_out or crossed.")
    assessed: Day = Field(description="The first day on which the finding holds (from 00:00 UTC).")
    expires: Day = Field(description="The first day on which it no longer holds; from then on it counts as crossed.")

    @model_validator(mode="after")
    def _in_order(self) -> Assessment:
        if self.expires <= self.assessed:
            raise MisplacedError("must be later than `assessed`", "expires")
        return self


@dataclass(frozen=True, slots=True)
class Resolved:
    """One threshold at an instant: whether it counts as crossed, why, and when a finding that rules it out lapses."""

    threshold: Threshold
    crossed: bool
    why: str
    until: datetime | None

    def beyond(self, levels: Levels) -> Iterator[tuple[Axis, int]]:
        """Yield each axis on which it demands more than is declared, with the level that it demands."""
        for axis in Axis:
            wanted = self.threshold.demands.on(axis)
            if self.crossed and wanted > levels.on(axis):
                yield axis, wanted


def lapses(threshold: Threshold, assessment: Assessment) -> datetime:
    """The instant from which a finding no longer holds: its expiry, or the standard's greatest age if earlier."""
    expires = midnight(assessment.expires)
    if threshold.max_age_days is None:
        return expires
    return min(expires, midnight(assessment.assessed) + timedelta(days=threshold.max_age_days))


def resolve(standard: Standard, assessments: tuple[Assessment, ...], at: datetime) -> tuple[Resolved, ...]:
    """Judge every threshold of a standard at an aware instant."""
    found = {each.threshold: each for each in assessments}
    return tuple(_resolve(each, found.get(each.name), at) for each in standard.thresholds)


def _resolve(threshold: Threshold, assessment: Assessment | None, at: datetime) -> Resolved:
    name = threshold.name
    if assessment is None:
        return Resolved(threshold, True, f"nobody assessed {name}", None)
    if assessment.state is ThresholdState.CROSSED:
        return Resolved(threshold, True, f"{name} is crossed", None)
    if assessment.state is ThresholdState.CANNOT_RULE_OUT:
        return Resolved(threshold, True, f"{name} cannot be ruled out", None)
    begin, end = midnight(assessment.assessed), lapses(threshold, assessment)
    if at < begin:
        return Resolved(
            threshold, True, f"the assessment of {name} is dated in the future ({assessment.assessed})", None
        )
    if at >= end:
        return Resolved(threshold, True, f"the finding that rules out {name} lapsed {days(at - end)} ago", None)
    return Resolved(threshold, False, f"{name} is ruled out until {end.date()}", end)


def days(late: timedelta) -> str:
    """Write a length of time in whole days."""
    number = late // _DAY
    return "less than a day" if number == 0 else "1 day" if number == 1 else f"{number} days"
