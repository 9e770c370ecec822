"""The section drills of guard.yaml: how often the kill switch is tried on the self-test model, and by which paths."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from guard.policy.fields import LAX, Frozen, unique


class DrillPath(StrEnum):
    """How a drill gives its stop; the list is closed."""

    ORDER = "order"
    FILE = "file"
    ADMIN = "admin"
    PAGE = "page"
    WEBHOOK = "webhook"
    ENGINE = "engine"


class DrillConfig(Frozen):
    """When drills are made, how long one may take, and when one is late."""

    every_seconds: float = Field(
        default=3600.0, description="How often a stop is drilled, give or take a tenth.", ge=60, le=604_800
    )
    lease_every_seconds: float = Field(
        default=86_400.0, description="How often, in a fleet, the lapse of a lease is drilled.", ge=60, le=604_800
    )
    grace_seconds: float = Field(
        default=3600.0,
        description="How much later than that a drill is late: an alarm, and at ASL-3 a gap.",
        ge=0,
        le=604_800,
    )
    deadline_seconds: float = Field(
        default=10.0, description="How long each step of a drill may take before it has failed.", ge=1, le=60
    )
    paths: Annotated[
        tuple[Annotated[DrillPath, LAX], ...],
        Field(min_length=1, max_length=len(DrillPath)),
        AfterValidator(unique("the path")),
    ] = Field(
        default=tuple(DrillPath),
        description="The paths that are drawn from: order (an order file, as `guard stop` on the host), file (a STOP "
        "file), admin (the admin API), page (the control page, as a browser would), "
        "webhook (a signed message, each time in another sender's form), engine (in a "
        "fleet: an order put into its engine, which must find its way here).",
    )

    def here(self, *, fleet: bool) -> tuple[DrillPath, ...]:
        """Return those of the paths that there are on this host."""
        return tuple(each for each in self.paths if fleet or each is not DrillPath.ENGINE)
