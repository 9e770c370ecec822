"""What is known of the fleet at one moment, and what of that somebody has to look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from guard.admin.obedience import Member


@dataclass(frozen=True, slots=True)
class LeaseOf:
    """One level's lease here: for how many seconds a proof suffices, and whether it has lapsed."""

    asl: int
    seconds: float
    lapsed: bool


@dataclass(frozen=True, slots=True)
class ReplicaOf:
    """One replica by its last word; ``workers`` and ``position`` are None for words that are not understood."""

    name: str
    ago: float
    silent: bool
    workers: int | None
    position: int | None
    lapsed: tuple[int, ...]
    trouble: str


@dataclass(frozen=True, slots=True)
class FleetView:
    """This guard's place in its fleet; ``age`` is seconds since the last proof, None if there was none.

    ``problem`` is why the fleet cannot be relied on, empty while it can.
    """

    replica: str
    engine: str
    position: int
    problem: str
    age: float | None
    leases: tuple[LeaseOf, ...]
    replicas: tuple[ReplicaOf, ...]

    @property
    def lapsed(self) -> frozenset[int]:
        """Levels that are not served here for want of proof."""
        return frozenset(each.asl for each in self.leases if each.lapsed)

    def findings(self, levels: Collection[int]) -> list[str]:
        """What is wrong, a line each; ``levels`` are those that have a model here."""
        found = [f"The fleet cannot be relied on: {self.problem}"] if self.problem else []
        for lease in self.leases:
            if lease.lapsed and lease.asl in levels:
                want = f"no proof within {lease.seconds:g} s that every stop order is known"
                found.append(f"ASL-{lease.asl} is not served on this replica: {want}")
        for each in self.replicas:
            if each.silent:
                found.append(
                    f"Replica {each.name} has not been heard for {each.ago:.0f} s; nobody knows what it serves"
                )
            elif each.name != self.replica:
                gone = ", ".join(f"ASL-{asl}" for asl in each.lapsed)
                found += [f"Replica {each.name} does not serve {gone}: its lease has lapsed"] if gone else []
                found += [f"Replica {each.name}: {each.trouble}"] if each.trouble else []
        return found

    def changes(self) -> object:
        """What is worth telling an open page at once; ages count in steps of five seconds."""
        age = None if self.age is None else self.age // 5
        replicas = [(each.name, each.silent, each.workers, each.lapsed, each.trouble) for each in self.replicas]
        return self.problem, age, self.leases, tuple(replicas)


def fleet_view(member: Member | None) -> FleetView | None:
    """Look at a guard's place in its fleet; None where it is no part of one."""
    if member is None:
        return None
    told = member.status()
    lease = told["lease"]
    gone = frozenset(lease["lapsed"])
    limits = sorted((int(asl), float(seconds)) for asl, seconds in lease["limits"].items())
    return FleetView(
        replica=told["replica"],
        engine=told["engine"],
        position=told["position"],
        problem=told["problem"],
        age=lease["age"],
        leases=tuple(LeaseOf(asl, seconds, asl in gone) for asl, seconds in limits),
        replicas=tuple(_replica(each) for each in told["replicas"]),
    )


def _replica(told: Mapping[str, Any]) -> ReplicaOf:
    return ReplicaOf(
        name=told["replica"],
        ago=told["heard_seconds_ago"],
        silent=told["silent"],
        workers=told["workers"],
        position=told["position"],
        lapsed=tuple(told["lapsed"]),
        trouble=told["trouble"],
    )
