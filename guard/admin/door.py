"""Signing in and out: what is asked of whom, and what an attempt comes to."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from guard.admin.answers import go, html, read_form
from guard.admin.api import Fleet
from guard.admin.attempts import Attempts
from guard.admin.entrance import Entrance, Inside, onward
from guard.admin.overview import Instruments
from guard.admin.page import sign_in
from guard.admin.proxied import peer
from guard.admin.visiting import refuse
from guard.refusal import Refused
from safeguards.ports import Clock


class Door:
    """Asks who somebody is, and lets them in and out."""

    def __init__(self, entrance: Entrance, fleet: Fleet, panel: Instruments, clock: Clock) -> None:
        """Take who is let in, who hears of refusals, what puts an act on record, and the time."""
        self._entrance = entrance
        self._fleet = fleet
        self._panel = panel
        self._attempts = Attempts(clock)

    def ask_who(self, request: Request, then: str, wrong: str = "", status: int = 200) -> Response:
        """Show the sign-in page; a link from another site brings no cookie along, so ask once more from here first."""
        if request.method == "GET" and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return html(sign_in.again(then))
        named = self._entrance.proxied.name(request.scope)
        page = sign_in.sign_in(onward(then), wrong, named, emergency=bool(self._entrance.emergency))
        return html(page, status)

    def not_yours(self, inside: Inside) -> Response:
        """Say that the role of somebody who is signed in may not do this."""
        role = inside.person.role.value
        self._fleet.refused(f"{inside.person.token} is a {role}")
        return refuse(403, inside, "Not yours to do", f"The role {role} may not do this.")

    async def sign_in(self, request: Request) -> Response:
        """Sign in by token."""
        address, _ = peer(request.scope)
        fields = await read_form(request, "token", "onward")
        then = onward(fields["onward"])
        try:
            person, secret = self._entrance.by_token(fields["token"].strip())
        except Refused as refused:
            if wait := self._attempts.wait(address):
                self._fleet.refused(f"too many attempts to sign in from {address}")
                answer = self.ask_who(request, then, "Too many wrong tokens from your address. Wait a minute.", 429)
                answer.headers["retry-after"] = str(int(wait) + 1)
                return answer
            self._attempts.failed(address)
            self._fleet.refused(f"sign-in: {refused.reason}")
            words = "This token has expired." if refused.reason == "expired" else "This is no token that is known here."
            return self.ask_who(request, then, words, 403)
        self._attempts.succeeded(address)
        return self._welcome(request, person.name, person.token, secret, then)

    async def sign_in_by_proxy(self, request: Request) -> Response:
        """Sign in as whom the trusted proxy names."""
        then = onward((await read_form(request, "onward"))["onward"])
        try:
            person, secret = self._entrance.by_proxy(request)
        except Refused as refused:
            self._fleet.refused(f"sign-in by proxy: {refused.reason}")
            return self.ask_who(request, then, "You are not listed in admin.proxy.people, or not any longer.", 403)
        return self._welcome(request, person.name, person.token, secret, then)

    def _welcome(self, request: Request, who: str, by: str, secret: str, then: str) -> Response:
        self._panel.note(who, "sign in", by, "")
        return go(then, self._entrance.cookie(request, secret))

    async def sign_out(self, request: Request, inside: Inside, _: Mapping[str, str]) -> Response:
        """Sign out."""
        self._entrance.leave(request)
        self._panel.note(inside.person.name, "sign out", inside.person.token, "")
        return go("/control", self._entrance.cookie(request, ""))
