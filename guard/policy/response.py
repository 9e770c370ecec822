"""How fast a found weakness must be answered, and what the law asks to be told, when (rows C7, C8, F10)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Alias, Frozen, Line, MisplacedError, Name, unique

SEVERE: Final = 3
_YEAR_HOURS: Final = 8784


class OnOverdue(StrEnum):
    """What happens when the time is over and a surface is not fixed."""

    STOP = "stop"
    STEP_DOWN = "step_down"
    ALARM = "alarm"


class Response(Frozen):
    """The longest time from the discovery of a weakness until every surface is fixed."""

    max_hours: float = Field(description="Hours for any incident.", gt=0, le=_YEAR_HOURS)
    severe_max_hours: float | None = Field(
        default=None, description="Hours from severity 3 on; null: the same.", gt=0, le=_YEAR_HOURS
    )
    on_overdue: Annotated[OnOverdue, LAX] = Field(
        default=OnOverdue.STOP,
        description="Once for each incident: stop: the model is stopped; step_down: it goes to the next rung of its "
        "ladder; alarm: it is only said.",
    )
    trip_from_severity: Annotated[int, Field(ge=0, le=4)] | None = Field(
        default=None,
        description="An incident of this severity or worse takes the model a rung down its ladder, once; what nobody "
        "has judged counts as 4. null: never.",
    )

    @model_validator(mode="after")
    def _severe_is_faster(self) -> Response:
        if self.severe_max_hours is not None and self.severe_max_hours > self.max_hours:
            raise MisplacedError("must not be longer than max_hours", "severe_max_hours")
        return self

    def hours_for(self, severity: int) -> float:
        """The hours for an incident of this severity."""
        return self.severe_max_hours if severity >= SEVERE and self.severe_max_hours is not None else self.max_hours


class Starts(StrEnum):
    """What sets a legal clock going."""

    DISCOVERED = "discovered"
    TRIAGED = "triaged"
    IMMINENT_RISK = "imminent_risk"
    CLOSED = "closed"


class LegalClock(Frozen):
    """A time within which somebody outside must be told; counsel decides which apply."""

    name: Name = Field(description="The name by which `guard incident report` ends it.")
    starts: Annotated[Starts, LAX] = Field(
        description="discovered, triaged, closed, or imminent_risk: from the discovery, once such a risk is stated."
    )
    hours: float = Field(description="Hours until it runs out.", gt=0, le=_YEAR_HOURS)
    from_severity: Annotated[int, Field(ge=0, le=4)] = Field(
        default=0, description="The least severity for which it runs; what nobody has judged counts as 4."
    )
    to: Line = Field(description="Who is told what.")
    source: Line = Field(description="The law or promise it comes from.")
    rows: Annotated[tuple[Alias, ...], AfterValidator(unique("the row"))] = Field(
        default=(), description="The rows of standards that it stands for, such as H4.serious.", max_length=64
    )
