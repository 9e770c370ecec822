"""The models: level, whether each is served and why not, what runs on it, and the way to stop it."""

from __future__ import annotations

from typing import Final

from guard.admin.modes import words_of
from guard.admin.overview import SOON_SECONDS, Model, Overview
from guard.admin.page.frame import Visitor
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import button, region, table, tone
from guard.policy.floor import Unmet
from guard.policy.report import ModelReport

SHOWN_ROWS: Final = 50
SHOWN_ORDERS: Final = 3


def models(seen: Overview, visitor: Visitor) -> Html:
    """Return the region of the models."""
    heads = ["Model", "Level", "State", "Running", "Holds until"] + (["Action"] if visitor.may_stop else [])
    rows = [_model(each, visitor, seen) for each in seen.models]
    return region("models", "Models", table("Models", heads, rows, class_="models"))


def _model(each: Model, visitor: Visitor, seen: Overview) -> list[Content]:
    report = each.report
    cells: list[Content] = [
        [
            tag("span", report.model, class_="name"),
            tag("span", f"{report.standard} {report.version}", class_="soft small"),
        ],
        _level(report),
        _standing(each, seen),
        tag("span", each.running, class_="number"),
        _until(report, seen.at),
    ]
    if visitor.may_stop:
        cells.append(button("Stop", f"model:{report.model}", "act small"))
    return cells


def _level(report: ModelReport) -> Content:
    if report.deployment == report.security:
        return f"ASL-{report.deployment}"
    return [f"ASL-{report.deployment}", tag("span", f"security ASL-{report.security}", class_="soft small")]


def _until(report: ModelReport, at: float) -> Content:
    if report.until is None:
        return tag("span", "no end" if report.routable else "-", class_="soft")
    soon = report.until.timestamp() - at <= SOON_SECONDS
    return tag("span", f"{report.until:%Y-%m-%d}", class_="word" if soon else None)


def _standing(each: Model, seen: Overview) -> Content:
    report = each.report
    found: list[Content] = []
    for mode in dict.fromkeys(one.mode for one in each.held):
        orders = [one.order for one in each.held if one.mode == mode]
        links = [tag("a", order, href=f"#stop-{order.replace(':', '-')}") for order in orders[:SHOWN_ORDERS]]
        found.append(tag("span", words_of(mode).done, class_=f"badge {tone(mode)}"))
        found.append(tag("span", "by ", [[link, " "] for link in links], class_="soft small code"))
    if each.lapsed:
        found.append(tag("span", "Not served", class_="badge"))
        found.append(tag("span", "no proof that every stop is known", class_="soft small"))
    if not report.routable:
        words = f"{len(report.unmet)} {'row' if len(report.unmet) == 1 else 'rows'} unmet"
        found.append(tag("span", "Not served", class_="badge"))
        found.append(
            tag(
                "details",
                tag("summary", words, id=f"unmet-{report.model}"),
                tag("ul", [_row(row) for row in report.unmet[:SHOWN_ROWS]], class_="rows"),
                tag("p", f"and {len(report.unmet) - SHOWN_ROWS} more: guard check")
                if len(report.unmet) > SHOWN_ROWS
                else None,
            )
        )
    if seen.unreadable:
        found.insert(0, tag("span", "Not known", class_="badge"))
    elif not any(place.serving for place in seen.places):
        found.insert(0, tag("span", "No worker serves", class_="badge"))
    elif each.served and found:
        found.insert(0, tag("span", "Served ", class_="soft"))
    late = [f"{one.claim} lapsed {one.days} d ago ({one.row})" for one in report.overdue]
    late += [f"{len(report.deviations)} controls are not as described"] if report.deviations else []
    notes = [tag("span", note.replace("_", " "), class_="soft small") for note in late[:SHOWN_ORDERS]]
    return [found or (None if each.refused else "Served"), notes]


def _row(row: Unmet) -> Html:
    return tag("li", tag("strong", row.row), f" {row.requires} ", tag("span", row.why, class_="soft"))
