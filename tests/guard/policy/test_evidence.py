"""From when until when an attestation holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.evidence import Attestation, lapse, midnight

DAYS = st.dates(date(2000, 1, 1), date(2999, 12, 30))


def attestation(issued: date, expires: date) -> Attestation:
    return Attestation(claim="card", uri="x:y", sha256="0" * 64, owner="team", issued=issued, expires=expires)


def test_a_day_begins_at_midnight_utc() -> None:
    assert midnight(date(2027, 1, 2)) == datetime(2027, 1, 2, tzinfo=UTC)


@settings(deadline=None)  # the machine may be busy
@given(DAYS, st.integers(1, 36500), st.integers(1, 36500))
def test_the_earlier_of_expiry_and_greatest_age_ends_it(issued: date, lasts: int, age: int) -> None:
    expires = min(issued + timedelta(days=min(lasts, (date(2999, 12, 31) - issued).days)), date(2999, 12, 31))
    end = lapse(attestation(issued, expires), age)
    assert end == min(midnight(expires), midnight(issued) + timedelta(days=age))
    assert lapse(attestation(issued, expires), None) == midnight(expires)
