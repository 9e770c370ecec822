"""The incidents: the few lines of them on the control page, and the page that lists them all."""

from __future__ import annotations

from typing import Final

from guard.admin.overview import Overview
from guard.admin.page.frame import Visitor, now, page
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import region, sentence, table
from guard.admin.times import moment, since
from guard.incidents.case import Case
from guard.incidents.clocks import Due
from guard.incidents.events import Imminent

PAGE: Final = "/control/incidents"
OPEN: Final = f"{PAGE}/open"
SHOWN_FRONT: Final = 5
SHOWN_OPEN: Final = 200
SHOWN_CLOSED: Final = 50
_IMMINENT: Final = {Imminent.YES: "yes", Imminent.NO: "no", Imminent.UNKNOWN: "not known"}
_HEADS: Final = ["Incident", "Severity", "Clock", "Fixed", "Commander"]


def incidents(seen: Overview, visitor: Visitor) -> Html:
    """Return the region of the control page: the most urgent ones, and the ways to all of them and to a new one."""
    cases = seen.incidents
    rows = [_row(each, seen.at) for each in cases[:SHOWN_FRONT]]
    more = len(cases) - SHOWN_FRONT
    return region(
        "incidents",
        "Incidents",
        table("Open incidents", _HEADS, rows, "incidents") if rows else None,
        tag(
            "p",
            tag("span", f"and {more} more", class_="soft") if more > 0 else None,
            None if rows else tag("span", "None is open.", class_="soft"),
            tag("a", "All incidents", href=PAGE, id="all-incidents"),
            tag("a", "Open an incident…", href=OPEN, id="open-incident") if visitor.may_open else None,
            class_="links",
        ),
        note=_number(cases) if cases else "",
    )


def nearest(seen: Overview) -> str:
    """Say how many are open and which clock runs out first, of a closed one too."""
    due = min((each.running[0] for each in seen.incidents if each.running), key=lambda due: due.at, default=None)
    words = _number(seen.incidents)
    return words if due is None else f"{words}, {due.clock} {left(due, seen.at)}"


def _number(cases: tuple[Case, ...]) -> str:
    number = sum(each.incident.closed is None for each in cases)
    return f"{number or 'no'} {'incident' if number == 1 else 'incidents'} open"


def listing(cases: tuple[Case, ...], damaged: tuple[str, ...], at: float, visitor: Visitor) -> bytes:
    """Return the page of all incidents; ``cases`` are in the order in which they are shown."""
    still = [each for each in cases if each.pending]
    over = [each for each in cases if not each.pending]
    title = sentence(_number(cases)).removesuffix(".")
    note = "and closed ones whose clocks still run" if any(each.incident.closed for each in still) else ""
    opened: Content = tag("p", "None is open.", class_="soft")
    if still:
        opened = table("Open incidents", _HEADS, [_row(each, at) for each in still[:SHOWN_OPEN]], "incidents")
    closed: Content = tag("p", "None yet.", class_="soft")
    if over:
        heads = ["Incident", "Severity", "Closed (UTC)", "By", "Resolution"]
        closed = table("Closed incidents", heads, [_closed(each) for each in over[:SHOWN_CLOSED]], "incidents")
    return page(
        title,
        tag("p", id="stale", role="alert", hidden=True),
        tag(
            "section",
            tag(
                "div",
                tag("h1", title, id="state-title"),
                tag("a", "Open an incident…", href=OPEN, class_="go") if visitor.may_open else None,
                class_="headline",
            ),
            [tag("p", f"{each}: see the runbook GuardIncidentDue", class_="refused") for each in damaged[:SHOWN_FRONT]],
            id="state",
            data_live="",
            data_say=title,
            aria_labelledby="state-title",
        ),
        region("open", "Open", opened, _more(len(still) - SHOWN_OPEN), note=note),
        region("closed", "Closed", closed, _more(len(over) - SHOWN_CLOSED)),
        tag("p", tag("a", "Back to the control page", href="/control")),
        visitor=visitor,
        live=PAGE,
        corner=now(at),
    )


def left(due: Due, at: float) -> str:
    """Say how long a clock still runs, or since when what it asks for is late."""
    return f"late by {since(at - due.at)}" if due.late(at) else f"due in {since(due.at - at)}"


def _severity(case: Case) -> Content:
    """Return how bad it is, whether anybody has said so, and whether there is imminent risk."""
    incident = case.incident
    risk = f"imminent risk {imminent(case)}"
    loud = incident.imminent is Imminent.YES
    return [
        tag("strong", incident.severity if incident.rated else f"{incident.severity}, not judged"),
        tag("span", tag("span", risk, class_="badge" if loud else None), class_="soft small"),
    ]


def imminent(case: Case) -> str:
    """Say whether there is imminent risk."""
    return _IMMINENT[case.incident.imminent]


def _row(case: Case, at: float) -> list[Content]:
    incident = case.incident
    stage = f"{incident.opened.model}, {incident.stage}"
    clock: Content = tag("span", "none runs", class_="soft")
    if case.running:
        due = case.running[0]
        more = len(case.running) - 1
        words = f"{due.clock} {left(due, at)}"
        clock = [
            tag("span", words, class_="badge" if due.late(at) else "word"),
            tag("span", f"{moment(due.at)}{f', and {more} more' if more else ''}", class_="soft small"),
        ]
    return [
        [_link(case), tag("span", stage, class_="soft small")],
        _severity(case),
        clock,
        _fixed(case),
        "none yet" if incident.triaged is None else incident.triaged.commander,
    ]


def _closed(case: Case) -> list[Content]:
    incident, end = case.incident, case.incident.closed
    name = [_link(case), tag("span", incident.opened.model, class_="soft small")]
    if end is None:
        return [name, _severity(case), "", "", ""]
    return [name, _severity(case), moment(end.at), end.who, end.resolution]


def _link(case: Case) -> Html:
    return tag("a", case.incident.opened.summary, href=f"{PAGE}/{case.id}", class_="name", id=f"incident-{case.id}")


def _fixed(case: Case) -> Content:
    """Return how many surfaces have the fix, and which have not."""
    number, all_ = len(case.surfaces) - len(case.unfixed), len(case.surfaces)
    if not all_:
        return tag("span", "not served any more", class_="soft")
    words = f"{number} of {all_} {'surface' if all_ == 1 else 'surfaces'}"
    lacking = f"not {', '.join(case.unfixed)}" if case.unfixed else ""
    return [words, tag("span", lacking, class_="soft small") if lacking else None]


def _more(number: int) -> Html | None:
    return tag("p", f"and {number} more: guard incident list", class_="soft") if number > 0 else None
