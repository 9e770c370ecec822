"""The sign-in page: a token, or what a trusted proxy says; and beside it the stop that needs no session at all."""

from __future__ import annotations

from guard.admin.page.acts import other_ways
from guard.admin.page.frame import page
from guard.admin.page.html import Content, Html, tag
from guard.admin.page.parts import MAX_SCOPE
from guard.credentials import MAX_CREDENTIAL
from guard.state.orders import MAX_REASON
from guard.state.scope import SCOPE_FORMS


def sign_in(onward: str, wrong: str, known: str, *, emergency: bool) -> bytes:
    """Return the page: ``onward`` is where to go then, ``known`` whom a trusted proxy names, ``wrong`` what failed."""
    forms: list[Content] = []
    if known:
        forms.append(
            tag(
                "form",
                tag("input", type="hidden", name="onward", value=onward),
                tag("button", f"Continue as {known}", class_="go", id="continue", autofocus=True),
                method="post",
                action="/control/sign-in/proxy",
            )
        )
    forms.append(
        tag(
            "form",
            tag("input", type="hidden", name="onward", value=onward),
            _token("token", "Your token", focus=not known),
            tag("div", tag("button", "Sign in", class_="go", id="sign-in"), class_="buttons"),
            method="post",
            action="/control/sign-in",
        )
    )
    return page(
        "Sign in",
        tag(
            "section",
            tag("h1", "Sign in"),
            tag("p", wrong, class_="refused", role="alert") if wrong else None,
            forms,
            class_="act-on",
        ),
        _emergency() if emergency else None,
        tag("div", other_ways(), class_="act-on"),
    )


def again(address: str) -> bytes:
    """Return a page that asks once more from here: cookies do not come along with a link from another site."""
    return page("One moment", tag("p", tag("a", "Go on", href=address), class_="act-on"), renew=address)


def _token(name: str, label: str, *, focus: bool = False) -> Html:
    return tag(
        "p",
        tag("label", label, for_=name),
        tag(
            "input",
            name="token",
            id=name,
            type="password",
            required=True,
            maxlength=MAX_CREDENTIAL,
            autocomplete="current-password" if name == "token" else "off",
            autofocus=focus,
        ),
        class_="field",
    )


def _emergency() -> Html:
    return tag(
        "section",
        tag("h2", "Stop with an emergency token", id="emergency-title"),
        tag("p", "It can do nothing else, and its use wakes people up.", class_="soft"),
        tag(
            "form",
            _token("emergency", "Emergency token"),
            tag(
                "p",
                tag("label", "What", tag("span", f" {SCOPE_FORMS}", class_="soft"), for_="what"),
                tag(
                    "input",
                    name="scope",
                    id="what",
                    value="all",
                    required=True,
                    maxlength=MAX_SCOPE,
                    autocomplete="off",
                ),
                class_="field",
            ),
            tag(
                "p",
                tag("label", "Who you are, and why", for_="why"),
                tag("input", name="reason", id="why", maxlength=MAX_REASON, autocomplete="off"),
                class_="field",
            ),
            tag("div", tag("button", "Stop now", class_="stop-now", id="emergency-stop"), class_="buttons"),
            method="post",
            action="/control/emergency",
        ),
        class_="act-on",
        aria_labelledby="emergency-title",
    )
