"""The models: level, whether each is served and why not, what runs on it, and the way to stop it."""

from __future__ import annotations

from typing import Final

from guard.admin.overview import Model, Overview
from guard.admin.page.frame import Visitor
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import button, region, table
from guard.policy.floor import Unmet
from guard.policy.report import ModelReport

SHOWN_ROWS: Final = 50
SHOWN_ORDERS: Final = 3


def models(seen: Overview, visitor: Visitor) -> Html:
    """Return the region of the models."""
    heads = ["Model", "Level", "State", "Running", "Holds until"] + (["Action"] if visitor.may_stop else [])
    rows = [_model(each, visitor, known=not seen.unreadable) for each in seen.models]
    return region("models", "Models", table("Models", heads, rows, class_="models"))


def _model(each: Model, visitor: Visitor, *, known: bool) -> list[Content]:
    report = each.report
    cells: list[Content] = [
        [
            tag("span", report.model, class_="name"),
            tag("span", f"{report.standard} {report.version}", class_="soft small"),
        ],
        _level(report),
        _standing(each, known=known),
        tag("span", each.running, class_="number"),
        f"{report.until:%Y-%m-%d}"
        if report.until
        else tag("span", "no end" if report.routable else "-", class_="soft"),
    ]
    if visitor.may_stop:
        cells.append(button("Stop", f"model:{report.model}", "act small"))
    return cells


def _level(report: ModelReport) -> Content:
    if report.deployment == report.security:
        return f"ASL-{report.deployment}"
    return [f"ASL-{report.deployment}", tag("span", f"security ASL-{report.security}", class_="soft small")]


def _standing(each: Model, *, known: bool) -> Content:
    report = each.report
    found: list[Content] = []
    if each.stopped_by:
        links = [tag("a", order, href=f"#stop-{order.replace(':', '-')}") for order in each.stopped_by[:SHOWN_ORDERS]]
        found.append(tag("span", "Stopped", class_="badge red"))
        found.append(tag("span", "by ", [[link, " "] for link in links], class_="soft small code"))
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
    if not known:
        found.insert(0, tag("span", "Not known", class_="badge"))
    return found or "Served"


def _row(row: Unmet) -> Html:
    return tag("li", tag("strong", row.row), f" {row.requires} ", tag("span", row.why, class_="soft"))
