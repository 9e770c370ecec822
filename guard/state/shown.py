"""An order as a statement shows it to the people who sign its lifting: what must be true of it for their word to count.

Who has a host's key can write any statement and have it signed. So each process that obeys orders holds every word of
it that people read against the order itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from guard.state.orders import RuleOrder, StopOrder, encode

Liftable = StopOrder | RuleOrder


def fingerprint(order: Liftable) -> str:
    """Return the SHA-256 of an order's written form, hexadecimal: what people approve the lifting of."""
    return hashlib.sha256(encode(order)).hexdigest()


RULE_ON: Final = "rule on "


@dataclass(frozen=True, slots=True)
class Shown:
    """An order as a statement shows it to those who sign its lifting: they read its words, and not its digest.

    ``mode`` and ``who`` are empty in statements of version 1, which do not say them.
    """

    order: str
    sha256: str
    scope: str
    mode: str = ""
    who: str = ""

    @classmethod
    def of(cls, order: Liftable) -> Shown:
        """Return what is true of an order."""
        scope, mode = str(order.scope), "rule"
        if isinstance(order, StopOrder):
            mode = order.mode.value
        else:
            scope = RULE_ON + scope
        return cls(order.id, fingerprint(order), scope, mode, order.who)

    def wrong_of(self, order: Liftable) -> str:
        """Say what of it is not true of this order, empty where all is; never more of it than its scope."""
        true = Shown.of(order)
        if self.sha256 != true.sha256:
            return "this order is another than the one that was approved"
        if self.scope != true.scope:
            return f"this order is of {true.scope}, not of {self.scope[:60]!a}"
        if (self.mode or self.who) and (self.mode, self.who) != (true.mode, true.who):
            return f"this order is a {true.mode} by {true.who}, and something else was shown to those who signed"
        return ""
