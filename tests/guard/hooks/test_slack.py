"""Commands and buttons of Slack."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.hooks.proof import NotAuthenticError
from guard.hooks.slack import read_slack
from guard.wire.strict_json import BadField
from tests.guard.hooks.deliveries import hook
from tests.guard.hooks.test_proof import SLACK_BODY

ONE = hook("slack", scopes=("model:demo", "all"))


def command(text: str, **changed: str) -> bytes:
    form = {"command": "/guard-stop", "text": text, "user_id": "U2CERLKJA", "trigger_id": "1.2.3", **changed}
    return urlencode({name: value for name, value in form.items() if value != "-"}).encode()


def button(**changed: Any) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": "U2CERLKJA"},
        "trigger_id": "4.5.6",
        "actions": [{"action_id": "stop", "value": "model:demo"}],
        **changed,
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


@pytest.mark.parametrize(
    ("text", "named", "words"),
    [
        ("model:demo", "model:demo", "U2CERLKJA by /guard-stop"),
        (
            "  model:demo  it answers nonsense & more ",
            "model:demo",
            "U2CERLKJA by /guard-stop: it answers nonsense & more",
        ),
        ("", None, "U2CERLKJA by /guard-stop"),
        ("resume model:demo", "resume", "U2CERLKJA by /guard-stop: model:demo"),
    ],
)
def test_the_first_word_is_the_scope_and_the_rest_the_reason(text: str, named: str | None, words: str) -> None:
    signal = read_slack(ONE, command(text))
    assert (signal.named, signal.words, signal.firing, signal.identity) == (named, words, True, "1.2.3")


def test_slacks_own_example_is_read() -> None:
    signal = read_slack(ONE, SLACK_BODY)
    assert signal.identity == "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    assert signal.words == "U2CERLKJA by /webhook-collect"


def test_a_button_stops_what_is_its_value() -> None:
    signal = read_slack(ONE, button())
    assert (signal.named, signal.identity, signal.firing) == ("model:demo", "4.5.6", True)
    assert signal.words == "U2CERLKJA by a button"
    assert read_slack(ONE, button(actions=[{"action_id": "stop"}])).named is None


def test_what_is_neither_stops_nothing() -> None:
    assert not read_slack(ONE, b"ssl_check=1&token=x").firing
    assert not read_slack(ONE, button(type="view_submission")).firing


def test_only_the_people_who_are_named_may_stop() -> None:
    one = hook("slack", users=("U1",))
    assert read_slack(one, command("", user_id="U1")).firing
    for body in (command("", user_id="U2"), button(user={"id": "U2"}), button(user={"id": "U1 "})):
        with pytest.raises(NotAuthenticError, match="not among the hook's users"):
            read_slack(one, body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "user_id: must be a text"),
        (b"text", "not a form"),
        (b"text=%ff", "not a form"),
        (b"\xff=1", "not a form"),
        (b"&".join(b"a%d=1" % index for index in range(65)), "not a form"),
        (b"text=a&text=b&user_id=U&trigger_id=1", "names a field twice"),
        (command("", user_id="-"), "user_id: must be a text"),
        (command("", trigger_id="-"), "trigger_id: must be a text"),
        (b"payload=%7B", "not valid JSON"),
        (b"payload=%7B%7D", "payload.type: must be a text"),
        (button(user=5), "payload.user.id: must be a text"),
        (button(actions=[]), "payload.actions: must be one action"),
        (button(actions=[{"value": "a"}, {"value": "b"}]), "payload.actions: must be one action"),
        (button(actions=["a"]), "payload.actions: must be one action"),
        (button(actions=[{"value": 5}]), r"payload.actions\[0\].value: must be a text"),
        (button(trigger_id=5), "payload.trigger_id: must be a text"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, said: str) -> None:
    with pytest.raises(BadField, match=said):
        read_slack(ONE, body)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=6), st.binary(max_size=100))
def test_whatever_the_form_it_is_read_or_refused(form: dict[str, str], raw: bytes) -> None:
    for body in (
        raw,
        urlencode(form, errors="replace").encode(),
        urlencode({**dict(parse_qsl(button().decode())), **form}, errors="replace").encode(),
    ):
        try:
            signal = read_slack(ONE, body)
        except BadField as wrong:
            assert str(wrong)  # noqa: PT017 - either is right
        else:
            assert signal.event
