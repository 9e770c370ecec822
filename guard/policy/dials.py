"""How wide and how robust the classifiers of a model are said to be, apart from its level (rows A14, C18).

One alias is one policy, so what is declared here holds on every surface of the model; another grade takes another
alias. It is a claim of the operator's: that the classifiers were tested for it is for evidence to show.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from guard.policy.fields import LAX, Frozen, Line, unique

MOST_ROBUST: Final = 3


class Coverage(StrEnum):
    """How wide a range of uses the classifiers cover."""

    NARROW = "narrow"
    EXPANDED = "expanded"


class Dials(Frozen):
    """What a model's file declares."""

    coverage: Annotated[Coverage, LAX] = Field(
        description="narrow, or expanded: a wider range of uses; then every path must be screened on both sides."
    )
    robustness: int = Field(description="The grade for which they were tested, 1 to 3.", ge=1, le=MOST_ROBUST)


class Dialled(Frozen):
    """Parameters of `dials`: the least of each that is asked for, null for none."""

    coverage: Annotated[Coverage, LAX] | None = Field(
        default=None, description="narrow: either word will do, but it must be declared; expanded: that one."
    )
    robustness: int | None = Field(default=None, description="The least grade.", ge=1, le=MOST_ROBUST)
    thresholds: Annotated[tuple[Line, ...], Field(max_length=64), AfterValidator(unique("the threshold"))] = Field(
        default=(), description="It asks only while one of these counts as crossed; empty: always."
    )

    @model_validator(mode="after")
    def _some(self) -> Dialled:
        if self.coverage is None and self.robustness is None:
            raise ValueError("must set coverage or robustness")
        return self
