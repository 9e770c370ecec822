"""Orders: one written form, strictly read, and nothing that must not be signed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.approval.order import MAX_BYTES, MOST_DAYS, Act, Order, OrderError, canonical, levels_text, parse
from tests.guard.approval.persons import DAY, NEW, NOW, OLD, order

REASONS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(
    lambda text: text.isprintable() and not text.isspace()
)


def orders() -> st.SearchStrategy[Order]:
    return st.builds(
        lambda act, reason, issued, life, nonce: replace(
            order(act), reason=reason, issued=issued, expires=issued + min(life, MOST_DAYS[act] * DAY), nonce=nonce
        ),
        st.sampled_from(Act),
        REASONS,
        st.integers(NOW - 10**8, NOW + 10**9),
        st.integers(1, 400 * DAY),
        st.binary(min_size=16, max_size=16).map(bytes.hex),
    )


def test_an_order_is_written_so_that_a_person_can_read_it() -> None:
    assert canonical(order(changes={"reason": "INC-42: Prüfung"})) == (
        b"{\n"
        b'  "act": "weaker_policy",\n'
        b'  "after": "' + NEW.encode() + b'",\n'
        b'  "before": "' + OLD.encode() + b'",\n'
        b'  "expires": "2026-11-30T08:00:00Z",\n'
        b'  "issued": "2026-11-23T08:00:00Z",\n'
        b'  "nonce": "00000000000000000000000000000001",\n'
        b'  "reason": "INC-42: Pr\\u00fcfung",\n'
        b'  "subject": "configuration",\n'
        b'  "version": 1\n'
        b"}\n"
    )


@given(orders())
def test_what_was_written_is_read_back(written: Order) -> None:
    assert parse(canonical(written)) == written


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")))
def test_other_bytes_are_refused_with_our_own_error(raw: bytes) -> None:
    with pytest.raises(OrderError):
        parse(raw)


@given(orders(), st.data())
def test_bytes_with_any_change_are_another_order_or_none(written: Order, data: st.DataObject) -> None:
    raw = canonical(written)
    place = data.draw(st.integers(0, len(raw) - 1))
    size = data.draw(st.integers(0, 3))
    changed = raw[:place] + data.draw(st.binary(max_size=3)) + raw[place + size :]
    try:
        read = parse(changed)
    except OrderError:
        return
    assert canonical(read) == changed
    assert (read == written) == (changed == raw)


def spaced(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True).encode() + b"\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw[:-1], "order: not in the form"),
        (lambda raw: raw + b"\n", "order: not in the form"),
        (lambda raw: spaced(json.loads(raw)), "order: not in the form"),
        (lambda raw: raw.replace(b'"a reason"', b'"a\\u0020reason"'), "order: not in the form"),
        (lambda raw: raw.replace(b'  "nonce"', b'  "reason": "another",\n  "nonce"'), "order: not in the form"),
        (lambda raw: raw.replace(b"\n", b"\r\n"), "order: not in the form"),
        (lambda raw: b"\xef\xbb\xbf" + raw, "order: not JSON in ASCII"),
        (lambda raw: raw.replace(b"a reason", "ein Gr\u00fcnd".encode()), "order: not JSON in ASCII"),
        (lambda _: b"[" * 5000, "order: not JSON in ASCII"),
        (lambda _: b"1" * 5000, "order: not JSON in ASCII"),
        (lambda _: b"NaN", "order: not a JSON object"),
        (lambda _: b" " * (MAX_BYTES + 1), "order: more than 8192 bytes"),
        (lambda raw: raw.replace(b'"version": 1', b'"version": 2'), "version: only 1"),
        (lambda raw: raw.replace(b'"version": 1', b'"version": 1.0'), "version: only 1"),
        (lambda raw: raw.replace(b'"version": 1', b'"version": true'), "version: only 1"),
        (lambda raw: raw.replace(b'"version"', b'"versions"'), "'versions': unknown key"),
        (lambda raw: raw.replace(b'  "act": "weaker_policy",\n', b""), "act: missing"),
        (lambda raw: raw.replace(b'"weaker_policy"', b'"resume"'), "act: one of weaker_policy, lower_level, "),
        (lambda raw: raw.replace(b'"weaker_policy"', b"[]"), "act: a text"),
        (lambda raw: raw.replace(b"2026-11-30T", b"2026-11-30 "), "expires: an instant"),
        (lambda raw: raw.replace(b"2026-11-30", b"2026-11-31"), "expires: an instant"),
        (lambda raw: raw.replace(b"2026-11-30", b"2026-11-22"), "expires: later than issued"),
        (
            lambda raw: raw.replace(b"2026-11-30T08:00:00", b"2026-11-30T08:00:01"),
            "by at most 7 days for weaker_policy",
        ),
        (lambda raw: raw.replace(b'"a reason"', b'"\\ud800"'), "reason: 1 to 500 printable characters"),
    ],
)
def test_each_defect_is_named(change: Any, words: str) -> None:
    with pytest.raises(OrderError) as caught:
        parse(change(canonical(order())))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("act", "changes", "words"),
    [
        (Act.WEAKER_POLICY, {"subject": "demo"}, "subject: configuration, for weaker_policy"),
        (Act.WEAKER_POLICY, {"before": ""}, "before: 64"),
        (Act.WEAKER_POLICY, {"before": NEW}, "before: 64"),
        (Act.WEAKER_POLICY, {"after": NEW.upper()}, "after: 64"),
        (Act.LOWER_LEVEL, {"subject": ""}, "subject: the alias of a model"),
        (Act.LOWER_LEVEL, {"subject": "../demo"}, "subject: the alias of a model"),
        (Act.LOWER_LEVEL, {"after": NEW}, "before, after: levels"),
        (Act.LOWER_LEVEL, {"after": "deployment 3, security 4"}, "after: no level is lower"),
        (Act.CUSTOM_PROFILE, {"before": OLD}, "before: empty, for custom_profile"),
        (Act.CUSTOM_PROFILE, {"subject": "configuration"}, "subject: standard, for custom_profile"),
        (Act.BUNDLE, {"before": OLD}, "before: empty, for bundle"),
        (Act.BUNDLE, {"after": ""}, "after: 64"),
        (Act.BUNDLE, {"reason": ""}, "reason: 1 to 500"),
        (Act.BUNDLE, {"reason": "  "}, "reason: 1 to 500"),
        (Act.BUNDLE, {"reason": "two\nlines"}, "reason: 1 to 500"),
        (Act.BUNDLE, {"reason": "\u202esdrawkcab"}, "reason: 1 to 500"),
        (Act.BUNDLE, {"reason": "x" * 501}, "reason: 1 to 500"),
    ],
)
def test_what_must_not_be_signed_cannot_be_made(act: Act, changes: dict[str, str], words: str) -> None:
    with pytest.raises(OrderError) as caught:
        order(act, changes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("act", "most"),
    [(Act.WEAKER_POLICY, 7), (Act.LOWER_LEVEL, 7), (Act.CUSTOM_PROFILE, 366), (Act.BUNDLE, 366)],
)
def test_the_longest_life_is_bounded(act: Act, most: int) -> None:
    assert order(act, days=most).expires - NOW == most * DAY
    for days in (0, most + 1):
        with pytest.raises(OrderError, match="expires: later than issued"):
            order(act, days=days)


@pytest.mark.parametrize("issued", [-(10**12), 0, 10**12, 10**18])
def test_instants_of_other_ages_are_refused(issued: int) -> None:
    with pytest.raises(OrderError, match="years 2000 to 2999"):
        replace(order(), issued=issued, expires=issued + 1)


def test_a_nonce_of_another_form_is_refused() -> None:
    with pytest.raises(OrderError, match="nonce: 32"):
        replace(order(), nonce="A" * 32)


def test_a_level_may_rise_on_one_axis_while_it_falls_on_the_other() -> None:
    assert order(Act.LOWER_LEVEL, {"after": levels_text(2, 4)}).after == "deployment 2, security 4"
