"""The people: whole entries only, and nobody twice."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from guard.policy.operators import OperatorRole, OperatorsFile
from guard.policy.ssh_key import KeyKind, read_key
from tests.parts.passkeys import WHERE, soft_passkey
from tests.parts.ssh_keys import SoftKey, soft_key

KEYS = [soft_key(kind, number).line for kind in KeyKind if kind is not KeyKind.RSA for number in (20, 21)]


def entry(name: str, *keys: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "roles": ("approver",), "keys": keys, "expires": "2027-01-01", **changes}


def file(*persons: dict[str, Any], **sections: Any) -> OperatorsFile:
    return OperatorsFile.model_validate({"version": 1, "persons": persons, **sections})


def test_a_person_has_roles_keys_and_an_end() -> None:
    roles = tuple(role.value for role in OperatorRole)
    (person,) = file(entry("ana", *KEYS[:3], roles=roles)).persons
    assert person.roles == tuple(OperatorRole)
    assert person.keys == tuple(KEYS[:3])
    assert person.expires == date(2027, 1, 1)


def test_a_person_may_approve_by_passkeys_alone() -> None:
    keys = [soft_passkey(number) for number in range(17)]
    entries = tuple(key.passkey for key in keys)
    (person,) = file(entry("ana", passkeys=entries[:16]), webauthn=WHERE).persons
    assert person.passkey(keys[3].credential) == entries[3]
    assert person.passkey(keys[16].credential) is None
    with pytest.raises(ValidationError):
        file(entry("ana", passkeys=entries), webauthn=WHERE)


def test_the_roles_are_those_of_the_requirements() -> None:
    assert {role.value for role in OperatorRole} == {
        "viewer",
        "responder",
        "approver",
        "safeguards_engineer",
        "investigator",
        "auditor",
        "operator",
        "responsible_scaling_officer",
    }


def test_a_key_under_another_comment_or_kind_is_the_same_key() -> None:
    plain = soft_key(KeyKind.ED25519, 20)
    for other in (plain.line + " elsewhere", SoftKey(KeyKind.SK_ED25519, plain.private).line):
        with pytest.raises(ValidationError, match=r"already used by persons\[0\]\.keys\[1\]"):
            file(entry("ana", KEYS[3], plain.line), entry("ben", KEYS[4]), entry("cara", KEYS[5], other))


def test_an_entry_is_bounded() -> None:
    many = [soft_key(KeyKind.ED25519, 100 + number).line for number in range(17)]
    file(entry("ana", *many[:16]))
    with pytest.raises(ValidationError):
        file(entry("ana", *many))
    with pytest.raises(ValidationError, match="4096"):
        file(entry("ana", KEYS[0] + "x" * 4096))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3), min_size=1, max_size=4))
def test_whatever_loads_has_no_key_pair_twice(keys: list[list[str]]) -> None:
    flat = [read_key(line).pair for lines in keys for line in lines]
    try:
        file(*(entry(f"p{index}", *lines) for index, lines in enumerate(keys)))
    except ValidationError:
        assert len(set(flat)) < len(flat)
    else:
        assert len(set(flat)) == len(flat)
