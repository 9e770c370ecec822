"""The control page as a way to stop: sign in, read the form, send it with what a browser would say of it."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from guard.drills.bench import Bench, NoWayError
from guard.drills.entry import admin_place, calling
from guard.state.directory import OrderDirectory
from guard.state.scope import Scope

_STOP: Final = "/control/stop"
_MAX_PAGE: Final = 1_048_576


async def by_page(bench: Bench, scope: Scope, reason: str) -> str:
    """Stop by the form of the control page; returns the order's id. Raises NoWayError, OSError or httpx.HTTPError."""
    there = admin_place(bench.state)
    async with calling(there) as browser:
        at = there.host or browser.base_url.netloc.decode("ascii")
        sent = {"origin": f"{browser.base_url.scheme}://{at}", "sec-fetch-site": "same-origin"}
        onward = f"{_STOP}?{urlencode({'scope': str(scope)})}"
        signed_in = await browser.post("/control/sign-in", data={"token": there.token, "onward": onward}, headers=sent)
        sent["cookie"] = signed_in.headers.get("set-cookie", "").partition(";")[0]
        browser.cookies.clear()  # it would be sent twice
        if signed_in.headers.get("location") != onward:
            raise NoWayError(f"the control page answers {signed_in.status_code} to signing in")
        form = _Form()
        form.feed((await browser.get(onward, headers=sent)).text[:_MAX_PAGE])
        if form.fields.get("scope") != str(scope):
            raise NoWayError("the control page shows no form that stops this")
        done = await browser.post(_STOP, data={**form.fields, "reason": reason}, headers=sent)
        if done.status_code != HTTPStatus.SEE_OTHER:
            raise NoWayError(f"the control page answers {done.status_code} to its form")
    return await asyncio.to_thread(_newest, bench, scope)


def _newest(bench: Bench, scope: Scope) -> str:
    """The order that the page gave: it shows none before the next look, which a drill may not have."""
    held = OrderDirectory(bench.orders).snapshot(bench.judge).still_held(0)
    found = [each.id for each in held if each.scope == scope]
    if not found:
        raise NoWayError("the control page took its form and ordered nothing")
    return found[-1]


class _Form(HTMLParser):
    """Gathers what the form that stops would send without anything being typed or chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = said.get("action") == _STOP
        elif tag == "input" and self._inside and said.get("type") == "hidden":
            self.fields[said.get("name", "")] = said.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"
