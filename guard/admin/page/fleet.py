"""The fleet: how fresh this guard's proof is by level, and what every replica last said of itself."""

from __future__ import annotations

from guard.admin.fleet_view import FleetView, LeaseOf, ReplicaOf
from guard.admin.overview import Overview
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import region, sentence, table
from guard.admin.times import since

SHOWN_REPLICAS = 50
MINUTE = 60


def fleet(view: FleetView) -> Html:
    """Return the region of a guard that is part of a fleet."""
    leases: list[list[Content]] = [[f"ASL-{each.asl}", f"{each.seconds:g} s", _lease(each)] for each in view.leases]
    replicas: list[list[Content]] = [_replica(each, view) for each in view.replicas[:SHOWN_REPLICAS]]
    more = len(view.replicas) - SHOWN_REPLICAS
    return region(
        "fleet",
        "Fleet",
        tag("p", f"It cannot be relied on: {view.problem}", class_="refused") if view.problem else None,
        tag("p", f"That every stop order is known here was last proved {_ago(view.age)}.", class_="soft"),
        table("Leases of this replica, by level", ["Level", "Proof holds for", "Lease"], leases, class_="short"),
        table(
            "Replicas",
            ["Replica", "Heard", "Workers", "Orders up to", "Serving"],
            replicas,
            class_="replicas",
        ),
        tag("p", f"and {more} more") if more > 0 else None,
        note=f"this is {view.replica}, over {view.engine}",
    )


def unproven(seen: Overview) -> Html | None:
    """Say above everything which models are not served for want of proof; None where there are none."""
    if seen.fleet is None or not seen.lapsed:
        return None
    names = ", ".join(each.report.model for each in seen.lapsed)
    words = (
        f"{names}: refused and cut on this replica until there is proof again that every stop order is known here. "
        f"It was last known {_ago(seen.fleet.age)}."
    )
    why = f" {sentence(seen.fleet.problem)}" if seen.fleet.problem else ""
    return tag(
        "article",
        tag("h2", tag("span", "Not served ", class_="kind"), levels(seen)),
        tag("p", words + why),
        class_="stop lapse",
        id="unproven",
    )


def levels(seen: Overview) -> str:
    """Name the levels whose models are not served for want of proof."""
    return ", ".join(f"ASL-{asl}" for asl in sorted({each.asl for each in seen.lapsed}))


def _lease(each: LeaseOf) -> Content:
    return tag("span", "lapsed", class_="badge") if each.lapsed else "holds"


def _replica(each: ReplicaOf, view: FleetView) -> list[Content]:
    own = each.name == view.replica
    heard: Content = "this one" if own else f"{each.ago:.0f} s ago"
    if each.silent:
        heard = tag("span", f"silent for {each.ago:.0f} s", class_="badge")
    lapsed = view.lapsed if own else frozenset(each.lapsed)
    serving: Content = "all levels"
    if each.silent or each.workers is None:
        serving = tag("span", "not known", class_="badge")
    elif lapsed:
        serving = tag("span", f"not {', '.join(f'ASL-{asl}' for asl in sorted(lapsed))}", class_="badge")
    trouble = tag("span", each.trouble, class_="soft small") if each.trouble and not own else None
    none = tag("span", "-", class_="soft")
    return [
        each.name,
        heard,
        none if each.workers is None else tag("span", each.workers, class_="number"),
        none if each.position is None else tag("span", each.position, class_="number"),
        [serving, trouble],
    ]


FRESH = 5  # seconds: pages are not renewed for less


def _ago(age: float | None) -> str:
    if age is None:
        return "never since this guard began"
    if age < FRESH:
        return f"less than {FRESH} s ago"
    return f"{age:.0f} s ago" if age < MINUTE else f"{since(age)} ago"
