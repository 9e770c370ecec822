"""From an entry of tiers.yaml to whom its credential stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from guard.credentials import Holder
from guard.policy.compile import first_moment
from guard.policy.tiers import Key, Tier, attribute_words
from safeguards.exchange import Caller


def holder_of(key: Key, tiers: Mapping[str, Tier]) -> Holder[Caller]:
    """Return the caller that a key names, and until when; one that does not say when it was made counts as new."""
    caller = Caller(
        key.id,
        key.owner,
        key.tier,
        issued=math.inf if key.issued is None else first_moment(key.issued),
        attributes=attribute_words(key.attributes),
        investigator=tiers[key.tier].investigates,
    )
    return Holder(caller, first_moment(key.expires))
