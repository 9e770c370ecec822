"""A message from its first header to its answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from guard.hooks.desk import Desk, Result
from guard.hooks.hook import Hook
from guard.hooks.receiver import MAX_BODY, MAX_SIGNED_BODY, Answer, Delivery, Receiver, UnreadableError
from tests.guard.hooks.deliveries import NOW, SECRET, Orders, Pair, Witness, alert, group, headers, hexed, hook


@dataclass
class Stand:
    """A receiver with all that stands around it; ``limits`` are those that bodies were read with."""

    orders: Orders = field(default_factory=Orders)
    witness: Witness = field(default_factory=Witness)
    now: float = NOW
    limits: list[int] = field(default_factory=list)
    too_long: bool = False

    def __post_init__(self) -> None:
        self.receiver = Receiver({}, Desk(self.orders, os.urandom), self.witness, lambda: self.now)

    def send(self, one: Hook, sent: list[Pair], body: bytes, peer: str = "") -> Answer:
        """Send it, and return what is answered."""

        async def read(limit: int) -> bytes:
            self.limits.append(limit)
            if self.too_long:
                raise UnreadableError(f"the body is larger than {limit} bytes")
            return body

        return asyncio.run(self.receiver.receive(one, Delivery(sent, peer, read)))


def signed_slack(body: bytes, when: float = NOW) -> list[Pair]:
    seconds = str(int(when))
    return headers(
        X_Slack_Request_Timestamp=seconds, X_Slack_Signature="v0=" + hexed(b"v0:" + seconds.encode() + b":" + body)
    )


def signed_standard(body: bytes, identity: str = "msg_1", when: float = NOW) -> list[Pair]:
    content = f"{identity}.{int(when)}.".encode() + body
    made = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
    return headers(webhook_id=identity, webhook_timestamp=str(int(when)), webhook_signature=f"v1,{made}")


INCIDENT = {"event": {"id": "e1", "event_type": "incident.triggered", "data": {"id": "P1", "title": "t"}}}
COMMAND = urlencode({"command": "/stop", "text": "", "user_id": "U1", "trigger_id": "1"}).encode()
BEARER = headers(authorization=f"Bearer {SECRET}")
PLAIN = json.dumps({"id": "1", "event": "stop"}).encode()
STANDARD = json.dumps({"type": "stop"}).encode()
DUTY = json.dumps(INCIDENT).encode()
EVERY = [
    (hook("alertmanager"), BEARER, group(alert())),
    (hook("grafana"), headers(X_Grafana_Alerting_Signature=hexed(group(alert()))), group(alert())),
    (hook("pagerduty"), headers(X_PagerDuty_Signature=f"v1={hexed(DUTY)}"), DUTY),
    (hook("slack"), signed_slack(COMMAND), COMMAND),
    (hook("standard-webhooks"), signed_standard(STANDARD), STANDARD),
    (hook("generic"), headers(X_Hub_Signature_256=f"sha256={hexed(PLAIN)}"), PLAIN),
]
KINDS = [one.settings.kind.value for one, _, _ in EVERY]


@pytest.mark.parametrize(("one", "sent", "body"), EVERY, ids=KINDS)
def test_a_message_of_every_sender_stops_once(one: Hook, sent: list[Pair], body: bytes) -> None:
    stand = Stand()
    answer = stand.send(one, sent, body)
    assert answer.status == 200
    assert answer.orders == (stand.orders.stops[0].id,)
    assert stand.send(one, sent, body).orders == ()
    assert stand.witness.results() == ["stopped", "repeated"]


@pytest.mark.parametrize(("one", "sent", "body"), EVERY, ids=KINDS)
def test_a_message_that_proves_nothing_is_told_no_more_than_that(one: Hook, sent: list[Pair], body: bytes) -> None:
    stand = Stand()
    for pairs in ([], [(name, value[:-1] + b"0") for name, value in sent], sent + sent):
        answer = stand.send(one, pairs, body)
        assert answer.status == 401
        assert not answer.proved
        assert answer.acts[0].result in {Result.REFUSED, Result.STALE}
    assert stand.orders.stops == []


@pytest.mark.parametrize(("one", "sent", "body"), EVERY[1:], ids=KINDS[1:])
def test_a_body_that_is_not_the_signed_one_is_refused(one: Hook, sent: list[Pair], body: bytes) -> None:
    stand = Stand()
    assert stand.send(one, sent, body + b" ").status == 401
    assert stand.orders.stops == []


@pytest.mark.parametrize("kind", ["slack", "standard-webhooks"])
def test_a_replay_after_five_minutes_is_stale_and_within_them_adds_nothing(kind: str) -> None:
    ((one, sent, body),) = [each for each in EVERY if each[0].settings.kind.value == kind]
    stand = Stand()
    stand.send(one, sent, body)
    stand.now += 299
    stand.send(one, sent, body)
    stand.now += 2
    assert stand.send(one, sent, body).status == 401
    assert stand.witness.results() == ["stopped", "repeated", "stale"]


def test_a_sender_that_tries_again_signs_anew_and_is_known_by_the_id() -> None:
    stand = Stand()
    one = hook("standard-webhooks")
    stand.send(one, signed_standard(STANDARD), STANDARD)
    stand.now += 3600
    stand.send(one, signed_standard(STANDARD, when=stand.now), STANDARD)
    stand.send(one, signed_standard(STANDARD, "msg_2", stand.now), STANDARD)
    assert stand.witness.results() == ["stopped", "repeated", "stopped"]


def test_who_proves_itself_first_may_send_more_and_nobody_else_is_listened_to() -> None:
    stand = Stand()
    stand.send(hook("alertmanager"), [], b"")
    assert stand.limits == []
    stand.send(hook("alertmanager"), BEARER, group(alert()))
    stand.send(hook("pagerduty"), [], b"")
    assert stand.limits == [MAX_BODY, MAX_SIGNED_BODY]
    stand.too_long = True
    answer = stand.send(hook("alertmanager"), BEARER, b"")
    assert (answer.status, answer.acts[0].words) == (400, f"the body is larger than {MAX_BODY} bytes")
    assert stand.send(hook("pagerduty"), [], b"").status == 400
    assert [proved for proved, _ in stand.witness.seen] == [False, True, False, True, False]


def test_a_client_certificate_is_proof_enough() -> None:
    stand = Stand()
    one = hook("alertmanager", auth="certificate", peer="spiffe://x/alerts")
    assert stand.send(one, [], group(alert()), "spiffe://x/alerts").status == 200
    assert stand.send(one, BEARER, group(alert("f2")), "spiffe://x/other").status == 401
    assert len(stand.orders.stops) == 1


def test_resolved_is_answered_200_and_lifts_nothing() -> None:
    stand = Stand()
    one = hook("alertmanager")
    stand.send(one, BEARER, group(alert()))
    answer = stand.send(one, BEARER, group(alert(status="resolved")))
    assert answer.status == 200
    assert stand.witness.results() == ["stopped", "resolved"]
    assert len(stand.orders.state().stops) == 1
    assert stand.orders.state().resumes == frozenset()


def test_of_a_group_each_alert_is_judged_by_itself() -> None:
    stand = Stand()
    one = hook("alertmanager", field="s", scopes=("model:demo", "all"))
    body = group(
        alert(s="model:demo"),
        alert("f2", s="model:other"),
        alert("f3"),
        alert("f4", status="resolved"),
        alert("f5", s="all"),
    )
    answer = stand.send(one, BEARER, body)
    assert answer.status == 422
    assert stand.witness.results() == ["stopped", "unbound", "ignored", "resolved", "stopped"]
    assert len(answer.orders) == 2


def test_the_status_asks_for_another_try_only_where_one_could_help() -> None:
    unbound = {**INCIDENT, "service": "x"}
    duty = hook("pagerduty", field="service")
    body = json.dumps(unbound).encode()
    stand = Stand()
    # PagerDuty pauses a subscription that is refused often, and the next incident may be one to stop for.
    assert stand.send(duty, headers(X_PagerDuty_Signature=f"v1={hexed(body)}"), body).status == 200
    assert stand.witness.results() == ["unbound"]
    stand.orders.broken = OSError(5, "broken")
    assert stand.send(hook("alertmanager"), BEARER, group(alert())).status == 500


def test_what_is_authentic_and_not_understood_is_malformed() -> None:
    stand = Stand()
    answer = stand.send(hook("alertmanager"), BEARER, b"{}")
    assert (answer.status, answer.proved, answer.acts[0].result) == (400, True, Result.MALFORMED)
    assert answer.acts[0].words.startswith("alerts: ")


def test_an_alert_that_is_wrong_is_told_and_the_others_stop() -> None:
    stand = Stand()
    answer = stand.send(hook("alertmanager"), BEARER, group({**alert(), "labels": 5}, alert("f2")))
    assert answer.status == 400
    assert stand.witness.results() == ["malformed", "stopped"]


def test_a_person_who_may_not_is_refused_and_told() -> None:
    stand = Stand()
    answer = stand.send(hook("slack", users=("U9",)), signed_slack(COMMAND), COMMAND)
    assert (answer.proved, answer.acts[0].result) == (True, Result.REFUSED)
    assert stand.witness.seen[0][0]
    assert stand.orders.stops == []


def test_other_hooks_can_take_the_place_of_these() -> None:
    stand = Stand()
    one = hook("alertmanager")
    assert stand.receiver.find("test") is None
    stand.receiver.take({"test": one})
    assert stand.receiver.find("test") is one


def test_a_hook_shows_no_secret_of_its_own() -> None:
    assert SECRET not in repr(hook("alertmanager"))
