"""Sessions of the control page: short, few, and no more than the credential behind them still allows.

Kept in the supervisor's memory alone: a restart signs everybody out, and a copy of a disk holds none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from safeguards.ports import Clock

SECRET_BYTES: Final = 32
MAX_SESSIONS: Final = 1_000
MAX_PER_HOLDER: Final = 10
MAX_SECRET: Final = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody signed in with: ``kind`` is token, proxy or drill.

    ``value`` is the token's digest or the name that the proxy gives; empty for a drill, which is always the same.
    """

    kind: str
    value: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser; ``form`` is the secret that its forms carry, times are the clock's steady seconds."""

    proof: Proof
    form: str = field(repr=False)
    opened: float
    used: float


class Sessions:
    """All of them, by the hash of what the cookie holds. Not for several threads."""

    def __init__(
        self, clock: Clock, randomness: Callable[[int], bytes], *, most: int = MAX_SESSIONS, each: int = MAX_PER_HOLDER
    ) -> None:
        """Begin with none; ``most`` at once, and ``each`` of them for one credential."""
        self._clock = clock
        self._randomness = randomness
        self._most = most
        self._each = each
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, proof: Proof) -> str:
        """Sign in; returns what the cookie holds. Where there is no room, the one unused for longest goes."""
        mine = [name for name, session in self._sessions.items() if session.proof == proof]
        if len(mine) >= self._each:
            self._drop_oldest(mine)
        if len(self._sessions) >= self._most:
            self._drop_oldest(list(self._sessions))
        secret, form, now = self._secret(), self._secret(), self._clock.steady()
        self._sessions[_name(secret)] = Session(proof, form, now, now)
        return secret

    def find(self, secret: str, *, idle: float, longest: float, used: bool) -> Session | None:
        """Return the session of a cookie, None when there is none or its time is over, which ends it.

        ``idle`` and ``longest`` are seconds without use, and in all; ``used`` is whether a person did this, and not
        a page that renews itself.
        """
        if len(secret) > MAX_SECRET:
            return None
        name, now = _name(secret), self._clock.steady()
        session = self._sessions.get(name)
        if session is None:
            return None
        if now - session.used >= idle or now - session.opened >= longest:
            del self._sessions[name]
            return None
        if used:
            session = self._sessions[name] = Session(session.proof, session.form, session.opened, now)
        return session

    def close(self, secret: str) -> None:
        """Sign out."""
        self._sessions.pop(_name(secret), None)

    def _drop_oldest(self, names: list[str]) -> None:
        del self._sessions[min(names, key=lambda name: self._sessions[name].used)]

    def _secret(self) -> str:
        return base64.urlsafe_b64encode(self._randomness(SECRET_BYTES)).decode("ascii").rstrip("=")


def _name(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
