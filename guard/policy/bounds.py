"""What a standard may ask of the request log: how long texts are kept, how far copies may lag."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from guard.policy.fields import LAX, Frozen, MisplacedError
from guard.policy.mount import MAX_DAYS, WhenBehind


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
