"""The addresses of webhooks over the real application: what a sender is told, and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from guard.admin import bodies, hook_route
from guard.admin.hook_route import MAX_TOLD, HookRoute
from guard.admin.switchboard import Switchboard
from guard.hooks.desk import Desk
from guard.hooks.hook import Hook
from guard.hooks.receiver import MAX_BODY, Receiver
from guard.policy.load import load
from guard.serve.hooking import HookSwitch
from guard.state.directory import OrderDirectory
from guard.state.orders import Source
from tests.guard.admin.fakes import HALF, WHOLE, InFleet
from tests.guard.hooks.deliveries import NOW, SECRET, Witness, alert, group, hexed, hook
from tests.parts.configuration import write_configuration

BEARER = {"authorization": f"Bearer {SECRET}"}


@dataclass
class Fleet:
    """Workers that a test plays, and that obey nothing."""

    names: tuple[str, ...] = ()
    woken: int = 0
    member: InFleet | None = None

    def workers(self) -> tuple[str, ...]:
        """Their names."""
        return self.names

    def fleet(self) -> InFleet | None:
        """As the test says."""
        return self.member

    def wake(self) -> None:
        """Count."""
        self.woken += 1


@dataclass
class Desktop:
    """The route and what stands behind it."""

    app: Starlette
    board: Switchboard
    fleet: Fleet
    witness: Witness
    hooks: dict[str, Hook] = field(default_factory=dict)

    def send(self, one: Hook, body: Any, headers: dict[str, str], path: str = "") -> httpx.Response:
        """Send a message to a hook."""
        self.hooks[one.name] = one

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
                return await client.post(path or f"/v1/hooks/{one.name}", content=body, headers=headers)

        return asyncio.run(run())


@pytest.fixture
def desk(tmp_path: Path) -> Desktop:
    write_configuration(tmp_path)
    state = tmp_path / "var" / "state"
    board = Switchboard(load(tmp_path), OrderDirectory(state), state, lambda: NOW, os.urandom)
    fleet, witness = Fleet(), Witness()
    hooks: dict[str, Hook] = {}
    receiver = Receiver(hooks, Desk(HookSwitch(board, board.state), os.urandom), witness, lambda: NOW)
    route = Route("/v1/hooks/{name}", HookRoute(receiver, board, fleet).receive, methods=["POST"])
    return Desktop(Starlette(routes=[route]), board, fleet, witness, hooks)


def slack(desk: Desktop, **form: str) -> httpx.Response:
    body = urlencode({"command": "/stop", "user_id": "U1", "trigger_id": "1", **form}).encode()
    when = str(int(NOW))
    signature = "v0=" + hexed(b"v0:" + when.encode() + b":" + body)
    headers = {"X-Slack-Request-Timestamp": when, "X-Slack-Signature": signature}
    return desk.send(hook("slack", scopes=("model:demo", "all"), users=("U1",)), body, headers)


def test_a_stop_is_an_order_of_the_webhook_and_wakes_the_workers(desk: Desktop) -> None:
    answer = desk.send(hook("alertmanager"), group(alert()), BEARER)
    (stop,) = desk.board.state().stops
    assert (stop.who, stop.source, stop.created) == ("hook:test", Source.WEBHOOK, NOW)
    assert answer.json() == {
        "hook": "test",
        "results": [{"result": "stopped", "scope": "model:demo", "order": stop.id}],
        "missing": [],
        "streams_cut": 0,
    }
    assert desk.fleet.woken == 1


def test_what_stops_nothing_wakes_nobody_and_waits_for_nobody(desk: Desktop) -> None:
    desk.fleet.names = ("0",)
    answer = desk.send(hook("alertmanager"), group(alert(status="resolved")), BEARER)
    assert answer.json() == {"hook": "test", "results": [{"result": "resolved"}]}
    assert desk.fleet.woken == 0


def test_an_answer_waits_a_little_for_the_workers_and_names_who_has_not_obeyed(
    desk: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_route, "WAIT_SECONDS", 0.05)
    desk.fleet.names = ("0", "1")
    answer = desk.send(hook("alertmanager"), group(alert()), BEARER)
    assert (answer.status_code, answer.json()["missing"]) == (200, ["0", "1"])
    said = slack(desk, text="model:demo").json()["text"]
    assert said.endswith(": applied on 0/2 workers, 0 streams cut; NOT confirmed by 0, 1")


def test_in_a_fleet_a_sender_is_told_of_every_replica(desk: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_route, "WAIT_SECONDS", 0.05)
    desk.fleet.member = InFleet([HALF, HALF, WHOLE])
    answer = desk.send(hook("alertmanager"), group(alert()), BEARER)
    assert (answer.json()["missing"], answer.json()["streams_cut"]) == ([], 9)
    assert desk.fleet.member.waiting == [True, False]
    desk.fleet.member = InFleet([HALF])
    said = slack(desk, text="model:demo").json()["text"]
    assert said.endswith(
        ": applied on 2/4 workers on 1/2 replicas, 3 streams cut; NOT confirmed by r1 (has not seen it)"
    )


def test_a_body_that_is_too_long_or_too_slow_stops_nothing_and_says_so(
    desk: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = desk.send(hook("alertmanager"), b" " * (MAX_BODY + 1), BEARER)
    assert (answer.status_code, answer.json()["error"]) == (400, f"the body is larger than {MAX_BODY} bytes")
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = desk.send(hook("alertmanager"), never(), BEARER)
    assert (answer.status_code, answer.json()["error"]) == (400, "the body did not arrive in time")
    assert desk.witness.results() == ["malformed", "malformed"]
    assert desk.board.state().stops == frozenset()


def test_a_sender_that_proves_nothing_is_answered_before_its_body_is_there(desk: Desktop) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = desk.send(hook("alertmanager"), never(), {})
    assert (answer.status_code, answer.json()) == (401, {"error": "the message is not authentic"})


def test_an_error_names_the_field_and_a_scope_out_of_bounds_what_is_within(desk: Desktop) -> None:
    answer = desk.send(hook("alertmanager"), b'{"alerts": []}', BEARER)
    assert answer.json()["error"] == "alerts: must be a list of 1 to 5000 alerts"
    one = hook("alertmanager", field="s", scopes=("model:demo", "all"))
    answer = desk.send(one, group(alert(s="tier:general"), alert("f2", s="all")), BEARER)
    assert answer.status_code == 422
    assert answer.json()["error"] == "it names what this hook may not stop; it may stop: model:demo, all"
    assert [each["result"] for each in answer.json()["results"]] == ["unbound", "stopped"]


def test_a_long_answer_is_cut(desk: Desktop) -> None:
    body = group(*(alert(f"f{index}", status="resolved") for index in range(MAX_TOLD + 3)))
    answer = desk.send(hook("alertmanager"), body, BEARER).json()
    assert (len(answer["results"]), answer["more"]) == (MAX_TOLD, 3)


@pytest.mark.parametrize("path", ["/v1/hooks/other", "/v1/hooks/test?secret=x"])
def test_another_address_is_not_here(path: str, desk: Desktop) -> None:
    answer = desk.send(hook("alertmanager"), group(alert()), BEARER, path)
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "there is no such operation on the admin listener"},
    )
    assert desk.witness.seen == []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"text": "model:demo"}, "Stopped model:demo (order "),
        ({"text": "model:x"}, "Not stopped: it names what this hook may not stop; it may stop: model:demo, all"),
        ({"text": ""}, "Nothing was stopped: it says no scope, and there is no default; U1 by /stop"),
        ({"text": "all", "user_id": "U2"}, "Not stopped: this person is not among the hook's users"),
        ({"text": "all", "trigger_id": ""}, "Not stopped: trigger_id: must be a text of 1 to 1024 characters"),
        ({"ssl_check": "1"}, "Nothing was stopped: ssl_check"),
    ],
)
def test_people_of_slack_are_told_in_words(form: dict[str, str], said: str, desk: Desktop) -> None:
    answer = slack(desk, **form)
    assert answer.status_code == 200
    assert answer.json()["text"].startswith(said)
    assert answer.json()["response_type"] == ("in_channel" if said.startswith("Stopped") else "ephemeral")


def test_a_message_to_slack_that_is_not_slacks_is_refused_like_any_other(desk: Desktop) -> None:
    answer = desk.send(hook("slack"), b"text=all", {})
    assert (answer.status_code, answer.json()) == (401, {"error": "the message is not authentic"})
