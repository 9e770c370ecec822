"""The lease of a fleet's replica as its configuration has it, and what is told of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from guard.policy.config import Config
from guard.state.lease import Lease, LeasedSwitches, limits_of
from guard.state.switches import FileSwitches
from safeguards.ports import Clock, Ladder


def fleet_lease(config: Config, state: Path, clock: Clock) -> Lease | None:
    """Return the lease of a fleet's replica, None for a guard that is no part of one; raises OSError."""
    fleet = config.guard.fleet
    if fleet is None:
        return None
    leases = fleet.leases
    return Lease(state, limits_of({1: leases.asl_1, 2: leases.asl_2, 3: leases.asl_3, 4: leases.asl_4}), clock)


def as_leased(switches: Ladder, config: Config, state: Path, clock: Clock) -> Ladder:
    """Return the switches as workers have them, the fleet's lease included, for who only asks; raises OSError."""
    if not isinstance(switches, FileSwitches):  # there is no folder of orders, so there is no guard to have proof
        return switches
    try:
        lease = fleet_lease(config, state, clock)
    except FileNotFoundError:  # no guard has run here yet, and the first will begin without proof
        return switches
    return switches if lease is None else LeasedSwitches(switches, lease)


def lease_fields(age: float | None, limits: Mapping[int, float], lapsed: Collection[int]) -> dict[str, Any]:
    """What is told of a lease: seconds since the last proof, by level for how long that suffices, and what lapsed."""
    return {
        "age": None if age is None else round(age, 3),
        "limits": {str(asl): seconds for asl, seconds in sorted(limits.items())},
        "lapsed": sorted(lapsed),
    }
