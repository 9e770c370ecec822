"""What a standard may ask of how long texts are kept: no shorter than this, no longer than that."""

from __future__ import annotations

from pydantic import Field, model_validator

from guard.policy.fields import Frozen, MisplacedError
from guard.policy.mount import MAX_DAYS


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
