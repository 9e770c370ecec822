"""An emergency token is known by its plain hash and holds until its day."""

from __future__ import annotations

from datetime import date

import pytest

from guard.admin.emergency import Emergency, stored
from guard.policy.roles import OperatorRole as Role
from guard.policy.sign_in import EmergencyToken
from guard.refusal import Refused

FIRST_DAY = 1_798_848_000.0  # 2027-01-02


def entry(expires: date) -> EmergencyToken:
    return EmergencyToken(id="one", holder="Envelope 1", owner="Ana", sha256=stored(b"secret"), expires=expires)


def test_the_hash_is_one_that_any_machine_computes() -> None:
    assert stored(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_its_stop_is_in_the_name_of_its_holder_and_its_owner() -> None:
    person = Emergency([entry(date(2027, 1, 2))], lambda: FIRST_DAY - 1).holder(b"secret")
    assert (person.name, person.token) == ("Envelope 1 (emergency token, Ana)", "emergency:one")
    assert person.role is Role.RESPONDER


@pytest.mark.parametrize(("token", "now", "reason"), [(b"other", 0.0, "unknown"), (b"secret", FIRST_DAY, "expired")])
def test_another_and_a_lapsed_one_are_refused(token: bytes, now: float, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        Emergency([entry(date(2027, 1, 2))], lambda: now).holder(token)
    assert refused.value.reason == reason
