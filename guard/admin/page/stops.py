"""What is stopped, unmistakably: one block for each stop, with who, why, since when, and who has obeyed."""

from __future__ import annotations

from typing import Final

from guard.admin.modes import words_of
from guard.admin.overview import Overview, Stopped
from guard.admin.page.frame import Visitor
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.incidents import OPEN, PAGE
from guard.admin.page.parts import named, tone
from guard.admin.times import moment, since

SHOWN_MODELS: Final = 20


def stop_card(each: Stopped, seen: Overview, visitor: Visitor) -> Html:
    """Return one stop."""
    stop, words = each.standing.stop, words_of(each.mode)
    facts: list[tuple[str, Content]] = [("Why", stop.reason or tag("em", "no reason given yet")), ("By", each.who)]
    if each.since is not None:
        when = tag("time", f"{moment(each.since)} UTC", datetime=moment(each.since).replace(" ", "T") + "Z")
        facts.append(("Since", [when, f", {since(seen.at - each.since)}"]))
    if each.standing.lifted_below:
        facts.append(("Still", "holds for models at ASL-3 and above; lifted below"))
    if models := seen.stopped_by(each):
        facts.append(("A stop for", f"{', '.join(models[:SHOWN_MODELS])}, whose files do not answer it"))
    facts.append(("Order", tag("code", stop.id)))
    links: list[Content] = [_incident(stop.id, seen, visitor)]
    if visitor.may_resume and not stop.id.startswith("file:"):
        links.append(
            tag("a", "Resume…", class_="on-stop", id=f"resume-{stop.id}", href=f"/control/resume?target={stop.id}")
        )
    elif stop.id.startswith("file:"):
        links.append(tag("p", "Holds while that file is in the orders' directory.", class_="hint"))
    return tag(
        "article",
        tag(
            "div",
            tag("h2", tag("span", f"{words.done} ", class_="kind"), named(each.scope)),
            tag("div", links, class_="buttons"),
            class_="line",
        ),
        tag("dl", [tag("div", tag("dt", name), tag("dd", words)) for name, words in facts]),
        _obeyed(each),
        class_=f"stop {tone(each.mode)}",
        id=f"stop-{stop.id.replace(':', '-')}",
    )


def _incident(stop: str, seen: Overview, visitor: Visitor) -> Html | None:
    """Return the way to the incident that a stop belongs to, or to opening one for it."""
    of_it = next((each for each in seen.incidents if stop in each.incident.orders), None)
    if of_it is not None:
        return tag("a", "Incident", class_="on-stop", id=f"incident-of-{stop}", href=f"{PAGE}/{of_it.id}")
    if visitor.may_open and not stop.startswith("file:"):
        return tag("a", "Open an incident…", class_="on-stop", id=f"incident-for-{stop}", href=f"{OPEN}?stop={stop}")
    return None


def _obeyed(each: Stopped) -> Html:
    """Say who has obeyed, and loudly who has not."""
    found = each.obeyed
    acks = {ack.worker: ack for ack in found.acks}
    cut = found.streams_cut
    cuts = words_of(each.mode).cuts or cut > 0
    who = "replica" if found.fleet is not None else "worker"
    chips = [
        tag("li", f"worker {name}: obeyed" + (f", {ack.streams_cut} cut" if cuts else ""))
        for name, ack in sorted(acks.items(), key=_by)
    ]
    chips += [tag("li", f"{who} {name}: NOT CONFIRMED", class_="bad") for name in found.missing]
    if not found.missing:
        words = f"Obeyed by {found.count}"
        words += f", {cut} running {'request' if cut == 1 else 'requests'} cut" if cuts else ""
    else:
        words = f"Only {found.count} have obeyed" + (f", {cut} running cut so far" if cuts else "")
    return tag("div", tag("p", words, class_="obeyed"), tag("ul", chips, class_="chips"), class_="line obedience")


def _by(each: tuple[str, object]) -> tuple[int, str]:
    return (int(each[0]) if each[0].isdigit() else 1 << 30, each[0])


def unreadable(why: str) -> Html:
    """Return what is said in place of stops that cannot be read."""
    words = (
        "Workers refuse what they cannot check. Models at ASL-3 and above are not served until it can be read again."
    )
    return tag("article", tag("h2", "The stop orders cannot be read"), tag("p", f"{why}. {words}"), class_="stop")
