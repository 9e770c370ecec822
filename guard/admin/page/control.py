"""The control page itself: what is stopped above everything, then what is served, then what people should look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.admin.modes import words_of
from guard.admin.overview import Kind, Lapse, Overview
from guard.admin.page.drills import drills
from guard.admin.page.fleet import fleet, levels, unproven
from guard.admin.page.frame import Visitor, now, page
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.incidents import incidents, nearest
from guard.admin.page.models import models
from guard.admin.page.parts import MAX_SCOPE, button, named, region, table, tone
from guard.admin.page.stops import stop_card, unreadable
from guard.admin.page.waiting import Waits, waiting
from guard.admin.times import day, moment, since
from guard.state.merge import Judged
from guard.state.orders import RuleOrder, StopOrder
from guard.state.scope import SCOPE_FORMS
from safeguards.mode import Mode

SHOWN_ROWS: Final = 50
SHOWN_ORDERS: Final = 3


def control(seen: Overview, visitor: Visitor, scopes: tuple[str, ...], waits: Sequence[Waits] = ()) -> bytes:
    """Return the page; ``scopes`` are what may be stopped, for the field that completes them.

    ``waits`` is what waits for people's approval.
    """
    return page(
        summary(seen),
        tag("p", id="stale", role="alert", hidden=True),
        _state(seen, visitor),
        waiting(waits, visitor),
        models(seen, visitor),
        _other(visitor, scopes),
        incidents(seen, visitor),
        fleet(seen.fleet) if seen.fleet is not None else None,
        tag("div", _findings(seen), _workers(seen), _log(seen), class_="trio"),
        drills(seen),
        _lapses(seen),
        _history(seen),
        visitor=visitor,
        live="/control",
        corner=now(seen.at),
    )


def summary(seen: Overview) -> str:
    """Say in a few words what matters most."""
    return " · ".join(words for _, words in _summary(seen)) or "Nothing is stopped"


def _summary(seen: Overview) -> list[tuple[str, str]]:
    """Return the parts of the summary, each with the mode that it is of: empty for what is no order."""
    if seen.unreadable:
        return [(Mode.STOP.value, "The stop orders cannot be read")]
    found = [(each.mode, _kind(each)) for each in seen.kinds]
    return found + ([("", f"Not served for want of proof: {levels(seen)}")] if seen.lapsed else [])


def _kind(each: Kind) -> str:
    more = f" and {each.number - 1} more" if each.number > 1 else ""
    return f"{words_of(each.mode).done}: {named(each.scope)}{more}"


def _state(seen: Overview, visitor: Visitor) -> Html:
    workers = sum(each.serving for each in seen.places)
    facts: list[Content] = [
        "which models are served is not known"
        if seen.unreadable
        else f"{seen.served} of {len(seen.models)} models served",
        f"{workers} of {len(seen.places)} workers serving",
        f"{seen.running} {'request' if seen.running == 1 else 'requests'} running",
        *([tag("a", nearest(seen), href="#incidents")] if seen.incidents else []),
    ]
    parts = [tag("span", words, class_=tone(mode) if mode else None) for mode, words in _summary(seen)]
    title: Content = [
        [part, "\N{NO-BREAK SPACE}· " if index < len(parts) else None] for index, part in enumerate(parts, 1)
    ]
    return tag(
        "section",
        tag(
            "div",
            tag(
                "div",
                tag("h1", title if parts else summary(seen), id="state-title"),
                tag(
                    "p",
                    [[tag("span", each, " ·"), " "] for each in facts[:-1]],
                    tag("span", facts[-1]),
                    class_="facts",
                ),
            ),
            button("Stop everything", "all") if visitor.may_stop else None,
            class_="headline",
        ),
        unreadable(seen.unreadable) if seen.unreadable else None,
        unproven(seen),
        [stop_card(each, seen, visitor) for each in seen.stops],
        tag("p", f"and {seen.more_stops} more stops; guard status lists all", class_="soft")
        if seen.more_stops
        else None,
        id="state",
        data_live="",
        data_say=summary(seen),
        data_loud=bool(parts),
        aria_labelledby="state-title",
    )


def _other(visitor: Visitor, scopes: tuple[str, ...]) -> Html | None:
    """Return the way to stop what is no model; outside of what is renewed, so that nobody's typing is lost."""
    if not visitor.may_stop:
        return None
    return tag(
        "form",
        tag("label", "Stop something else", for_="scope"),
        tag(
            "input",
            name="scope",
            id="scope",
            list="scopes",
            required=True,
            maxlength=MAX_SCOPE,
            autocomplete="off",
            spellcheck="false",
            placeholder="level:3, tier:NAME, key:ID …",
            title=SCOPE_FORMS,
        ),
        tag("datalist", [tag("option", value=each) for each in scopes], id="scopes"),
        tag("button", "Preview…", class_="act small"),
        method="get",
        action="/control/stop",
        class_="other",
    )


def _findings(seen: Overview) -> Html:
    if not seen.findings:
        return region("findings", "Open findings", tag("p", "None.", class_="soft"))
    items = [tag("li", each) for each in seen.findings[:SHOWN_ROWS]]
    more = len(seen.findings) - SHOWN_ROWS
    return region(
        "findings",
        "Open findings",
        tag("ul", items, class_="marked"),
        tag("p", f"and {more} more") if more > 0 else None,
        note=str(len(seen.findings)),
    )


def _workers(seen: Overview) -> Html:
    rows: list[list[Content]] = [
        [
            each.name,
            "serving" if each.serving else tag("span", each.trouble or "starting", class_="badge"),
            tag("span", each.live, class_="number"),
        ]
        for each in seen.places
    ]
    return region("workers", "Workers", table("Workers", ["Worker", "State", "Running"], rows, class_="short"))


def _log(seen: Overview) -> Html:
    state: Content = "sealed and in order" if seen.log.sealed else "not sealed yet"
    if seen.log.troubles:
        state = tag("span", "see the findings", class_="badge")
    facts: list[tuple[str, Content]] = [
        ("Log", state),
        ("Policy", tag("code", seen.policy[:16])),
        ("Since", f"{moment(seen.policy_since)} UTC"),
        ("Pushed rules", f"{seen.rules} in force" if seen.rules else "none"),
    ]
    rows = [tag("div", tag("dt", name), tag("dd", words)) for name, words in facts]
    return region("log", "Request log and policy", tag("dl", rows))


def _lapses(seen: Overview) -> Html:
    if not seen.lapses:
        return region("lapses", "Evidence", tag("p", "Nothing lapses within 30 days.", class_="soft"))
    rows: list[list[Content]] = []
    for (model, at), claims in _together(seen.lapses).items():
        left = f"lapsed {since(seen.at - at)} ago" if at <= seen.at else f"in {since(at - seen.at)}"
        words = tag("span", left, class_="badge" if at <= seen.at else None)
        rows.append([model, ", ".join(claims).replace("_", " "), day(at), words])
    rows_ = table("Evidence that lapses", ["Model", "Evidence", "Day", "Left"], rows[:SHOWN_ROWS], class_="lapses")
    return region("lapses", "Evidence", rows_, note="that lapses within 30 days")


def _together(lapses: tuple[Lapse, ...]) -> dict[tuple[str, float], list[str]]:
    """Put what lapses together into one row."""
    found: dict[tuple[str, float], list[str]] = {}
    for each in lapses:
        found.setdefault((each.model, each.at), []).append(each.claim)
    return found


def _history(seen: Overview) -> Html:
    if not seen.history:
        return region("history", "History", tag("p", "Nothing was ever stopped here.", class_="soft"))
    rows: list[list[Content]] = [_order(each) for each in seen.history]
    note = f"the newest {len(rows)} of {seen.ordered}" if seen.ordered > len(rows) else ""
    heads = ["When (UTC)", "Act", "What", "Who", "Why"]
    return region("history", "History", table("Orders, the newest first", heads, rows, class_="orders"), note=note)


def _order(each: StopOrder | RuleOrder | Judged) -> list[Content]:
    none = tag("span", "none given", class_="soft")
    if isinstance(each, StopOrder):
        act = tag("span", words_of(each.mode.value).act.lower(), class_=f"word {tone(each.mode.value)}")
        return [moment(each.created), act, named(str(each.scope)), each.who, each.reason or none]
    if isinstance(each, RuleOrder):
        pushed = f"{len(each.rules)} {'rule' if len(each.rules) == 1 else 'rules'} for {named(str(each.scope))}"
        return [moment(each.created), tag("span", "push", class_="word"), pushed, each.who, each.reason or none]
    order = each.order
    lifted = [tag("code", one) for one in order.lifts[:SHOWN_ORDERS]]
    more = len(order.lifts) - SHOWN_ORDERS
    what: Content = [[[one, " "] for one in lifted], f"and {more} more" if more > 0 else None]
    act = tag("span", "resume", class_="word")
    people = tag("span", f"approved by {each.approved_by}", class_="soft small") if each.people else None
    return [moment(order.created), act, what, [order.who, " ", people], order.reason or none]
