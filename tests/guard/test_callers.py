"""An entry of tiers.yaml stands for its caller until its last day."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

from guard.callers import holder_of
from guard.credentials import Holder
from guard.policy.tiers import Audience, Key, Rate, Tier, TiersFile
from safeguards.exchange import Caller

KEY = Key(id="app", owner="a team", tier="general", digest="0" * 64, expires=date(2027, 1, 1))
RATE = Rate(per_minute=1, burst=1)
TIERS = TiersFile(
    version=1,
    tiers={"general": Tier(models={}, rate=RATE), "staff": Tier(audience=Audience.INTERNAL, models={}, rate=RATE)},
    keys=(KEY,),
)


def test_a_key_stands_for_the_audience_of_its_tier_and_for_the_public_where_that_says_nothing() -> None:
    assert holder_of(KEY, TIERS).who.audience == "general"
    assert holder_of(KEY.model_copy(update={"tier": "staff"}), TIERS).who.audience == "internal"


def test_a_key_that_does_not_say_when_it_was_made_counts_as_new() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert holder_of(KEY, TIERS) == Holder(Caller("app", "a team", "general", issued=math.inf), end)


def test_a_key_that_says_when_it_was_made_keeps_that() -> None:
    made = datetime(2026, 2, 3, tzinfo=UTC).timestamp()
    assert holder_of(KEY.model_copy(update={"issued": date(2026, 2, 3)}), TIERS).who.issued == made


def test_a_caller_has_the_attributes_of_the_key_and_what_its_tier_is_for() -> None:
    key = KEY.model_copy(update={"attributes": {"vendor": "acme", "region": "eu"}})
    looks = TIERS.tiers["general"].model_copy(update={"investigates": True})
    caller = holder_of(key, TIERS.model_copy(update={"tiers": {"general": looks}})).who
    assert caller.attributes == ("region=eu", "vendor=acme")
    assert caller.investigator
    assert not holder_of(KEY, TIERS).who.investigator
