"""How drills of the kill switch stand, as the control page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DrillView:
    """One kind of drill; times are seconds since the epoch, None where there was none.

    ``newest`` says in words what came of the latest, which went by ``path`` at ``at``. ``late`` is whether the next one
    should have succeeded by now, at ``late_at``, and ``failing`` whether the latest that was made has failed.
    """

    kind: str
    success: float | None
    late_at: float
    late: bool
    failing: bool
    at: float | None
    path: str
    newest: str


def drill_views(told: Mapping[str, Any]) -> tuple[DrillView, ...]:
    """Return every kind that is drilled here, by what the admin API tells of drills."""
    return tuple(_view(each) for each in told.get("kinds", ()))


def _view(told: Mapping[str, Any]) -> DrillView:
    newest = told["newest"] or {"at": None, "path": "", "words": ""}
    return DrillView(
        kind=told["kind"],
        success=told["last_success"],
        late_at=told["late_at"],
        late=told["late"],
        failing=told["failing"],
        at=newest["at"],
        path=newest["path"],
        newest=newest["words"],
    )
