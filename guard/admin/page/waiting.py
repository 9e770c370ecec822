"""What waits for people's approval, on the control page: what it would lift, why, and who has approved it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from guard.admin.page.frame import Visitor
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import named, region, table
from guard.admin.times import moment
from guard.approval.port import PEOPLE

SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Waits:
    """One statement that waits; ``people`` are words for who has approved it, empty for nobody."""

    name: str
    scopes: tuple[str, ...]
    reason: str
    who: str
    people: str
    expires: float

    def fields(self) -> dict[str, Any]:
        """What the admin API and `guard status` tell of it."""
        return {
            "statement": self.name,
            "lifts": list(self.scopes),
            "reason": self.reason,
            "asked_by": self.who,
            "approved_by": self.people,
            "until": self.expires,
        }


def waiting(found: Sequence[Waits], visitor: Visitor) -> Html:
    """Return the region, of at most `SHOWN`; there is something in it only while something waits."""
    if not found:
        return tag("section", id="approvals", data_live="", hidden=True)
    rows: list[list[Content]] = [
        [
            ", ".join(named(scope) for scope in each.scopes[:SHOWN]),
            each.reason,
            each.who,
            each.people or tag("span", "nobody yet", class_="soft"),
            f"{moment(each.expires)} UTC",
            tag("a", "Approve…", href=f"/control/approval?of={each.name}", class_="go", id=f"approve-{each.name}")
            if visitor.may_approve
            else "",
        ]
        for each in found
    ]
    heads = ["Resume", "Why", "Asked by", f"Approved by, of {PEOPLE}", "Holds until", ""]
    return region("approvals", "Waiting for approval", table("What waits for approval", heads, rows))
