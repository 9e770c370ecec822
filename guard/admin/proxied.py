"""Whom a trusted proxy names: a header that counts from a pinned peer, and from anybody else is a forgery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from guard.admin.api import Person
from guard.policy.compile import first_moment
from guard.policy.sign_in import ProxySignIn
from guard.refusal import Refused
from safeguards.verdict import Code

UNIX = "unix"
OF_DRILLS = "urn:asl-guard:drill"
"""Whom the certificate of the guard's own drills is for: no proxy."""


class ForgedHeaderError(Exception):
    """The header of the proxy came from somebody who is not the proxy; the message names the peer."""


class Proxied:
    """Reads the one header, from the one peer."""

    def __init__(self, settings: ProxySignIn | None, now: Callable[[], float]) -> None:
        """Take the settings, None where no proxy is trusted, and the time in seconds since the epoch."""
        self._settings = settings
        self._now = now
        people = () if settings is None else settings.people
        self._people = {each.name: each for each in people}

    def name(self, scope: Mapping[str, Any]) -> str:
        """Return whom the proxy names in this request, empty for nobody; raises ForgedHeaderError."""
        settings = self._settings
        if settings is None:
            return ""
        wanted = settings.header.encode("ascii")
        found = [value for header, value in scope["headers"] if header == wanted]
        if not found:
            return ""
        address, certificate = peer(scope)
        trusted = _pinned(address, settings.peers) and _pinned(certificate, settings.certificates)
        if not trusted or certificate == OF_DRILLS:
            raise ForgedHeaderError(
                f"{settings.header} from {address or 'nowhere'} ({certificate or 'no certificate'})"
            )
        if len(found) > 1:
            raise ForgedHeaderError(f"{settings.header} twice from {address}")
        return str(found[0], "utf-8", "replace").strip()

    def person(self, name: str) -> Person:
        """Return who has this name; raises Refused for a name that is not listed, or not any longer."""
        each = self._people.get(name)
        if each is None:
            raise Refused(Code.UNAUTHENTICATED, reason="the proxy names somebody who is not listed")
        if first_moment(each.expires) <= self._now():
            raise Refused(Code.KEY_EXPIRED, reason="expired")
        return Person(f"proxy:{name}", each.person, each.role)


def peer(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Return who is at the other end: its address (``unix`` on a Unix socket) and whom its certificate is for."""
    client = scope.get("client")
    connection = scope.get("extensions", {}).get("guard.connection")
    address = str(client[0]) if client else UNIX
    # A socket of both families writes an IPv4 address in IPv6's form.
    return address.removeprefix("::ffff:"), str(getattr(connection, "peer", ""))


def _pinned(found: str, listed: Iterable[str]) -> bool:
    """Nothing listed leaves it to the other pin; a configuration has at least one of the two."""
    return not tuple(listed) or found in listed
