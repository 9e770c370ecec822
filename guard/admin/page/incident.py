"""One incident: its clocks, its surfaces, what is to be done next, and its story, every event with who and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guard.admin.page.frame import Visitor, now, page, secret
from guard.admin.page.html import Content, Html, joined, tag
from guard.admin.page.incidents import PAGE, imminent, left
from guard.admin.page.inputs import chosen, hidden, line
from guard.admin.page.parts import button, region, table
from guard.admin.times import moment
from guard.incidents.case import Case
from guard.incidents.clocks import ANSWER
from guard.incidents.desk import MAX_NAME, newest
from guard.incidents.events import MAX_WORDS, WORST, Closed, Event, Imminent, Opened, Source, Triaged
from guard.incidents.story import done, words

SHOWN_EVENTS: Final = 200
SEVERITIES: Final = tuple(
    (str(each), f"{each}, the worst" if each == WORST else str(each)) for each in range(WORST + 1)
)
_RISKS: Final = ((Imminent.UNKNOWN.value, "not known"), (Imminent.NO.value, "no"), (Imminent.YES.value, "yes"))
_WAYS: Final = {Source.HOST: "on the host", Source.PAGE: "on this page", Source.API: "by the admin API"}


def incident(
    case: Case, at: float, visitor: Visitor, wrong: str = "", typed: Mapping[str, str] | None = None, act: str = ""
) -> bytes:
    """Return the page; ``wrong`` says why the form ``act`` did nothing, and ``typed`` is what it held."""
    found = case.incident
    title = found.opened.summary
    side = joined(_forms(case, visitor, typed or {}, act))
    return page(
        title,
        tag("p", id="stale", role="alert", hidden=True),
        tag("p", wrong, role="alert", class_="refused", id="wrong") if wrong else None,
        _head(case, visitor),
        tag(
            "div",
            tag("div", _clocks(case, at), _surfaces(case), _story(case)),
            tag("div", side) if side else None,
            class_="case" if side else "case alone",
        ),
        tag("p", tag("a", "All incidents", href=PAGE), tag("a", "Control page", href="/control"), class_="links"),
        visitor=visitor,
        live=f"{PAGE}/{case.id}",
        forms=True,
        corner=now(at, forms=True),
    )


def _head(case: Case, visitor: Visitor) -> Html:
    found = case.incident
    judged = "" if found.rated else ", not judged"
    commander = "no commander yet" if found.triaged is None else f"commander {found.triaged.commander}"
    model = found.opened.model
    facts = [f"model {model}", found.stage, commander, f"imminent risk {imminent(case)}"]
    words = tag(
        "div",
        tag("h1", found.opened.summary, id="state-title"),
        tag(
            "p",
            tag("span", f"Severity {found.severity}{judged}", class_="badge"),
            [[" ", tag("span", each, class_="fact")] for each in facts],
            class_="facts",
        ),
        tag("p", _where(case), class_="soft small"),
    )
    damaged = f"Damaged: {', '.join(found.damaged)}. See the runbook GuardIncidentDue."
    return tag(
        "section",
        tag(
            "div",
            words,
            button(f"Stop {model}", f"model:{model}") if visitor.may_stop and case.surfaces else None,
            class_="headline",
        ),
        tag("p", damaged, class_="refused") if found.damaged else None,
        id="state",
        data_live="",
        data_say=f"{found.stage}, {len(case.events)} events",
        aria_labelledby="state-title",
    )


def _where(case: Case) -> Content:
    """Say when it was discovered, its id, and what it was opened for."""
    opened = case.incident.opened
    number = len(opened.requests)
    shown = f", with {number} {'request' if number == 1 else 'requests'} that show it" if number else ""
    stop = tag("a", tag("code", opened.stop), href=f"/control#stop-{opened.stop}") if opened.stop else None
    return [
        f"Discovered {moment(opened.discovered)} UTC. Incident ",
        tag("code", case.id),
        [", opened for the stop ", stop] if stop else None,
        f"{shown}.",
    ]


def _clocks(case: Case, at: float) -> Html:
    if not case.dues:
        words = "None runs: neither the model's file nor guard.yaml has one for it."
        return region("clocks", "Clocks", tag("p", words, class_="soft"))
    rows: list[list[Content]] = []
    for due in sorted(case.dues, key=lambda each: (each.done is not None, each.at)):
        if due.done is None:
            state: Content = tag("span", left(due, at), class_="badge" if due.late(at) else "word")
        else:
            state = f"done {moment(due.done)}" + (", late" if due.late(at) else "")
        rows.append(
            [
                [tag("span", due.clock, class_="name"), tag("span", due.to, class_="soft small")],
                [state, tag("span", f"ends {moment(due.at)}", class_="soft small")],
            ]
        )
    return region("clocks", "Clocks", table("Clocks", ["Clock", "Left"], rows, "clocks"), note="in UTC")


def _surfaces(case: Case) -> Html:
    if not case.surfaces:
        words = "The model is not served on any surface any more."
        return region("surfaces", "Fix on every surface", tag("p", words, class_="soft"))
    rows: list[list[Content]] = []
    for name in case.surfaces:
        fix = case.incident.mitigated.get(name)
        if fix is None:
            rows.append([tag("span", name, class_="name"), tag("span", "Not fixed", class_="badge")])
        else:
            by = tag("span", f"{moment(fix.at)} by {fix.who}", class_="soft small")
            rows.append([tag("span", name, class_="name"), [f"Fixed: {fix.how}", by]])
    return region("surfaces", "Fix on every surface", table("Surfaces", ["Surface", "State"], rows, "clocks"))


def _forms(case: Case, visitor: Visitor, typed: Mapping[str, str], act: str) -> Content:
    """Return what may be done next, outside of what is renewed, so that nobody's typing is lost."""
    incident = case.incident

    def kept(name: str) -> Mapping[str, str]:
        return typed if act == name else {}

    forms: list[Content] = []
    if visitor.may_handle:
        forms.append(_report(case, visitor, kept("report")))
    if visitor.may_handle and incident.closed is None:
        triage = _triage(case, visitor, kept("triage"))
        rest = (_mitigate(case, visitor, kept("mitigate")), *forms, _close(case, visitor, kept("close")))
        forms = [triage, *rest] if incident.triaged is None else [*rest, triage]
    return [forms, _hand_over(case, visitor, kept("export")) if visitor.may_export else None]


def _triage(case: Case, visitor: Visitor, typed: Mapping[str, str]) -> Html:
    last = case.incident.triaged
    severity = "" if last is None and not case.incident.rated else str(case.incident.severity)
    form = _form(
        case,
        visitor,
        "triage",
        newest(case, Triaged),
        chosen("severity", "Severity", SEVERITIES, typed.get("severity", severity), none="choose"),
        line(
            "commander", "Commander", typed.get("commander", visitor.name if last is None else last.commander), MAX_NAME
        ),
        chosen("imminent", "Imminent risk", _RISKS, typed.get("imminent", case.incident.imminent.value), hint=_RISK),
        line("note", "Note", typed.get("note", ""), MAX_WORDS, hint="may be left empty", required=False),
        press="Triage" if last is None else "Triage again",
        main=last is None,
    )
    if last is None or typed:
        return _panel("triage", "Triage", form)
    return _panel("triage", "Triage", tag("details", tag("summary", "Judge it anew"), form))


_RISK: Final = "of death or serious injury; yes sets the clocks going that begin with it"


def _mitigate(case: Case, visitor: Visitor, typed: Mapping[str, str]) -> Html | None:
    if not case.unfixed:
        return None
    form = _form(
        case,
        visitor,
        "mitigate",
        "",
        chosen("surface", "Surface", [(each, each) for each in case.unfixed], typed.get("surface", case.unfixed[0])),
        line("how", "By what", typed.get("how", ""), MAX_WORDS),
        press="Fixed there",
        main=case.incident.triaged is not None,
    )
    return _panel("mitigate", "Report a fix", form)


def _report(case: Case, visitor: Visitor, typed: Mapping[str, str]) -> Html | None:
    clocks = [due for due in case.running if due.clock != ANSWER]
    if not clocks:
        return None
    form = _form(
        case,
        visitor,
        "report",
        "",
        chosen("clock", "Clock", [(due.clock, f"{due.clock}: {due.to}") for due in clocks], typed.get("clock", "")),
        line("reference", "What was told to whom", typed.get("reference", ""), MAX_WORDS, hint="or why it need not be"),
        press="Told, or need not be",
    )
    return _panel("report", "End a clock", form)


def _close(case: Case, visitor: Visitor, typed: Mapping[str, str]) -> Html:
    if why := case.why_not_closed:
        return _panel("close", "Close", tag("p", f"Not yet: {why}.", class_="soft"))
    form = _form(
        case,
        visitor,
        "close",
        newest(case, Closed),
        line("resolution", "How it ended", typed.get("resolution", ""), MAX_WORDS),
        press="Close the incident",
        main=True,
    )
    return _panel("close", "Close", form)


def _story(case: Case) -> Html:
    shown = case.events[-SHOWN_EVENTS:]
    rows = [_event(each) for each in reversed(shown)]
    note = f"the newest {len(rows)} of {len(case.events)} events" if len(rows) < len(case.events) else ""
    heads = ["When (UTC)", "Act", "Who", "What"]
    return region("story", "Story", table("Events, the newest first", heads, rows, "story"), note=note)


def _event(event: Event) -> list[Content]:
    way = "" if event.source is None else _WAYS[event.source]
    said = event.summary if isinstance(event, Opened) else words(event)
    return [
        moment(event.at),
        tag("span", done(event), class_="word"),
        [event.who, tag("span", way, class_="soft small") if way else None],
        said,
    ]


def _hand_over(case: Case, visitor: Visitor, typed: Mapping[str, str]) -> Html:
    words = "Events, the records that belong to it without their texts, and a hash of each file. It is put on record."
    form = _form(
        case,
        visitor,
        "export",
        "",
        line("reason", "For whom, and why", typed.get("reason", ""), MAX_WORDS),
        press="Download the bundle",
    )
    return _panel("export", "Hand over", tag("p", words, class_="soft"), form)


def _form(case: Case, visitor: Visitor, act: str, seen: str, *fields: Content, press: str, main: bool = False) -> Html:
    pressed = tag("button", press, class_="go" if main else None, id=f"{act}-now")
    return tag(
        "form",
        secret(visitor),
        hidden("seen", seen),
        fields,
        tag("div", pressed, class_="buttons"),
        method="post",
        action=f"{PAGE}/{case.id}/{act}",
        aria_labelledby=f"{act}-title",
    )


def _panel(name: str, title: str, *content: Content) -> Html:
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, content, id=name, class_="panel", aria_labelledby=f"{name}-title")
