"""Orders: ids, the form of each version, the strict reader; one file, because each test varies one form."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.orders import (
    MAX_APPROVED_LIFTS,
    MAX_LIFTS,
    MAX_ORDER_BYTES,
    MAX_REASON,
    WHOLE_MODELS,
    Approver,
    Order,
    ResumeOrder,
    RuleOrder,
    Source,
    StopOrder,
    decode,
    encode,
    is_order_id,
    issue_stop,
    order_id,
    statement,
)
from guard.state.rule_text import PushedRule
from guard.state.scope import OrderError, Scope
from safeguards.category import Category
from safeguards.mode import RUNGS, Mode
from safeguards.scope import Capability, Operation, ScopeKind
from tests.guard.state.parts import resume, rule, stop
from tests.guard.state.test_rule_text import rule_lists, sides

subjects = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
owners = st.text(min_size=1, max_size=256).filter(str.isprintable)
first_scopes = st.one_of(
    st.just(Scope(ScopeKind.ALL)),
    st.builds(Scope, st.sampled_from([ScopeKind.MODEL, ScopeKind.TIER, ScopeKind.KEY]), subjects),
)
scopes = st.one_of(
    first_scopes,
    st.builds(Scope, st.just(ScopeKind.LEVEL), st.sampled_from("123456789")),
    st.builds(lambda alias, release: Scope(ScopeKind.VERSION, f"{alias}/{release}"), subjects, subjects),
    st.builds(Scope, st.just(ScopeKind.ORGANISATION), owners),
    st.builds(Scope, st.just(ScopeKind.OPERATION), st.sampled_from(Operation)),
    st.builds(Scope, st.just(ScopeKind.CAPABILITY), st.sampled_from(Capability)),
    st.builds(Scope, st.just(ScopeKind.ATTRIBUTE), st.from_regex(r"[a-z]{1,9}=[a-z]{1,9}", fullmatch=True)),
)
seconds = st.floats(0.0, 4e9)
ids = st.builds(order_id, seconds, st.binary(min_size=10, max_size=10))
texts = st.text().map(lambda text: "".join(letter for letter in text if letter.isprintable()))
people = texts.map(lambda text: text[:128] or "ana")
sources = st.sampled_from(Source)
issuers: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "issuer": st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
            "signature": st.binary(min_size=64, max_size=64).map(lambda raw: base64.b64encode(raw).decode()),
        }
    ),
)
lifts = st.lists(ids, min_size=1, max_size=5, unique=True).map(tuple)
armours = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"), min_size=1, max_size=80)
approvers = st.lists(st.builds(Approver, st.sampled_from(["ana", "ben.2"]), armours), max_size=3).map(tuple)
first_stops = st.builds(StopOrder, ids, first_scopes, texts, people, sources, seconds, version=st.just(1))
first_resumes = st.builds(ResumeOrder, ids, lifts, texts, people, sources, seconds, version=st.just(1))


def _allowed(
    identity: str, scope: Scope, reason: str, who: str, source: Source, created: float, mode: Mode, **issued: Any
) -> StopOrder:
    """Make a stop; a mode that its scope does not take is a plain one."""
    taken = mode if mode not in RUNGS or scope.kind in WHOLE_MODELS else Mode.STOP
    return StopOrder(identity, scope, reason, who, source, created, taken, **issued)


stops = st.one_of(
    first_stops,
    st.builds(
        lambda issued, *fields: _allowed(*fields, **issued),
        issuers,
        ids,
        scopes,
        texts,
        people,
        sources,
        seconds,
        st.sampled_from(Mode),
    ),
)
resumes = st.one_of(
    first_resumes,
    st.builds(
        lambda issued, *fields: ResumeOrder(*fields, **issued),
        issuers,
        ids,
        lifts,
        texts,
        people,
        sources,
        seconds,
        armours,
        approvers,
    ),
)


rule_scopes = scopes.filter(lambda scope: scope.kind in WHOLE_MODELS)
pushed = st.builds(
    lambda issued, *fields: RuleOrder(*fields, **issued),
    issuers,
    ids,
    rule_scopes,
    rule_lists,
    sides,
    texts,
    people,
    sources,
    seconds,
)


def changed(order: Order, **fields: object) -> bytes:
    record = json.loads(encode(order)) | fields
    return json.dumps({key: value for key, value in record.items() if value is not ...}).encode()


@given(st.one_of(stops, resumes, pushed))
def test_an_order_is_read_back_as_it_was_written(order: Order) -> None:
    raw = encode(order)
    assert decode(raw) == order
    assert encode(decode(raw)) == raw
    assert raw.isascii()
    assert raw.count(b"\n") == 1


@given(st.binary() | st.text().map(str.encode))
def test_the_reader_refuses_any_bytes_with_its_own_error(raw: bytes) -> None:
    with pytest.raises(OrderError):
        decode(raw)


@given(st.one_of(stops, pushed), st.data())
def test_a_damaged_order_is_refused_or_still_a_valid_order(order: Order, data: st.DataObject) -> None:
    raw = bytearray(encode(order))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(raw))
    except OrderError:
        return
    assert decode(encode(read)) == read


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"lifts": []}, "lifts"),
        ({"who": ...}, "who"),
        ({"scope": ...}, "scope"),
        ({"version": 1}, "issuer"),
        ({"version": 3}, "version"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"version": ...}, "version"),
        ({"kind": "kill"}, "kind"),
        ({"kind": ["stop"]}, "kind"),
        ({"kind": "resume"}, "mode"),
        ({"source": "rumour"}, "source"),
        ({"who": ""}, "who"),
        ({"who": 7}, "who"),
        ({"who": "a\u001b[2J"}, "who"),
        ({"reason": "a\nb"}, "reason"),
        ({"reason": "a\u202eb"}, "reason"),
        ({"reason": "a" * 501}, "reason"),
        ({"reason": None}, "reason"),
        ({"created": "1"}, "created"),
        ({"created": True}, "created"),
        ({"created": -1.0}, "created"),
        ({"created": 10**400}, "created"),
        ({"id": "01"}, "id"),
        ({"id": "8" + "0" * 25}, "id"),
        ({"id": "0" * 25 + "U"}, "id"),
        ({"scope": "everything"}, "scope"),
        ({"mode": "pause"}, "mode"),
        ({"mode": None}, "mode"),
        ({"mode": ...}, "mode"),
        ({"issuer": "host"}, "issuer"),
        ({"issuer": "a" * 32, "signature": "x"}, "signature"),
        ({"signature": "A" * 86 + "=="}, "signature"),
        ({"approval": "x"}, "approval"),
    ],
)
def test_a_broken_stop_is_refused_and_the_field_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(OrderError, match=named):
        decode(changed(stop(), **fields))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"version": 1}, "kind"),
        ({"mode": "stop"}, "mode"),
        ({"screens": ...}, "screens"),
        ({"screens": []}, "screens"),
        ({"screens": ["output", "input"]}, "screens"),
        ({"screens": ["both"]}, "screens"),
        ({"rules": []}, "rules"),
        ({"rules": [{"id": "x", "category": "other"}]}, "rules"),
        ({"scope": "tier:general"}, "scope: of a rule is one of all"),
        ({"who": ""}, "who"),
    ],
)
def test_a_broken_rule_order_is_refused_and_the_field_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(OrderError, match=named):
        decode(changed(rule(), **fields))


def test_rules_that_no_file_could_hold_are_not_made() -> None:
    many = [PushedRule(f"r{number}", Category.OTHER, phrase="\U0001f6d1" * 1_000) for number in range(10)]
    with pytest.raises(OrderError, match="rules: the order is more than"):
        rule("all", 1, *many)


@pytest.mark.parametrize("lifts", ["x", [], [1], ["x"], [stop().id, stop().id], None, {}])
def test_a_resume_must_name_stops_each_once(lifts: object) -> None:
    with pytest.raises(OrderError, match="lifts"):
        decode(changed(resume(stop()), lifts=lifts))


def test_a_resume_of_too_many_stops_is_refused() -> None:
    with pytest.raises(OrderError, match="lifts"):
        resume(*(stop(number=number) for number in range(1, MAX_LIFTS + 2)))


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_time_that_is_no_number_is_refused(value: bytes) -> None:
    with pytest.raises(OrderError):
        decode(encode(stop()).replace(b"1700000001.0", value))


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(OrderError, match="repeated"):
        decode(encode(stop()).replace(b'{"created"', b'{"scope":"model:x","created"'))


def test_nesting_and_size_are_bounded() -> None:
    with pytest.raises(OrderError, match="not JSON"):
        decode(b"[" * 60_000)
    with pytest.raises(OrderError, match="bytes"):
        decode(b" " * MAX_ORDER_BYTES + encode(stop()))


def test_white_space_of_a_hand_written_file_is_accepted() -> None:
    pretty = json.dumps(json.loads(encode(stop())), indent=2).encode()
    assert decode(pretty) == stop()


def test_a_stop_is_never_refused_for_its_wording() -> None:
    order = issue_stop(
        Scope(ScopeKind.ALL),
        reason="first\nsecond\x1b" + "a" * 9_000,
        who="ana",
        source=Source.WEBHOOK,
        now=1.0,
        entropy=bytes(10),
    )
    assert order.reason.startswith("first second a")
    assert len(order.reason) == MAX_REASON


@given(st.lists(seconds, min_size=2, max_size=2), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(times: list[float], entropy: bytes) -> None:
    early, late = sorted(times)
    first, second = order_id(early, entropy), order_id(late, entropy)
    assert first <= second
    assert is_order_id(first)
    assert len(first) == 26


def test_an_id_is_the_usual_base_32_of_milliseconds_and_randomness() -> None:
    assert order_id(1469918176.385, bytes(10)).startswith("01ARYZ6S41")
    assert order_id(0.0, b"\xff" * 10) == "0000000000ZZZZZZZZZZZZZZZZ"


@pytest.mark.parametrize(
    ("now", "entropy"), [(-1.0, bytes(10)), (float("nan"), bytes(10)), (1e12, bytes(10)), (1.0, bytes(9))]
)
def test_an_id_needs_a_time_and_enough_randomness(now: float, entropy: bytes) -> None:
    with pytest.raises(OrderError):
        order_id(now, entropy)


def test_an_order_of_version_1_is_read_as_it_was_written_then_and_written_again_without_a_change() -> None:
    common = b'"reason":"bad answers","source":"cli","version":1,"who":"ana"}\n'
    raw = b'{"created":1.5,"id":"00000001F80000000000000000","kind":"stop",' + common.replace(
        b'"source"', b'"scope":"model:demo","source"'
    )
    order = decode(raw)
    assert isinstance(order, StopOrder)
    assert (order.mode, order.scope, order.issuer, order.version) == (Mode.STOP, Scope.parse("model:demo"), "", 1)
    assert encode(order) == raw
    raw = (
        b'{"created":2.0,"id":"00000001F90000000000000000","kind":"resume","lifts":["00000001F80000000000000000"],'
        + common
    )
    lifting = decode(raw)
    assert isinstance(lifting, ResumeOrder)
    assert (lifting.lifts, lifting.approval, lifting.approvers, lifting.version) == ((order.id,), "", (), 1)
    assert encode(lifting) == raw


@pytest.mark.parametrize("fields", [{"mode": Mode.DRAIN}, {"scope": Scope.parse("level:3")}, {"issuer": "a" * 32}])
def test_version_1_holds_nothing_that_it_did_not_know(fields: dict[str, Any]) -> None:
    with pytest.raises(OrderError, match="version: 1"):
        replace(stop(), version=1, **fields)


@pytest.mark.parametrize("mode", Mode)
def test_a_rung_is_for_whole_models_alone(mode: Mode) -> None:
    for scope in ("all", "level:3", "model:demo", "version:demo/2"):
        assert decode(encode(replace(stop(scope), mode=mode))) == replace(stop(scope), mode=mode)
    for scope in ("tier:general", "key:app", "org:a", "operation:chat", "capability:tools", "attribute:a=b"):
        if mode in RUNGS:
            with pytest.raises(OrderError, match=f"mode: {mode} is for all, level:…, model:… or version:…"):
                replace(stop(scope), mode=mode)
        else:
            assert replace(stop(scope), mode=mode).mode is mode


@given(st.one_of(stops, resumes, pushed))
def test_an_issuer_signs_everything_but_the_signature(order: Order) -> None:
    assert statement(replace(order, signature="")) == statement(order)
    assert statement(replace(order, reason=order.reason[:-1] + "x" if order.reason[-1:] != "x" else "")) != statement(
        order
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"approval": 1}, "approval"),
        ({"approval": "é"}, "approval"),
        ({"approval": "a" * 16_385}, "approval"),
        ({"approval": ""}, "approvers"),
        ({"approvers": {}}, "approvers"),
        ({"approvers": ["ana"]}, "approvers"),
        ({"approvers": [{"person": "ana"}]}, "approvers"),
        ({"approvers": [{"person": "Ana", "signature": "x"}]}, "approvers"),
        ({"approvers": [{"person": "ana", "signature": ""}]}, "approvers"),
        ({"approvers": [{"person": "ana", "signature": "x" * 8_193}]}, "approvers"),
        ({"approvers": [{"person": "ana", "signature": "\u001b"}]}, "approvers"),
        ({"approvers": [{"person": "ana", "signature": "x"}] * 9}, "approvers"),
        ({"approvers": [{"person": "ana", "signature": "x" * 8_000}] * 8}, "bytes"),
        ({"mode": "stop"}, "mode"),
    ],
)
def test_a_broken_approval_is_refused_and_the_field_named(fields: dict[str, object], named: str) -> None:
    approved = replace(resume(stop()), approval="x" * 3_000, approvers=(Approver("ana", "y"),))
    with pytest.raises(OrderError, match=named):
        decode(changed(approved, **fields))


def test_an_approved_resume_lifts_no_more_than_can_be_read_by_who_signs() -> None:
    many = [stop(number=number) for number in range(1, MAX_APPROVED_LIFTS + 2)]
    with pytest.raises(OrderError, match="lifts"):
        replace(resume(*many), approval="x")


def test_a_resume_that_no_file_could_hold_is_not_made() -> None:
    with pytest.raises(OrderError, match="approvers: the order is more than"):
        replace(resume(stop()), approval="x", approvers=(Approver("ana", "x" * 8_192),) * 8)
