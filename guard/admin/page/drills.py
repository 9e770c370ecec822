"""The drills: whether the kill switch was lately seen to work, and by when it must be seen again."""

from __future__ import annotations

from guard.admin.drill_view import DrillView
from guard.admin.overview import Overview
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import region, table
from guard.admin.times import moment, since


def drills(seen: Overview) -> Html:
    """Return the region of the drills."""
    if not seen.drills:
        return region("drills", "Drills", tag("p", "The kill switch is not drilled here.", class_="soft"))
    heads = ["Drill", "Last success", "Latest", "Next by (UTC)"]
    rows = [_drill(each, seen.at) for each in seen.drills]
    return region("drills", "Drills", table("Drills of the kill switch", heads, rows, class_="drills"))


def _drill(each: DrillView, at: float) -> list[Content]:
    state: Content = None
    if each.failing:
        state = tag("span", "Failed", class_="badge")
    elif each.late:
        state = tag("span", "Late", class_="badge")
    latest: Content = tag("span", "none yet", class_="soft")
    if each.at is not None:
        latest = [
            state,
            tag("span", each.newest),
            tag("span", f"by {each.path}, {moment(each.at)}", class_="soft small"),
        ]
    elif state is not None:
        latest = [state, latest]
    return [
        each.kind,
        tag("span", "never", class_="soft") if each.success is None else f"{since(at - each.success)} ago",
        latest,
        moment(each.late_at),
    ]
