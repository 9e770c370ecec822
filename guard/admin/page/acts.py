"""The second of the two actions, and the way back: what a stop would cut, what a resume would free."""

from __future__ import annotations

from typing import Final

from guard.admin.modes import OTHERS, words_of
from guard.admin.obedience import Confirmed
from guard.admin.page.approval import brought
from guard.admin.page.frame import Visitor, page, secret
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import named, tone
from guard.admin.running import Running, by_model, total
from guard.admin.switchboard import Placed
from guard.admin.times import moment
from guard.state.merge import InForce, mode_of
from guard.state.orders import MAX_REASON, WHOLE_MODELS, RuleOrder, StopOrder
from guard.state.resume import ResumePlan
from guard.state.scope import Scope
from safeguards.mode import RUNGS, Mode

SHOWN_STOPS: Final = 10
_PEOPLE: Final = "A model at ASL-3 or above is resumed when two people have approved it by their signatures."


def ask_stop(
    scope: str, running: tuple[Running, ...] | None, who: tuple[int, int], visitor: Visitor, held: tuple[InForce, ...]
) -> bytes:
    """Return the preview with the button; ``running`` is what it would cut here, None where that cannot be known.

    ``who`` will obey: so many workers here and so many other replicas. ``held`` are the orders of exactly this scope.
    """
    already = any(mode_of(each) is Mode.STOP for each in held)
    gentler = [each for each in held if isinstance(each, StopOrder) and each.mode is not Mode.STOP]
    cuts = "the running requests that it covers" if running is None else _count(total(running), "running request")
    workers, others = who
    words = f"It cuts {cuts} and refuses new ones, at once, on {_count(workers, 'worker')}."
    if others:
        there = _count(others, "other replica")
        words = f"It cuts {cuts} here, and all that it covers on {there}, and refuses new ones at once."
    models = by_model(running or ())
    return page(
        f"Stop {named(scope)}",
        tag(
            "section",
            tag("h1", f"Stop {named(scope)}", id="act-title"),
            tag("p", words, class_="lead"),
            tag("p", "Of these: ", ", ".join(f"{name} {count}" for name, count in models), class_="soft")
            if len(models) > 1
            else None,
            tag("p", "It is stopped already; a second stop holds by itself.", class_="soft") if already else None,
            [_was(each) for each in gentler[:SHOWN_STOPS]],
            tag(
                "form",
                secret(visitor),
                tag("input", type="hidden", name="scope", value=scope),
                _reason("Why", "may be left empty and said later", required=False),
                tag(
                    "div",
                    tag("button", f"Stop {named(scope)} now", class_="stop-now", id="stop-now", autofocus=True),
                    tag("a", "Back", href="/control", class_="quiet"),
                    class_="buttons",
                ),
                _others(scope),
                method="post",
                action="/control/stop",
            ),
            class_="act-on",
            aria_labelledby="act-title",
        ),
        visitor=visitor,
    )


def ask_resume(
    target: str, stops: tuple[StopOrder, ...], plan: ResumePlan, visitor: Visitor, *, rule: RuleOrder | None = None
) -> bytes:
    """Return what a resume would do to these stops, or lifting this rule, with the button unless it may not be."""
    scope = f"rule on {named(str(rule.scope))}" if rule else named(str(stops[0].scope)) if stops else target
    free = " is screened by these rules no more" if rule else " is served again, if it meets its standard"
    stays = "screened by them" if rule else "stopped"
    freed = [tag("li", tag("strong", each), free) for each in plan.freed]
    held = [tag("li", tag("strong", each.model), f" stays {stays}: {each.why}") for each in plan.held]
    form: Content = tag("p", f"Refused: {plan.refused}", class_="refused", role="alert")
    if not plan.refused or plan.approvable:
        form = [
            tag("p", f"{_PEOPLE} What they sign is written next.", class_="refused") if plan.approvable else None,
            tag(
                "form",
                secret(visitor),
                tag("input", type="hidden", name="target", value=target),
                tag("input", type="hidden", name="seen", value=plan.mark),
                _reason("Why it may be served again", "goes on record under your name", required=True),
                tag(
                    "div",
                    tag(
                        "button",
                        "Write what two people sign" if plan.refused else "Resume",
                        class_="resume-now",
                        id="resume-now",
                    ),
                    tag("a", "Back", href="/control", class_="quiet"),
                    class_="buttons",
                ),
                method="post",
                action="/control/resume",
            ),
            brought(target, visitor) if plan.approvable else None,
        ]
    return page(
        f"Resume {scope}",
        tag(
            "section",
            tag("h1", f"Resume {scope}", id="act-title"),
            tag("p", f"This lifts no stop, but {_count(len(rule.rules), 'rule')} pushed by {rule.who}: {rule.reason}")
            if rule
            else None,
            [_was(each) for each in stops[:SHOWN_STOPS]],
            tag("p", f"and {len(stops) - SHOWN_STOPS} more stops", class_="soft") if len(stops) > SHOWN_STOPS else None,
            tag("ul", freed, held, class_="marked") if freed or held else None,
            form,
            tag("p", tag("a", "Back to the control page", href="/control"))
            if plan.refused and not plan.approvable
            else None,
            class_="act-on",
            aria_labelledby="act-title",
        ),
        visitor=visitor,
    )


def problem(title: str, words: str, visitor: Visitor | None = None) -> bytes:
    """Return a page that says what did not happen, and the ways that are left."""
    return page(
        title,
        tag(
            "section",
            tag("h1", title),
            tag("p", words, role="alert", class_="lead"),
            other_ways(),
            tag("p", tag("a", "Back to the control page", href="/control")),
            class_="act-on",
        ),
        visitor=visitor,
    )


def stopped_by_emergency(placed: Placed, found: Confirmed) -> bytes:
    """Return what an emergency token has done."""
    words = f"Obeyed by {found.count}, {_count(found.streams_cut, 'running request')} cut."
    who = "worker " if found.fleet is None else ""
    late = f" Not confirmed by {who}{', '.join(found.missing[:SHOWN_STOPS])}." if found.missing else ""
    return page(
        f"Stopped: {named(str(placed.scope))}",
        tag(
            "section",
            tag("article", tag("h1", f"Stopped: {named(str(placed.scope))}"), tag("p", words + late), class_="stop"),
            tag("p", "By ", placed.who, ". Order ", tag("code", placed.order), "."),
            tag("p", tag("a", "Back", href="/control")),
            class_="act-on",
        ),
    )


def other_ways() -> Html:
    """Name the ways to stop that need neither this page nor anybody's leave."""
    return tag(
        "p",
        "Ways to stop that need no page: ",
        tag("code", "guard stop all"),
        " on the host, or ",
        tag("code", "touch STATE/orders/STOP"),
        ".",
        class_="soft",
    )


def _reason(name: str, hint: str, *, required: bool) -> Html:
    return tag(
        "p",
        tag("label", name, tag("span", f" {hint}", class_="soft"), for_="reason"),
        tag("input", name="reason", id="reason", maxlength=MAX_REASON, required=required, autocomplete="off"),
        class_="field",
    )


def _others(scope: str) -> Html:
    """Offer what is not a stop, out of the way of whoever wants a stop; rungs are of whole models alone."""
    whole = Scope.parse(scope).kind in WHOLE_MODELS
    rows = [
        tag(
            "li",
            tag("button", words_of(each.value).act, name="mode", value=each.value, class_=f"act {tone(each.value)}"),
            tag("span", f" {words_of(each.value).does}", class_="soft"),
        )
        for each in OTHERS
        if whole or each not in RUNGS
    ]
    return tag("details", tag("summary", "More: something other than a stop"), tag("ul", rows, class_="gentler"))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _was(stop: StopOrder) -> Html:
    reason = f": {stop.reason}" if stop.reason else ", without a reason"
    words = f"{words_of(stop.mode.value).done} by {stop.who} at {moment(stop.created)} UTC{reason}. "
    return tag("p", words, tag("code", stop.id), class_="soft")
