"""From an entry of tiers.yaml to whom its credential stands for."""

from __future__ import annotations

import math

from guard.credentials import Holder
from guard.policy.compile import first_moment
from guard.policy.tiers import Key, TiersFile
from safeguards.exchange import Caller


def holder_of(key: Key, tiers: TiersFile) -> Holder[Caller]:
    """Return the caller that a key of these tiers names, and until when; one without the day it was made is new."""
    issued = math.inf if key.issued is None else first_moment(key.issued)
    audience = tiers.tiers[key.tier].audience.value
    return Holder(Caller(key.id, key.owner, key.tier, issued=issued, audience=audience), first_moment(key.expires))
