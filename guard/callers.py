"""From an entry of tiers.yaml to whom its credential stands for."""

from __future__ import annotations

import math

from guard.credentials import Holder
from guard.policy.compile import first_moment
from guard.policy.tiers import Key, TiersFile, attribute_words
from safeguards.exchange import Caller


def holder_of(key: Key, tiers: TiersFile) -> Holder[Caller]:
    """Return the caller that a key of these tiers names, and until when; one without the day it was made is new."""
    tier = tiers.tiers[key.tier]
    caller = Caller(
        key.id,
        key.owner,
        key.tier,
        issued=math.inf if key.issued is None else first_moment(key.issued),
        audience=tier.audience.value,
        attributes=attribute_words(key.attributes),
        investigator=tier.investigates,
    )
    return Holder(caller, first_moment(key.expires))
