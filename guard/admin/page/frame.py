"""What every page has around it: the head, who is signed in, and what makes it live."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.admin.page.html import Content, Html, tag
from guard.admin.times import clock

ASSETS: Final = {
    name: ((Path(__file__).parent / name).read_bytes(), kind)
    for name, kind in (
        ("control.css", "text/css; charset=utf-8"),
        ("control.js", "text/javascript; charset=utf-8"),
        ("copy.js", "text/javascript; charset=utf-8"),
        ("passkey.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    )
}
"""Bytes and content type of each file that pages refer to."""
VERSION: Final = hashlib.sha256(b"".join(body for body, _ in ASSETS.values())).hexdigest()[:16]
REFRESH_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: the name, the role's word, whether it may stop, and resume, and its forms' secret.

    Of incidents: whether it may open one, handle them, and take a bundle of one along. ``may_approve`` is whether it
    may look at what waits for approval.
    """

    name: str
    role: str
    may_stop: bool
    may_resume: bool
    form: str
    may_open: bool = False
    may_handle: bool = False
    may_export: bool = False
    may_approve: bool = False


def page(
    title: str,
    *main: Content,
    visitor: Visitor | None = None,
    live: str = "",
    forms: bool = False,
    corner: Content = None,
    renew: str = "",
    copies: bool = False,
    keys: bool = False,
) -> bytes:
    """Return a whole document; ``corner`` stands in the header, ``copies`` is whether it has a button that copies.

    ``live`` is the page's own address if it renews itself, by the script or without it; one with ``forms`` only by the
    script, which leaves them alone: without it they would go from under somebody's hands. ``renew`` is an address that
    is gone to at once. ``keys`` is whether it asks for a passkey.
    """
    if live:
        again = tag("meta", http_equiv="refresh", content=f"{REFRESH_SECONDS};url={live}?auto=1")
        renewal: Content = (
            tag("script", src=asset("control.js"), defer=True, data_page=live),
            None if forms else tag("noscript", again),
        )
    else:
        renewal = tag("meta", http_equiv="refresh", content=f"0;url={renew}") if renew else None
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · ASL Guard"),
        tag("link", rel="icon", href=asset("icon.svg"), type="image/svg+xml"),
        tag("link", rel="stylesheet", href=asset("control.css")),
        renewal,
        tag("script", src=asset("copy.js"), defer=True) if copies else None,
        tag("script", src=asset("passkey.js"), defer=True) if keys else None,
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", class_="skip", href="#main"),
        tag("header", _header(visitor, corner), class_="bar"),
        tag("main", main, id="main", tabindex="-1"),
        tag("p", class_="unseen", id="said", role="status", aria_live="polite") if live else None,
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def asset(name: str) -> str:
    """Return the address of one of the files; another content has another address."""
    return f"/control/{name}?v={VERSION}"


def now(at: float, *, forms: bool = False) -> Html:
    """Return what stands in the header of a live page: whether it is, and as of when it shows what it shows."""
    return tag(
        "p",
        tag("span", "Live", id="link", data_state="still"),
        tag("span", tag("time", f"{clock(at)} UTC", id="clock"), data_live="", id="as-of"),
        tag("noscript", tag("span", f"renewed every {REFRESH_SECONDS} s")) if not forms else None,
        class_="now",
    )


def secret(visitor: Visitor) -> Html:
    """Return the field without which no form is taken."""
    return tag("input", type="hidden", name="form", value=visitor.form)


def _header(visitor: Visitor | None, corner: Content) -> Html:
    brand = tag("a", tag("span", class_="mark", aria_hidden="true"), "ASL Guard", class_="brand", href="/control")
    if visitor is None:
        return tag("div", brand, corner, class_="wide")
    out = tag(
        "form",
        secret(visitor),
        tag("span", visitor.name, tag("span", f" {visitor.role}", class_="soft"), class_="who"),
        tag("button", "Sign out", class_="quiet", id="sign-out"),
        method="post",
        action="/control/sign-out",
    )
    return tag("div", brand, corner, out, class_="wide")
