"""What a standard may ask in numbers: how long texts and records are kept, how far copies lag, when who is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError
from guard.policy.mount import MAX_DAYS, WhenBehind
from guard.policy.response import LegalClock, Starts


class Kept(Frozen):
    """Parameters of `retention`: the least and the most days of each class; null sets no bound."""

    content_days: int | None = Field(default=None, description="The least days of texts.", ge=1, le=MAX_DAYS)
    flagged_content_days: int | None = Field(
        default=None, description="The least days of texts that a classifier objected to.", ge=1, le=MAX_DAYS
    )
    most_content_days: int | None = Field(default=None, description="The most days of texts.", ge=1, le=MAX_DAYS)
    most_flagged_content_days: int | None = Field(
        default=None, description="The most days of texts that a classifier objected to.", ge=1, le=MAX_DAYS
    )

    record_days: int | None = Field(
        default=None, description="The least days of records, texts aside; kept for ever is enough.", ge=1, le=MAX_DAYS
    )

    @model_validator(mode="after")
    def _some(self) -> Kept:
        if not self.model_dump(exclude_none=True):
            raise ValueError("must set at least one bound")
        for key in ("content_days", "flagged_content_days"):
            least, most = getattr(self, key), getattr(self, f"most_{key}")
            if least is not None and most is not None and least > most:
                raise MisplacedError(f"must be at least {key}", f"most_{key}")
        return self


class Copied(Frozen):
    """Parameters of `copies`: how far records may lag behind their copies elsewhere, and what must happen then."""

    max_lag_seconds: float = Field(description="The most seconds.", gt=0, le=604_800)
    when_behind: Annotated[WhenBehind, LAX] = Field(
        default=WhenBehind.ALARM, description="refuse: the model must turn new requests away."
    )


class Told(Frozen):
    """Parameters of `reporting_clock`: a clock of guard.yaml that must run for an incident (rows H4, H5, H8, H9)."""

    starts: Annotated[Starts, LAX] = Field(description="What sets it going, at the latest.")
    max_hours: float = Field(description="The most hours until it runs out.", gt=0, le=8784)
    from_severity: int = Field(default=0, description="It must run from this severity on, at the latest.", ge=0, le=4)

    def met_by(self, clock: LegalClock, row: str) -> bool:
        """Whether this clock stands for the row and never runs out later than it allows, for any of its incidents.

        That whom it names is whom the row means, people say by listing the row.
        """
        # Discovery comes before triage, and the clock of imminent risk counts from it: both are covered by it.
        early = {Starts.DISCOVERED} if self.starts is not Starts.CLOSED else set()
        in_time = clock.starts in early | {self.starts} and clock.hours <= self.max_hours
        return row in clock.rows and in_time and clock.from_severity <= self.from_severity


class Drilled(Frozen):
    """Parameters of `drills`: how long may pass between two drills of the kill switch."""

    max_hours: float = Field(description="The most hours from one drill to the next.", gt=0, le=8760)
