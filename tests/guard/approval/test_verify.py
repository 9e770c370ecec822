"""Whose signatures count: distinct persons, entitled and in time, over exactly what is demanded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.approval.order import Act, Order, canonical
from guard.approval.port import ROLES, demand_for
from guard.approval.verify import MAX_SIGNATURES, Approved, Kind, NotApproved, Signed, hear, may_sign, verify
from guard.policy.operators import OperatorRole, OperatorsFile
from guard.policy.ssh_key import KeyKind
from tests.guard.approval.persons import (
    ANA,
    ANA_TOO,
    ANAS,
    BEN,
    BENS,
    CARA,
    DAY,
    LAPSED,
    NEW,
    NOW,
    OLD,
    OPERATORS,
    STRANGER,
    VICS,
    VIEWER,
    order,
    person,
    signed,
)
from tests.parts.ssh_keys import soft_key

ORDER = order()
CHANGE = demand_for(Act.WEAKER_POLICY, "configuration", OLD, NEW)
BOTH = (signed(ORDER, ANA, "ana"), signed(ORDER, BEN, "ben"))


def approve(
    *signatures: Signed, what: Order = ORDER, at: float = NOW, operators: OperatorsFile | None = OPERATORS
) -> Approved:
    return verify(canonical(what), signatures, operators, at, CHANGE)


def why_not(*signatures: Signed, what: Order = ORDER, at: float = NOW) -> str:
    with pytest.raises(NotApproved) as caught:
        approve(*signatures, what=what, at=at)
    return str(caught.value)


def test_two_entitled_persons_approve() -> None:
    assert approve(*BOTH) == Approved(ORDER, ("ana", "ben"), (), (Kind.SSH, Kind.SSH))


def test_a_passkey_stands_in_place_of_an_ssh_key() -> None:
    by_passkey = (signed(ORDER, ANAS, "ana"), signed(ORDER, BENS, "ben"))
    assert approve(*by_passkey).people == ("ana", "ben")
    assert approve(by_passkey[0], BOTH[1]).people == ("ana", "ben")
    heard = hear(canonical(ORDER), (by_passkey[0], BOTH[1]), OPERATORS, NOW, ROLES)
    assert heard.kinds == (Kind.PASSKEY, Kind.SSH)


def test_an_ssh_key_and_a_passkey_of_one_person_are_one_person() -> None:
    assert why_not(BOTH[0], signed(ORDER, ANAS, "ana", "approvals/again.ana.sig")) == "1 of 2 approvals (ana)"


def test_a_passkey_of_somebody_else_or_of_no_page_does_not_count() -> None:
    stolen = signed(ORDER, ANAS, "ben")
    assert why_not(BOTH[0], stolen).endswith("approvals/x.ben.sig is not made with a passkey of ben")
    assert "vic has no role that may approve this" in why_not(BOTH[0], signed(ORDER, VICS, "vic"))
    without = OPERATORS.model_copy(update={"webauthn": None})
    with pytest.raises(NotApproved, match="is not made with a passkey of ben"):
        approve(BOTH[0], signed(ORDER, BENS, "ben"), operators=without)


def test_a_passkey_that_approved_another_order_does_not_count() -> None:
    other = Signed("approvals/x.ben.sig", "ben", BENS.sign(canonical(order(nonce=2))))
    assert why_not(BOTH[0], other).endswith("another statement was approved, or it was changed")


def test_one_person_is_not_two() -> None:
    assert why_not() == "0 of 2 approvals"
    assert why_not(BOTH[0]) == "1 of 2 approvals (ana)"


def test_a_person_with_two_keys_counts_once() -> None:
    again = signed(ORDER, ANA_TOO, "ana", "approvals/again.ana.sig")
    assert why_not(BOTH[0], again) == "1 of 2 approvals (ana)"
    assert why_not(BOTH[0], BOTH[0]) == "1 of 2 approvals (ana)"
    assert approve(BOTH[0], again, BOTH[1]).people == ("ana", "ben")


def test_a_signature_counts_for_the_person_whose_key_made_it_and_for_nobody_else() -> None:
    borrowed = signed(ORDER, ANA, "ben")
    assert why_not(BOTH[0], borrowed) == ("1 of 2 approvals (ana); approvals/x.ben.sig is not made with a key of ben")


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        (VIEWER, "vic", "approvals/x.vic.sig does not count: vic has no role that may approve this"),
        (
            LAPSED,
            "leo",
            "approvals/x.leo.sig does not count: the entry of leo in operators.yaml has expired",
        ),
        (STRANGER, "eve", "approvals/x.eve.sig is named for nobody in operators.yaml"),
        (STRANGER, "cara", "approvals/x.cara.sig is not made with a key of cara"),
    ],
)
def test_who_is_not_entitled_does_not_count_and_is_told(key: object, name: str, words: str) -> None:
    assert isinstance(key, type(ANA))
    extra = signed(ORDER, key, name)
    assert why_not(BOTH[0], extra) == f"1 of 2 approvals (ana); {words}"
    assert approve(*BOTH, extra) == Approved(ORDER, ("ana", "ben"), (words,), (Kind.SSH, Kind.SSH))


def test_a_bad_signature_takes_nothing_from_the_good_ones_and_is_told() -> None:
    bad = replace(signed(ORDER, CARA, "cara"), content=b"nonsense")
    words = "approvals/x.cara.sig is not the text that `ssh-keygen -Y sign` writes"
    assert approve(bad, *BOTH).refused == (words,)
    assert why_not(bad) == f"0 of 2 approvals; {words}"


def test_a_signature_over_another_order_does_not_count() -> None:
    other = signed(order(nonce=2), BEN, "ben")
    assert why_not(BOTH[0], other).endswith(
        "approvals/x.ben.sig does not fit: another file was signed, or one of them was changed"
    )


def test_a_signature_for_another_namespace_does_not_count() -> None:
    other = replace(BOTH[1], content=BEN.sign(canonical(ORDER), "git"))
    assert why_not(BOTH[0], other).endswith("is made for another namespace; sign with -n order@asl-guard")


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW - 1, "the order holds only from 2026-11-23T08:00:00Z"),
        (NOW + 7 * DAY, "the order has expired at 2026-11-30T08:00:00Z"),
        (NOW + 700 * DAY, "the order has expired at 2026-11-30T08:00:00Z"),
    ],
)
def test_an_order_holds_from_its_issue_up_to_its_expiry(at: float, words: str) -> None:
    assert why_not(*BOTH, at=at) == words
    for inside in (NOW, NOW + 7 * DAY - 0.001):
        assert approve(*BOTH, at=inside).people == ("ana", "ben")


def test_a_person_counts_up_to_the_first_instant_of_the_day_of_expiry() -> None:
    long = order(Act.BUNDLE, days=366)
    demand = demand_for(Act.BUNDLE, "configuration", "", NEW)
    signatures = [signed(long, ANA, "ana"), signed(long, BEN, "ben")]
    new_year = 1_798_761_600  # 2027-01-01T00:00:00Z
    assert verify(canonical(long), signatures, OPERATORS, new_year - 0.001, demand).people == ("ana", "ben")
    with pytest.raises(NotApproved, match=r"0 of 2 approvals; .*ana in operators\.yaml has expired; .*ben"):
        verify(canonical(long), signatures, OPERATORS, new_year, demand)


@pytest.mark.parametrize(
    "demand",
    [
        replace(CHANGE, before=NEW),
        replace(CHANGE, after="c" * 64),
        replace(CHANGE, act=Act.BUNDLE, before=""),
        replace(CHANGE, act=Act.LOWER_LEVEL),
        replace(CHANGE, subject="demo"),
    ],
)
def test_an_order_approves_exactly_what_it_states(demand: object) -> None:
    assert isinstance(demand, type(CHANGE))
    with pytest.raises(NotApproved, match="states something else"):
        verify(canonical(ORDER), BOTH, OPERATORS, NOW, demand)


def test_bytes_that_are_no_order_are_refused_whoever_signed_them() -> None:
    raw = canonical(ORDER).replace(b"\n", b"\n ")
    signatures = [signed(raw, ANA, "ana"), signed(raw, BEN, "ben")]
    with pytest.raises(NotApproved, match="order: not in the form"):
        verify(raw, signatures, OPERATORS, NOW, CHANGE)


def test_without_operators_nothing_is_approved() -> None:
    with pytest.raises(NotApproved, match=r"operators\.yaml is missing"):
        approve(*BOTH, operators=None)


def test_a_flood_of_signatures_is_refused() -> None:
    assert why_not(*[BOTH[0]] * MAX_SIGNATURES, BOTH[1]) == "more than 32 signatures"


@pytest.mark.parametrize("kind", KeyKind)
def test_keys_of_every_kind_approve(kind: KeyKind) -> None:
    keys = soft_key(kind, 10), soft_key(kind if kind is not KeyKind.RSA else KeyKind.P256, 11)
    operators = OperatorsFile(version=1, persons=(person("a", keys[0]), person("b", keys[1])))
    signatures = [signed(ORDER, key, name) for key, name in zip(keys, "ab", strict=True)]
    assert approve(*signatures, operators=operators).people == ("a", "b")


def test_who_may_sign_is_who_would_count() -> None:
    roles = CHANGE.roles
    assert may_sign(OPERATORS, NOW, roles) == ("ana", "ben", "cara")
    assert may_sign(OPERATORS, NOW - 2 * 366 * DAY, roles) == ("ana", "ben", "cara", "leo")
    assert may_sign(OPERATORS, NOW, frozenset({OperatorRole.VIEWER})) == ("vic",)
    assert may_sign(None, NOW, roles) == ()
