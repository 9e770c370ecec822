"""Each sender's message stops exactly the scope it names, at the very hooks that the guard keeps for drills."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from guard.drills.senders import Message, message
from guard.hooks.desk import Desk, Result
from guard.hooks.drilled import TIME_HEADER, drill_hooks
from guard.hooks.receiver import Answer, Delivery, Receiver
from guard.policy.hooks import HookKind
from guard.policy.selftest import hook_of, scopes_of
from tests.guard.hooks.deliveries import NOW, Orders, Witness

SECRET = b"dt-guard-0123456789abcdef"
SCOPES = scopes_of("host")


def sent(kind: HookKind, one: Message, orders: Orders) -> Answer:
    """Send it to the guard's own hook of this kind."""
    receiver = Receiver(drill_hooks(SECRET, "host"), Desk(orders, bytes), Witness(), lambda: NOW)
    hook = receiver.find(hook_of(kind))
    assert hook is not None
    pairs = [(name.encode(), value.encode()) for name, value in one.headers.items()]

    async def body(_: int) -> bytes:
        return one.body

    return asyncio.run(receiver.receive(hook, Delivery(pairs, "", body)))


@pytest.mark.parametrize("kind", HookKind)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_sender_stops_every_scope_of_the_self_test_model_once(kind: HookKind, scope: str) -> None:
    orders = Orders()
    one = message(kind, SECRET, scope, "drill", "f1", NOW)
    answer = sent(kind, one, orders)
    assert (answer.status, [each.result for each in answer.acts]) == (200, [Result.STOPPED])
    assert [(str(each.scope), each.who) for each in orders.stops] == [(scope, f"hook:guard-selftest-{kind}")]
    assert "drill" in orders.stops[0].reason or kind is HookKind.STANDARD  # which has no place for words
    again = sent(kind, one, orders)
    assert [each.result for each in again.acts] == [Result.REPEATED]
    other = sent(kind, message(kind, SECRET, scope, "drill", "f2", NOW), orders)
    assert [each.result for each in other.acts] == [Result.STOPPED]


@pytest.mark.parametrize("kind", HookKind)
def test_nothing_else_can_be_stopped_and_no_other_secret_stops_anything(kind: HookKind) -> None:
    orders = Orders()
    for scope in ("all", "model:demo", "version:guard-selftest/another"):
        answer = sent(kind, message(kind, SECRET, scope, "drill", "f1", NOW), orders)
        assert [each.result for each in answer.acts] == [Result.UNBOUND]
    forged = message(kind, SECRET[:-1] + b"0", SCOPES[0], "drill", "f1", NOW)
    assert sent(kind, forged, orders).status == 401
    changed = message(kind, SECRET, SCOPES[0], "drill", "f1", NOW)
    if kind is not HookKind.ALERTMANAGER:  # which signs nothing
        assert sent(kind, replace(changed, body=changed.body + b" "), orders).status == 401
    assert orders.stops == []


@pytest.mark.parametrize("kind", HookKind)
def test_what_has_a_time_is_taken_for_five_minutes_only(kind: HookKind) -> None:
    late = sent(kind, message(kind, SECRET, SCOPES[0], "drill", "f1", NOW - 301), Orders())
    timed = kind in {HookKind.GRAFANA, HookKind.GENERIC, HookKind.SLACK, HookKind.STANDARD}
    assert late.status == (401 if timed else 200)


def test_both_sides_name_the_time_alike_and_a_message_shows_no_secret() -> None:
    assert TIME_HEADER in message(HookKind.GENERIC, SECRET, SCOPES[0], "", "f1", NOW).headers
    assert SECRET.decode() not in repr(message(HookKind.ALERTMANAGER, SECRET, SCOPES[0], "", "f1", NOW))
