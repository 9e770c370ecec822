"""From an entry of tiers.yaml to whom its credential stands for."""

from __future__ import annotations

import math

from guard.credentials import Holder
from guard.policy.compile import first_moment
from guard.policy.tiers import Key
from safeguards.exchange import Caller


def holder_of(key: Key) -> Holder[Caller]:
    """Return the caller that a key names, and until when; one that does not say when it was made counts as new."""
    issued = math.inf if key.issued is None else first_moment(key.issued)
    return Holder(Caller(key.id, key.owner, key.tier, issued=issued), first_moment(key.expires))
