"""Emergency tokens: they stop, and do nothing else; they need no session, no pepper and nobody's sign-in.

Stored as a plain SHA-256: a token has 256 random bits, so there is nothing to guess, and a lost pepper loses none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from guard.admin.api import Person
from guard.policy.compile import first_moment
from guard.policy.roles import OperatorRole
from guard.policy.sign_in import EmergencyToken
from guard.refusal import Refused
from safeguards.verdict import Code

PREFIX: Final = "et-guard"


def stored(token: bytes) -> str:
    """Compute what is kept of a token."""
    return hashlib.sha256(token).hexdigest()


class Emergency:
    """Who may stop with which token."""

    def __init__(self, tokens: Sequence[EmergencyToken], now: Callable[[], float]) -> None:
        """Take the entries of the configuration and the time in seconds since the epoch."""
        self._tokens = {each.sha256: each for each in tokens}
        self._now = now

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def holder(self, token: bytes) -> Person:
        """Return in whose name a stop is given: the token's holder and its owner; raises Refused."""
        each = self._tokens.get(stored(token))
        if each is None:
            raise Refused(Code.UNAUTHENTICATED, reason="unknown")
        if first_moment(each.expires) <= self._now():
            raise Refused(Code.KEY_EXPIRED, reason="expired")
        return Person(f"emergency:{each.id}", f"{each.holder} (emergency token, {each.owner})", OperatorRole.RESPONDER)
