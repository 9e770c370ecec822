"""How drills stand by what is on record: which was made, which is late or failed, and what that leaves open.

A drill that is late or failed is a gap of every model at ASL-3 and above (rows C16, F2). It is told and alarms; it
stops nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from guard.drills.result import Kind, Result
from guard.policy.config import Config
from guard.policy.drills import DrillConfig

GAP_ASL: Final = 3
AHEAD_SECONDS: Final = 60.0
OFF: Final = "drills of the kill switch are switched off (`drills` of guard.yaml)"


@dataclass(frozen=True, slots=True)
class Standing:
    """One kind of drill; times are seconds since the epoch, None where there was none.

    ``late_at`` is from when on it is late. ``last`` is the latest that was not skipped, ``newest`` the latest at all.
    """

    kind: Kind
    success: float | None
    late_at: float
    late: bool
    last: Result | None
    newest: Result | None

    @property
    def failing(self) -> bool:
        """Whether the latest that was made has failed."""
        return self.last is not None and self.last.failure is not None

    @property
    def gap(self) -> str:
        """What is open, empty where nothing is."""
        if self.failing and self.last is not None:
            return f"the last {self.kind.value} drill failed: {self.last.why}"
        if not self.late:
            return ""
        skipped = self.newest.skipped if self.newest is not None else ""
        return f"the {self.kind.value} drill is late" + (f": {skipped}" if skipped else "")

    def fields(self) -> dict[str, Any]:
        """What `guard status` and the admin API tell of it."""
        newest = self.newest
        return {
            "kind": self.kind.value,
            "last_success": self.success,
            "late_at": self.late_at,
            "late": self.late,
            "failing": self.failing,
            "newest": None if newest is None else {"at": newest.at, "path": newest.path, "words": newest.words()},
            "gap": self.gap,
        }


def kinds(config: Config) -> tuple[Kind, ...]:
    """Return what is drilled here."""
    if config.guard.drills is None:
        return ()
    # Without a fleet nothing is leased: a host that has its own orders needs no proof that it knows them.
    return (Kind.STOP,) if config.guard.fleet is None else (Kind.STOP, Kind.LEASE)


def cadence(settings: DrillConfig, kind: Kind) -> float:
    """Return every how many seconds a kind is due."""
    return settings.every_seconds if kind is Kind.STOP else settings.lease_every_seconds


def standing(config: Config, results: Sequence[Result], since: float | None, now: float) -> tuple[Standing, ...]:
    """Judge every kind that is drilled here by these results (oldest first), owed ``since`` a time of the epoch.

    Where that is not known they are owed from now on.

    A result from the future, by more than a minute, shows nothing: somebody set a clock.
    """
    settings = config.guard.drills
    if settings is None:
        return ()
    owed = now if since is None else min(since, now)
    found = []
    for kind in kinds(config):
        mine = [each for each in results if each.kind is kind and not each.disrupted and each.at <= now + AHEAD_SECONDS]
        success = max((each.at for each in mine if each.succeeded), default=None)
        late_at = (owed if success is None else success) + cadence(settings, kind) + settings.grace_seconds
        made = [each for each in mine if not each.skipped]
        last = made[-1] if made else None
        found.append(Standing(kind, success, late_at, now >= late_at, last, mine[-1] if mine else None))
    return tuple(found)


def gapped(config: Config) -> tuple[str, ...]:
    """Return the models that a gap in drills is one of."""
    axes = {alias: policy.asl for alias, policy in config.models.items()}
    return tuple(alias for alias, asl in axes.items() if max(asl.deployment, asl.security) >= GAP_ASL)


def gaps(config: Config, found: Iterable[Standing]) -> tuple[str, ...]:
    """Return what is open because of drills, in words, where a model is served that it is a gap of."""
    if not gapped(config):
        return ()
    return (OFF,) if config.guard.drills is None else tuple(each.gap for each in found if each.gap)


def fields(config: Config, found: Sequence[Standing]) -> dict[str, Any]:
    """What the admin API and `guard status` tell."""
    open_ones = list(gaps(config, found))
    models = list(gapped(config)) if open_ones else []
    return {"kinds": [each.fields() for each in found], "gaps": open_ones, "models": models}
