"""What people approve when a model at ASL-3 is resumed: one written form, bounded, timely, by two of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.approval import order as orders
from guard.approval.order import Act, OrderError
from guard.approval.resume import (
    LONGEST_SECONDS,
    MAX_BYTES,
    MAX_LIFTS,
    Lift,
    ResumeApproval,
    approvers,
    canonical,
    parse,
)
from guard.approval.verify import Heard, Kind, NotApproved
from tests.guard.approval.persons import ANA, ANA_TOO, BEN, NOW, OPERATORS, STRANGER, VIEWER, order, signed

STOP = "01ARYZ6S410000000000000000"
APPROVAL = ResumeApproval((Lift(STOP, "model:strict", "a" * 64, "stop", "Ana"),), "mended", NOW, NOW + 3600, "0" * 32)
RAW = canonical(APPROVAL)
LIFT = {"order": STOP, "scope": "all", "sha256": "a" * 64, "mode": "stop", "who": "Ana"}
scopes = st.text(max_size=40).filter(str.isprintable)
modes = st.sampled_from(["stop", "fallback", "rule"])
who = st.text(min_size=1, max_size=40).filter(str.isprintable)


@given(
    st.lists(
        st.builds(
            Lift, st.from_regex(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True), scopes, st.just("b" * 64), modes, who
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda lift: lift.order,
    ),
    st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable() and not text.isspace()),
    st.integers(1, LONGEST_SECONDS),
)
def test_an_approval_is_read_back_as_it_was_written(lifts: list[Lift], reason: str, seconds: int) -> None:
    approval = ResumeApproval(tuple(lifts), reason, NOW, NOW + seconds, "f" * 32)
    assert parse(canonical(approval)) == approval
    first = replace(approval, lifts=tuple(replace(each, mode="", who="") for each in lifts), version=1)
    assert all(lift.keys() == {"order", "scope", "sha256"} for lift in json.loads(canonical(first))["lifts"])
    assert parse(canonical(first)) == first


@given(st.data())
def test_any_other_bytes_are_refused(data: st.DataObject) -> None:
    raw = bytearray(RAW)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda value: value != raw[at]))
    try:
        read = parse(bytes(raw))
    except OrderError:
        return
    assert read != APPROVAL
    assert canonical(read) == bytes(raw)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"act": "bundle"}, "act: resume"),
        ({"version": 3}, "act: resume, of version 1 or 2"),
        ({"version": 1}, "lifts: a list of order, scope, sha256 each"),
        ({"version": True}, "act: resume, of version 1 or 2"),
        ({"lifts": [{"order": STOP, "scope": "all", "sha256": "a" * 64}]}, "lifts: a list of mode, order, scope"),
        ({"lifts": [{**LIFT, "who": ""}]}, "each says what it does"),
        ({"lifts": []}, "lifts"),
        ({"lifts": {}}, "lifts"),
        ({"lifts": [STOP]}, "lifts"),
        ({"lifts": [{"order": STOP, "scope": "all"}]}, "lifts"),
        ({"lifts": [{**LIFT, "scope": 1}]}, "lifts"),
        ({"lifts": [{**LIFT, "order": "x"}]}, "lifts"),
        ({"lifts": [{**LIFT, "sha256": "a"}]}, "lifts"),
        ({"reason": ""}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"expires": "2026-11-23T09:00:01Z"}, "by at most 3600 seconds"),
        ({"expires": "2026-11-23T08:00:00Z"}, "expires: later than issued"),
        ({"issued": "today"}, "issued: an instant"),
        ({"nonce": "0"}, "nonce"),
        ({"extra": 1}, "unknown key"),
        ({"nonce": ...}, "nonce: missing"),
    ],
)
def test_a_broken_one_is_refused_and_the_key_named(changes: dict[str, object], said: str) -> None:
    record = {key: value for key, value in (json.loads(RAW) | changes).items() if value is not ...}
    with pytest.raises(OrderError, match=said):
        parse(json.dumps(record, indent=2, separators=(",", ": "), sort_keys=True).encode() + b"\n")


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b" " * (MAX_BYTES + 1), b"[" * 9_000, RAW + b" "])
def test_what_is_no_approval_is_refused(raw: bytes) -> None:
    with pytest.raises(OrderError):
        parse(raw)


def test_no_more_is_lifted_than_people_can_read() -> None:
    lifts = tuple(Lift(f"{number:026d}", "all", "a" * 64, "stop", "Ana") for number in range(MAX_LIFTS + 1))
    with pytest.raises(OrderError, match="lifts: 1 to 50"):
        replace(APPROVAL, lifts=lifts)
    with pytest.raises(OrderError, match="lift fewer stops"):
        canonical(replace(APPROVAL, lifts=tuple(replace(each, scope="é" * 256) for each in lifts[:20])))


def test_two_persons_approve() -> None:
    assert approvers(RAW, [signed(RAW, ANA, "ana"), signed(RAW, BEN, "ben")], OPERATORS, NOW) == (
        APPROVAL,
        Heard(("ana", "ben"), (), (Kind.SSH, Kind.SSH)),
    )


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([], "0 of 2 approvals"),
        ([("ana", ANA)], r"1 of 2 approvals \(ana\)"),
        ([("ana", ANA), ("ana", ANA_TOO)], r"1 of 2 approvals \(ana\)"),
        ([("ana", ANA), ("ben", ANA_TOO)], "not made with a key of ben"),
        ([("ana", ANA), ("vic", VIEWER)], "no role that may approve"),
        ([("ana", ANA), ("zoe", STRANGER)], "named for nobody"),
    ],
)
def test_fewer_do_not(people: list[tuple[str, object]], said: str) -> None:
    with pytest.raises(NotApproved, match=said):
        approvers(RAW, [signed(RAW, key, name) for name, key in people], OPERATORS, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "said"), [(NOW - 1, "holds only from"), (NOW + 3600, "has expired")])
def test_it_holds_for_its_time_alone(at: int, said: str) -> None:
    both = [signed(RAW, ANA, "ana"), signed(RAW, BEN, "ben")]
    with pytest.raises(NotApproved, match=said):
        approvers(RAW, both, OPERATORS, at)


def test_an_approval_of_something_else_is_none_and_the_other_way_round() -> None:
    other = orders.canonical(order(Act.BUNDLE))
    with pytest.raises(NotApproved):
        approvers(other, [signed(other, ANA, "ana"), signed(other, BEN, "ben")], OPERATORS, NOW)
    with pytest.raises(OrderError):
        orders.parse(RAW)
