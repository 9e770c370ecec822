"""Each sender's scheme, against what the sender itself publishes, and whatever is not quite it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.hooks.hook import Hook
from guard.hooks.proof import WINDOW_SECONDS, NotAuthenticError, check_sender, check_signature
from tests.guard.hooks.deliveries import NOW, OTHER, SECRET, Pair, headers, hexed, hook

BODY = b'{"any": "body"}'
# Slack's documentation, "Verifying requests from Slack".
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SLACK_TIME = 1531420618
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SLACK_SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
# The vector that the libraries of Standard Webhooks test themselves with.
STANDARD_KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
STANDARD_ID, STANDARD_TIME, STANDARD_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
# PagerDuty's own Go library, webhookv3.
PAGERDUTY_SECRET = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK"
PAGERDUTY_BODY = (
    b'{"event":{"id":"01BWDWL3NYY7LUFPZCC28QUCMK","event_type":"incident.priority_updated","resource_type":"incident",'
    b'"occurred_at":"2021-04-26T17:36:27.458Z","agent":{"html_url":"https://acme.pagerduty.com/users/PLH1HKV","id":'
    b'"PLH1HKV","self":"https://api.pagerduty.com/users/PLH1HKV","summary":"Tenex Engineer","type":"user_reference"},'
    b'"client":null,"data":{"id":"PGR0VU2","type":"incident","self":"https://api.pagerduty.com/incidents/PGR0VU2",'
    b'"html_url":"https://acme.pagerduty.com/incidents/PGR0VU2","number":2,"status":"triggered","title":"A little bump '
    b'in the road","service":{"html_url":"https://acme.pagerduty.com/services/PF9KMXH","id":"PF9KMXH","self":'
    b'"https://api.pagerduty.com/services/PF9KMXH","summary":"API Service","type":"service_reference"},"assignees":[{'
    b'"html_url":"https://acme.pagerduty.com/users/PTUXL6G","id":"PTUXL6G","self":"https://api.pagerduty.com/users/'
    b'PTUXL6G","summary":"User 123","type":"user_reference"}],"escalation_policy":{"html_url":"https://acme.pagerduty.'
    b'com/escalation_policies/PUS0KTE","id":"PUS0KTE","self":"https://api.pagerduty.com/escalation_policies/PUS0KTE",'
    b'"summary":"Default","type":"escalation_policy_reference"},"teams":[{"html_url":"https://acme.pagerduty.com/teams/'
    b'PFCVPS0","id":"PFCVPS0","self":"https://api.pagerduty.com/teams/PFCVPS0","summary":"Engineering","type":'
    b'"team_reference"}],"priority":{"html_url":"https://acme.pagerduty.com/account/incident_priorities","id":"PSO75BM",'
    b'"self":"https://api.pagerduty.com/priorities/PSO75BM","summary":"P1","type":"priority_reference"},"urgency":"high",'
    b'"conference_bridge":{"conference_number":1000,"conference_url":"https://example.com"},"resolve_reason":null}}}'
)
PAGERDUTY_SIGNATURE = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd"


def slack(**changed: str) -> list[Pair]:
    sent = {"X_Slack_Request_Timestamp": str(SLACK_TIME), "X_Slack_Signature": SLACK_SIGNATURE, **changed}
    return headers(**{name: value for name, value in sent.items() if value})


def standard(**changed: str) -> list[Pair]:
    sent = {
        "webhook_id": STANDARD_ID,
        "webhook_timestamp": str(STANDARD_TIME),
        "webhook_signature": STANDARD_SIGNATURE,
        **changed,
    }
    return headers(**{name: value for name, value in sent.items() if value})


def standard_hook() -> Hook:
    made = hook("standard-webhooks")
    return Hook(made.settings, (STANDARD_KEY,))


def refused(one: Hook, sent: list[Pair], body: bytes, now: float) -> NotAuthenticError:
    with pytest.raises(NotAuthenticError) as found:
        check_signature(one, sent, body, now)
    return found.value


def test_slacks_own_example_is_authentic_within_five_minutes() -> None:
    one = hook("slack", secrets=[SLACK_SECRET])
    for now in (SLACK_TIME, SLACK_TIME + WINDOW_SECONDS, SLACK_TIME - WINDOW_SECONDS):
        assert check_signature(one, slack(), SLACK_BODY, now) == ""
    for now in (SLACK_TIME + WINDOW_SECONDS + 1, SLACK_TIME - WINDOW_SECONDS - 1):
        assert refused(one, slack(), SLACK_BODY, now).stale


def test_the_vector_of_standard_webhooks_is_authentic_and_gives_the_id() -> None:
    assert check_signature(standard_hook(), standard(), STANDARD_BODY, STANDARD_TIME) == STANDARD_ID
    assert refused(standard_hook(), standard(), STANDARD_BODY, STANDARD_TIME + WINDOW_SECONDS + 1).stale


def test_pagerdutys_own_example_is_authentic() -> None:
    one = hook("pagerduty", secrets=[PAGERDUTY_SECRET])
    assert check_signature(one, headers(X_PagerDuty_Signature=PAGERDUTY_SIGNATURE), PAGERDUTY_BODY, NOW) == ""


def test_grafana_signs_the_body_or_the_time_a_colon_and_the_body() -> None:
    plain = hook("grafana")
    check_signature(plain, headers(X_Grafana_Alerting_Signature=hexed(BODY)), BODY, NOW)
    timed = hook("grafana", timestamp_header="X-Grafana-Alerting-Signature-Timestamp", signature_header="X-Mine")
    when = str(int(NOW))
    sent = headers(X_Mine=hexed(when.encode() + b":" + BODY), X_Grafana_Alerting_Signature_Timestamp=when)
    check_signature(timed, sent, BODY, NOW)
    assert refused(timed, sent, BODY, NOW + WINDOW_SECONDS + 1).stale
    # With a time asked for, one that is not signed, or not there, is none.
    bare = headers(X_Mine=hexed(BODY), X_Grafana_Alerting_Signature_Timestamp=when)
    assert not refused(timed, bare, BODY, NOW).stale
    refused(timed, headers(X_Mine=hexed(BODY)), BODY, NOW)


def test_a_generic_signature_may_say_its_algorithm() -> None:
    one = hook("generic")
    for value in (hexed(BODY), f"sha256={hexed(BODY)}"):
        check_signature(one, headers(X_Hub_Signature_256=value), BODY, NOW)
    refused(one, headers(X_Hub_Signature_256=f"sha1={hexed(BODY)}"), BODY, NOW)


def test_any_of_several_secrets_and_any_of_several_signatures_will_do() -> None:
    one = hook("pagerduty", secrets=[OTHER, SECRET])
    for value in (f"v1={hexed(BODY)}", f"v1={hexed(BODY, OTHER)}", f"v1={'0' * 64}, v1={hexed(BODY)}"):
        check_signature(one, headers(X_PagerDuty_Signature=value), BODY, NOW)
    made = base64.b64encode(hmac.new(STANDARD_KEY, b"m.%d." % int(NOW) + BODY, hashlib.sha256).digest()).decode()
    several = f"v1a,AAAA v1,!!! v1,{base64.b64encode(bytes(32)).decode()} v1,{made}"
    sent = headers(webhook_id="m", webhook_timestamp=str(int(NOW)), webhook_signature=several)
    assert check_signature(standard_hook(), sent, BODY, NOW) == "m"
    too_many = ",".join([f"v1={'0' * 64}"] * 16 + [f"v1={hexed(BODY)}"])
    refused(one, headers(X_PagerDuty_Signature=too_many), BODY, NOW)


@pytest.mark.parametrize(
    ("one", "sent"),
    [
        (hook("slack", secrets=[SLACK_SECRET]), slack(X_Slack_Signature="")),
        (hook("slack", secrets=[SLACK_SECRET]), slack(X_Slack_Request_Timestamp="")),
        (hook("slack", secrets=[SLACK_SECRET]), slack() + slack()),
        (hook("slack", secrets=[SLACK_SECRET]), slack(X_Slack_Signature=SLACK_SIGNATURE.upper())),
        (hook("slack", secrets=[SLACK_SECRET]), slack(X_Slack_Signature=SLACK_SIGNATURE[3:])),
        (hook("slack", secrets=[SLACK_SECRET]), slack(X_Slack_Request_Timestamp=str(SLACK_TIME + 1))),
        (hook("slack", secrets=[SLACK_SECRET.upper()]), slack()),
        (hook("slack", secrets=[]), slack()),
    ],
)
def test_what_is_missing_doubled_or_changed_is_not_authentic(one: Hook, sent: list[Pair]) -> None:
    words = str(refused(one, sent, SLACK_BODY, SLACK_TIME))
    assert SLACK_SECRET not in words
    assert SLACK_SIGNATURE[3:] not in words


@pytest.mark.parametrize("identity", ["a.b", "", "a b", "x" * 257])
def test_an_id_that_could_be_read_in_two_ways_is_refused(identity: str) -> None:
    sent = [(name, identity.encode() if name == b"webhook-id" else value) for name, value in standard()]
    assert "webhook-id" in str(refused(standard_hook(), sent, STANDARD_BODY, STANDARD_TIME))


@pytest.mark.parametrize("seconds", ["-1", "1.5", "+1", "0x1", "1e9", " 1", "9" * 13, "\u0661"])
def test_a_time_that_is_signed_and_not_whole_seconds_is_refused(seconds: str) -> None:
    one = hook("slack")
    signed = hexed(b"v0:" + seconds.encode() + b":" + BODY)
    sent = headers(X_Slack_Request_Timestamp=seconds, X_Slack_Signature=f"v0={signed}")
    assert refused(one, sent, BODY, NOW).stale


@given(st.binary(max_size=200), st.binary(max_size=80))
def test_whatever_is_sent_nothing_unsigned_is_authentic(body: bytes, signature: bytes) -> None:
    names = (b"x-pagerduty-signature", b"x-slack-signature", b"x-hub-signature-256", b"webhook-signature")
    more = headers(x_slack_request_timestamp=str(int(NOW)), webhook_timestamp=str(int(NOW)), webhook_id="m")
    for kind in ("pagerduty", "slack", "generic", "standard-webhooks"):
        refused(hook(kind), [*more, *((name, signature) for name in names)], body, NOW)


@given(st.binary(max_size=300), st.integers(0, 299), st.integers(1, 255))
def test_one_changed_byte_of_a_signed_body_is_noticed(body: bytes, place: int, change: int) -> None:
    one = hook("pagerduty")
    sent = headers(X_PagerDuty_Signature=f"v1={hexed(body)}")
    check_signature(one, sent, body, NOW)
    if body:
        other = bytearray(body)
        other[place % len(body)] ^= change
        refused(one, sent, bytes(other), NOW)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("auth", "secret", "value", "good"),
    [
        ("bearer", SECRET, f"Bearer {SECRET}", True),
        ("bearer", SECRET, f"bearer {SECRET}", True),
        ("bearer", SECRET, f"Bearer {OTHER}", False),
        ("bearer", SECRET, f"Bearer {SECRET[:-1]}", False),
        ("bearer", SECRET, SECRET, False),
        ("bearer", SECRET, "Bearer", False),
        ("bearer", f"guard:{SECRET}", basic(f"guard:{SECRET}"), False),
        ("basic", f"guard:{SECRET}", basic(f"guard:{SECRET}"), True),
        ("basic", f"guard:{SECRET}", basic(f"other:{SECRET}"), False),
        ("basic", f"guard:{SECRET}", basic("guard:"), False),
        ("basic", f"guard:{SECRET}", "Basic !!!", False),
        ("basic", f"guard:{SECRET}", f"Bearer guard:{SECRET}", False),
    ],
)
def test_what_signs_nothing_proves_itself_before_the_body(auth: str, secret: str, value: str, good: bool) -> None:
    one = hook("alertmanager", auth=auth, secrets=[OTHER + ":" + OTHER, secret])
    if good:
        check_sender(one, headers(authorization=value), "")
        assert check_signature(one, headers(authorization=value), BODY, NOW) == ""
        return
    with pytest.raises(NotAuthenticError) as found:
        check_sender(one, headers(authorization=value), "")
    assert SECRET not in str(found.value)
    with pytest.raises(NotAuthenticError):
        check_sender(one, headers(authorization=value) * 2, "")


def test_a_certificate_is_the_hooks_or_it_is_not() -> None:
    one = hook("alertmanager", auth="certificate", peer="spiffe://example/alerts")
    check_sender(one, [], "spiffe://example/alerts")
    for peer in ("", "spiffe://example/alert", "CN=alerts"):
        with pytest.raises(NotAuthenticError):
            check_sender(one, headers(authorization=f"Bearer {SECRET}"), peer)


def test_the_vectors_are_what_they_say() -> None:
    """So that a mistake in copying them would not be taken for one of ours."""
    assert hmac.new(SLACK_SECRET.encode(), b"v0:%d:" % SLACK_TIME + SLACK_BODY, "sha256").hexdigest() in SLACK_SIGNATURE
    assert hexed(PAGERDUTY_BODY, PAGERDUTY_SECRET) in PAGERDUTY_SIGNATURE
    signed = f"{STANDARD_ID}.{STANDARD_TIME}.".encode() + STANDARD_BODY
    made = hmac.new(STANDARD_KEY, signed, "sha256").digest()
    assert binascii.b2a_base64(made, newline=False).decode() in STANDARD_SIGNATURE
