"""Groups of alerts: which occurrences they are, what they name, and every way in which they are not one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.hooks.alerts import read_alerts
from guard.wire.strict_json import BadField
from tests.guard.hooks.deliveries import alert, group, hook

ONE = hook("alertmanager", field="guard_scope", scopes=("model:demo", "all"))


def test_an_alert_is_an_occurrence_as_long_as_it_fires() -> None:
    first, repeated, anew, other = read_alerts(
        ONE, group(alert(), alert(), alert(since="2027-01-15T09:00:00Z"), alert("f2"))
    )
    assert first.identity == repeated.identity
    assert len({first.identity, anew.identity, other.identity}) == 3
    assert first.firing
    assert first.words == "Test: a summary"


def test_the_label_names_the_scope_and_may_be_absent() -> None:
    named, unnamed = read_alerts(ONE, group(alert(guard_scope="all"), alert()))
    assert (named.named, unnamed.named) == ("all", None)
    (fixed,) = read_alerts(hook("alertmanager"), group(alert(guard_scope="all")))
    assert fixed.named is None


def test_a_resolved_alert_does_not_fire() -> None:
    firing, resolved = read_alerts(ONE, group(alert(), alert("f2", status="resolved")))
    assert (firing.firing, resolved.firing, resolved.event) == (True, False, "resolved")


def test_what_grafana_adds_is_passed_over() -> None:
    one = {**alert(), "values": {"B": 1.5}, "dashboardURL": "", "imageURL": "", "valueString": "[]"}
    body = group(one, orgId=1, title="[FIRING:1]", state="alerting", message="text")
    assert [each.firing for each in read_alerts(hook("grafana"), body)] == [True]


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**alert(), **fields}.items() if value is not ...}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"alerts": [], "alerts": []}', "names a key twice"),
        (b"\xff", "not UTF-8"),
        (b'{"alerts": {}}', "alerts: must be a list"),
        (b'{"alerts": []}', "alerts: must be a list of 1 to 5000"),
        (b"[" * 100_000, "nested too deeply"),
        (group(*[alert(**{f"label{index}": "x" for index in range(30)})] * 3000), "more than 131072 values"),
        (b'{"alerts": [' + b"0," * 5000 + b"0]}", "alerts: must be a list of 1 to 5000"),
    ],
    ids=lambda each: repr(each[:30]) if isinstance(each, bytes) else "",
)
def test_what_is_no_group_of_alerts_is_refused_in_words(body: bytes, said: str) -> None:
    with pytest.raises(BadField, match=said):
        read_alerts(ONE, body)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (5, "alerts[1]: must be an object"),
        (changed(status="pending"), "alerts[1].status: must be firing or resolved"),
        (changed(status=["firing"]), "alerts[1].status: must be firing or resolved"),
        (changed(labels=[]), "alerts[1].labels: must be an object"),
        (changed(labels={"guard_scope": 5}), "alerts[1].labels.guard_scope: must be a text of 1 to 1024 characters"),
        (
            changed(labels={"guard_scope": "x" * 1025}),
            "alerts[1].labels.guard_scope: must be a text of 1 to 1024 characters",
        ),
        (changed(fingerprint=...), "alerts[1].fingerprint: must be a text of 1 to 1024 characters"),
        (changed(startsAt=5), "alerts[1].startsAt: must be a text of 1 to 1024 characters"),
    ],
)
def test_one_alert_that_is_wrong_is_named_and_does_not_keep_the_others_from_firing(one: Any, said: str) -> None:
    first, second, third = read_alerts(ONE, json.dumps({"alerts": [alert(), one, alert("f2")]}).encode())
    assert (first.firing, second.firing, third.firing) == (True, False, True)
    assert (first.wrong, second.wrong, third.wrong) == ("", said, "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["status", "labels", "annotations", "startsAt", "fingerprint", "endsAt"]))
def test_whatever_stands_in_an_alert_it_is_read_or_named(value: Any, key: str) -> None:
    (signal,) = read_alerts(ONE, json.dumps({"alerts": [{**alert(), key: value}]}).encode())
    assert signal.wrong.startswith("alerts[0].") or signal.identity


@given(st.binary(max_size=200))
def test_whatever_the_bytes_nothing_but_a_refusal_comes_of_them(body: bytes) -> None:
    with pytest.raises(BadField):
        read_alerts(ONE, body)
