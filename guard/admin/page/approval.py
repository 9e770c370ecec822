"""What two people approve to resume a model at ASL-3, the ways to, who has, and what is still lacking.

Neither the statement nor a signature ever stands in an address, only a name for the statement.
It is one file, so that each way to approve is seen to be of the same statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from guard.admin.approving import MAX_PASTED, Signing
from guard.admin.modes import known, words_of
from guard.admin.page.frame import Visitor, page, secret
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import named, sentence
from guard.admin.page.press import Keys, press
from guard.admin.times import moment
from guard.approval.port import PEOPLE
from guard.approval.resume import Lift
from guard.state.merge import told_people
from guard.state.orders import MAX_APPROVAL
from guard.state.shown import RULE_ON

SHOWN = 20
_LINES = 24
_NUMBER = {2: "Two", 3: "Three"}


def ask_approval(
    found: Signing,
    target: str,
    visitor: Visitor,
    name: str,
    keys: Keys | None,
    *,
    done: str = "",
    wrong: str = "",
) -> bytes:
    """Return the statement with the ways to approve it; ``name`` is the statement's, ``keys`` None without passkeys.

    ``done`` says what was done, ``wrong`` why nothing was.
    """
    pressed = keys is not None and bool(keys.credentials) and visitor.name in found.could and not found.stale
    scopes = ", ".join(dict.fromkeys(named(each.scope) for each in found.named.lifts))
    lifts = [_lifted(each) for each in found.named.lifts]
    return page(
        f"Resume {scopes}",
        tag(
            "section",
            tag("h1", f"{_NUMBER.get(PEOPLE, PEOPLE)} people approve resuming {scopes}", id="act-title"),
            tag("p", done, class_="lead") if done else None,
            _words([wrong] if wrong else [], "refused"),
            _stale(found),
            tag("p", "It lifts, and nothing else: ", class_="soft"),
            tag("ul", lifts[:SHOWN], class_="marked"),
            tag("p", f"and {len(lifts) - SHOWN} more, all in the statement") if len(lifts) > SHOWN else None,
            tag("p", f"Why: {found.named.reason}. It holds until {moment(found.named.expires)} UTC.", class_="soft"),
            _lacking(found),
            press(found.statement, visitor, keys, "/control/approval", {"of": name})
            if pressed and keys is not None
            else _no_press(found, keys, visitor),
            tag(
                "h2",
                "Or sign it in a terminal" if pressed else "1. Each reads the statement and signs it in a terminal",
            ),
            tag(
                "p",
                "Put the file of your SSH key in place of KEY; the signature is what it prints. ",
                _who(found),
                class_="soft",
                id="how",
            ),
            _copied(found.command),
            [tag("h2", "2. Paste the signatures, one below the other"), _form(found, target, visitor)]
            if visitor.may_resume
            else tag("p", "Give the signature to whoever resumes, who pastes it.", class_="soft"),
            class_="act-on broad",
            aria_labelledby="act-title",
        ),
        visitor=visitor,
        copies=True,
        keys=pressed,
    )


def _no_press(found: Signing, keys: Keys | None, visitor: Visitor) -> Html | None:
    """Say where passkeys are taken who may use one: somebody else, or who looks, after making one."""
    if keys is None or found.stale:
        return None
    words: list[Content] = [
        "Whoever approves with a passkey finds this on the control page, under Waiting for approval."
    ]
    if visitor.name in found.could:
        words = ["You have no passkey here: ", tag("a", "make one", href="/control/passkey"), "."]
    return tag("p", words, class_="soft")


def _lifted(lift: Lift) -> Html:
    """One order with what it does and who gave it; a statement of version 1 does not say."""
    done = words_of(lift.mode).done.lower() if known(lift.mode) else lift.mode
    return tag(
        "li", tag("strong", named(lift.scope)), f", {done} by {lift.who} " if done else " ", tag("code", lift.order)
    )


def brought(target: str, visitor: Visitor) -> Html:
    """Return the form for whoever has a statement and its signatures already."""
    return tag(
        "details",
        tag("summary", "It is signed already"),
        tag(
            "form",
            secret(visitor),
            tag("input", type="hidden", name="target", value=target),
            _area("approval", "The statement", "as it was signed", "", MAX_APPROVAL),
            _area("signatures", "The signatures", "if there are any yet", "", MAX_PASTED, needed=False),
            tag("div", tag("button", "Resume as approved", class_="resume-now"), class_="buttons"),
            method="post",
            action="/control/resume/approved",
        ),
    )


def ask_wrong(words: str, target: str, visitor: Visitor) -> bytes:
    """Return what is said where what was brought is no statement at all."""
    return page(
        "Not resumed",
        tag(
            "section",
            tag("h1", "Not resumed"),
            tag("p", sentence(words), role="alert", class_="refused"),
            brought(target, visitor),
            tag("p", tag("a", "Back to the control page", href="/control")),
            class_="act-on broad",
        ),
        visitor=visitor,
    )


def resumed_in_part(lifted: Sequence[str], people: Sequence[str], held: Sequence[str], visitor: Visitor) -> bytes:
    """Return what an approved resume has done where something else still stops a model."""
    return page(
        "Lifted, and still stopped",
        tag(
            "section",
            tag("h1", "Lifted as approved, and still stopped"),
            tag(
                "p",
                "Lifted ",
                [[tag("code", each), " "] for each in lifted[:SHOWN]],
                f"as {' and '.join(people)} approved.",
            ),
            _words(held, "refused"),
            tag("p", tag("a", "Back to the control page", href="/control", class_="act-link")),
            class_="act-on broad",
        ),
        visitor=visitor,
    )


def _stale(found: Signing) -> Html | None:
    if not found.stale:
        return None
    return tag(
        "div",
        tag("p", "This statement is not enough any more:"),
        tag("ul", [tag("li", sentence(each)) for each in found.stale[:SHOWN]]),
        tag("p", tag("a", "Write a new one", href=f"/control/resume?target={quote(_again(found))}")),
        role="alert",
        class_="refused",
        id="stale-statement",
    )


def _again(found: Signing) -> str:
    """Name what the statement was of: stops by their scope, which another may share by now, a rule by its id."""
    lift = found.named.lifts[0]
    return lift.order if lift.scope.startswith(RULE_ON) else lift.scope


def _who(found: Signing) -> str:
    people = (*found.signed, *found.could)
    if not people:
        return "Nobody in operators.yaml may sign: two people with the role approver must be entered first."
    return f"May sign: {', '.join(people[:SHOWN])}."


def _lacking(found: Signing) -> list[Content]:
    words: list[Content] = []
    if found.pasted.strip() or found.signed:
        people = told_people(found.signed, found.kinds)
        signed = f"Approved by {people}. " if people else "No approval counts yet. "
        if found.lacking:
            more = "One more is lacking" if found.lacking == 1 else f"{found.lacking} are lacking"
            signed += f"{more}{', of ' + ' or '.join(found.could[:SHOWN]) if found.could else ''}."
        words.append(tag("p", signed, id="lacking", role="status", class_="word"))
        words.append(_words(found.refused, "", "what-is-wrong"))
    return words


def _words(found: Sequence[str], class_: str, id_: str | None = None) -> Html | None:
    if not found:
        return None
    items = [tag("li", sentence(each)) for each in found[:SHOWN]]
    return tag("ul", items, class_=class_ or "marked", id=id_, role="alert" if class_ else None)


def _copied(command: str) -> Html:
    return tag(
        "div",
        tag("label", "The command, with the statement in it", for_="command", class_="unseen"),
        tag(
            "textarea",
            command,
            id="command",
            readonly=True,
            rows=min(_LINES, command.count("\n")),
            spellcheck="false",
            wrap="off",
            aria_describedby="how",
        ),
        tag("button", "Copy", type="button", class_="copy", data_copy="command", hidden=True),
        class_="field",
    )


def _form(found: Signing, target: str, visitor: Visitor) -> Html:
    return tag(
        "form",
        secret(visitor),
        tag("input", type="hidden", name="target", value=target),
        tag("input", type="hidden", name="approval", value=found.statement),
        _area(
            "signatures",
            "Signatures",
            "as ssh-keygen printed them",
            found.pasted,
            MAX_PASTED,
            needed=found.lacking > 0,
        ),
        tag(
            "div",
            tag("button", "Resume as approved", class_="resume-now", id="resume-approved"),
            tag("a", "Back", href="/control", class_="quiet"),
            class_="buttons",
        ),
        method="post",
        action="/control/resume/approved",
    )


def _area(name: str, label: str, hint: str, value: str, most: int, *, needed: bool = True) -> Html:
    return tag(
        "p",
        tag("label", label, tag("span", f" {hint}", class_="soft"), for_=name),
        tag(
            "textarea",
            value,
            name=name,
            id=name,
            rows=8,
            maxlength=most,
            spellcheck="false",
            wrap="off",
            required=needed,
        ),
        class_="field",
    )
