"""Who looks at the control page, and whether a form came from it: cookies, origins, sessions, sign-in.

A session is a cookie for this site alone (SameSite=Strict, HttpOnly, Secure over TLS), and every request asks its
credential anew: a token that was removed or has expired, or a proxy that names somebody else, ends it at once. A drill
signs in as people do, and is let into one page, where it stops the self-test model and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from guard.admin.api import Person, Stoppers, nobody
from guard.admin.emergency import Emergency
from guard.admin.proxied import Proxied
from guard.admin.sessions import Proof, Session, Sessions
from guard.credentials import Register, bearer
from guard.incidents.events import ID
from guard.policy.process import AdminConfig
from guard.policy.sign_in import SessionLimits
from guard.refusal import Refused
from safeguards.ports import Clock
from safeguards.verdict import Code

_TOKEN: Final = "token"  # noqa: S105 - a word for a kind of proof
_PROXY: Final = "proxy"
_DRILL: Final = "drill"
_OF_DRILLS: Final = "/control/stop"


@dataclass(frozen=True, slots=True)
class Inside:
    """Somebody who is signed in."""

    person: Person
    session: Session


class Entrance:
    """Lets people in and out."""

    def __init__(
        self,
        people: Register[Person],
        admin: AdminConfig,
        clock: Clock,
        randomness: Callable[[int], bytes],
        drills: Stoppers = nobody,
    ) -> None:
        """Take who holds which token, the settings, the time, randomness, and who finds a drill by its token."""
        self._drills = drills
        self._drill: Person | None = None
        self.sessions = Sessions(clock, randomness)
        self._people = people
        self._clock = clock
        self.take(admin)

    def take(self, admin: AdminConfig) -> None:
        """Go by other settings; what they no longer allow is over with the next request."""
        self._limits: SessionLimits = admin.sessions
        self.proxied = Proxied(admin.proxy, self._clock.now)
        self.emergency = Emergency(admin.emergency_tokens, self._clock.now)

    def find(self, request: Request, *, used: bool) -> Inside | None:
        """Return who is signed in, None for nobody; raises ForgedHeaderError.

        ``used`` is whether a person did this: a page that renews itself keeps nobody signed in.
        """
        named = self.proxied.name(request.scope)
        secret = self._cookie(request)
        limits = self._limits
        session = self.sessions.find(secret, idle=limits.idle_seconds, longest=limits.longest_seconds, used=used)
        if session is None or (session.proof.kind == _DRILL and request.scope["path"] != _OF_DRILLS):
            return None
        try:
            return Inside(self._person(session.proof, named), session)
        except Refused:
            self.sessions.close(secret)
            return None

    def by_token(self, token: str) -> tuple[Person, str]:
        """Sign in with a token; returns who it is and what the cookie holds; raises Refused."""
        credential = bearer([(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))])
        with suppress(Refused):
            self._drill = self._drills(credential)
            return self._drill, self.sessions.open(Proof(_DRILL))
        digest = self._people.digest(credential)
        person = self._people.current(digest)
        return person, self.sessions.open(Proof(_TOKEN, digest))

    def by_proxy(self, request: Request) -> tuple[Person, str]:
        """Sign in as whom the trusted proxy names; raises ForgedHeaderError or Refused."""
        named = self.proxied.name(request.scope)
        if not named:
            raise Refused(Code.UNAUTHENTICATED, reason="no proxy names anybody")
        person = self.proxied.person(named)
        return person, self.sessions.open(Proof(_PROXY, named))

    def holder(self, token: bytes) -> Person:
        """Return in whose name an emergency token stops; raises Refused."""
        return self.emergency.holder(token)

    def leave(self, request: Request) -> None:
        """Sign out."""
        self.sessions.close(self._cookie(request))

    def cookie(self, request: Request, secret: str) -> str:
        """Write the header that sets the cookie; an empty secret removes it."""
        place = ["Path=/", "Secure"] if _secure(request) else ["Path=/control"]
        words = [f"{_cookie_name(request)}={secret}", *place, "HttpOnly", "SameSite=Strict"]
        return "; ".join([*words, *(["Max-Age=0"] if not secret else [])])

    def _person(self, proof: Proof, named: str) -> Person:
        if proof.kind == _TOKEN:
            return self._people.current(proof.value)
        if proof.kind == _DRILL and self._drill is not None:
            return self._drill  # the token is one for as long as this process lives
        if proof.value != named:
            raise Refused(Code.UNAUTHENTICATED, reason="the proxy names somebody else")
        return self.proxied.person(named)

    @staticmethod
    def _cookie(request: Request) -> str:
        """Read our cookie; whatever else this host's name carries is passed over, and two of ours are none."""
        lines = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"cookie"]
        pairs = [each.strip().partition("=") for line in lines for each in line.split(";")]
        found = [value for name, _, value in pairs if name == _cookie_name(request)]
        return found[0] if len(found) == 1 else ""


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a form was sent from a page of this very listener, as far as the browser tells.

    Browsers tell by Sec-Fetch-Site, by Origin, or by both; whatever they tell must fit. Who tells nothing is no browser
    of today, and the secret in the form still has to be right.
    """
    site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", "")
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin.lower() in {f"http://{host}".lower(), f"https://{host}".lower()}


def _secure(request: Request) -> bool:
    return bool(request.scope.get("scheme") == "https")


def _cookie_name(request: Request) -> str:
    # The prefix keeps any other host and any plain page from setting it (RFC 6265bis); it demands Secure and Path=/.
    return "__Host-guard" if _secure(request) else "guard_session"


def onward(text: str) -> str:
    """Return where somebody goes after signing in: a page of ours, whatever was asked for."""
    ours = text in _PAGES or _INCIDENT.fullmatch(text) or (text.startswith(_WITH_QUERY) and _plain(text))
    return text if ours else "/control"


MAX_ONWARD: Final = 512
_PAGES: Final = (
    "/control",
    "/control/stop",
    "/control/resume",
    "/control/approval",
    "/control/passkey",
    "/control/file",
    "/control/incidents",
    "/control/incidents/open",
)
_WITH_QUERY: Final = ("/control/stop?", "/control/resume?", "/control/approval?", "/control/incidents/open?")
_INCIDENT: Final = re.compile(rf"/control/incidents/{ID.pattern}")


def _plain(text: str) -> bool:
    return len(text) <= MAX_ONWARD and text.isascii() and text.isprintable() and " " not in text and "\\" not in text
