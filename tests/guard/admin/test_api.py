"""The admin API over its real application: who may do what, what a body may be, and what answers say.

One file, because every test asks the same application with the same fleet behind it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.admin import api, bodies, switchboard
from guard.admin.api import Person, Readiness, admin_app
from guard.admin.bodies import MAX_BODY
from guard.admin.switchboard import Switchboard
from guard.credentials import Holder, Register, digest
from guard.policy.load import load
from guard.policy.model import Role
from guard.policy.roles import Act, may
from guard.serve.hooking import HookSwitch
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.directory import OrderDirectory
from guard.state.orders import Source, is_order_id, issue_resume
from guard.state.reloads import Outcome, Reloaded
from guard.state.replicas import Spread
from tests.guard.hooks.deliveries import no_hooks
from tests.parts.configuration import ModelSpec, write_configuration

PEPPER = b"pepper"
TOKENS = {
    "responder": "at-guard-responder-0123",
    "viewer": "at-guard-viewer-01234567",
    "late": "at-guard-late-0123456789",
}
NOW = 1_800_000_000.0


class Noon:
    """A clock that stands."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return NOW

    def steady(self) -> float:
        """Monotonic seconds."""
        return 0.0


@dataclass
class Member:
    """A place in a fleet whose words come one after another."""

    words: list[Spread]
    waiting: list[bool] = field(default_factory=list)

    def spread(self, order: str) -> Spread:
        """The next; the last for ever."""
        assert order
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]

    def wait_for_others(self, *, waiting: bool) -> None:
        """Remember."""
        self.waiting.append(waiting)

    def status(self) -> dict[str, Any]:
        """Something."""
        return {"replica": "one"}


@dataclass
class Fleet:
    """Workers that a test plays."""

    names: tuple[str, ...] = ()
    readiness: Readiness = field(default_factory=lambda: Readiness(True, 1, 1, ()))
    woken: int = 0
    turned_away: list[str] = field(default_factory=list)
    reloaded: Reloaded = field(default_factory=lambda: Reloaded(Outcome.IN_FORCE, "", "old", "new", NOW, workers=1))
    asked: list[tuple[str, str]] = field(default_factory=list)
    member: Member | None = None
    emergencies: list[str] = field(default_factory=list)

    def workers(self) -> tuple[str, ...]:
        """Their names."""
        return self.names

    def ready(self) -> Readiness:
        """As the test says."""
        return self.readiness

    def fleet(self) -> Member | None:
        """As the test says."""
        return self.member

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Echo what was asked for."""
        return b"page", f"text/plain; asked={accept or 'nothing'}"

    def standing(self) -> list[dict[str, Any]]:
        """One model."""
        return [{"model": "demo", "routable": True}]

    def drills(self) -> dict[str, Any]:
        """None are made."""
        return {"kinds": [], "gaps": [], "models": []}

    def waiting(self) -> list[dict[str, Any]]:
        """Nothing waits."""
        return []

    def policy(self) -> dict[str, Any]:
        """A digest."""
        return {"digest": "new", "differs": ""}

    async def reload(self, who: str, reason: str) -> Reloaded:
        """Remember, and answer as the test says."""
        self.asked.append((who, reason))
        return self.reloaded

    def refused(self, reason: str) -> None:
        """Remember."""
        self.turned_away.append(reason)

    def emergency(self, who: str) -> None:
        """Remember."""
        self.emergencies.append(who)


@dataclass
class Desk:
    """The application and what stands behind it."""

    app: Any
    fleet: Fleet
    state: Path

    def ask(self, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
        """Ask it one thing."""
        headers = {"authorization": f"Bearer {TOKENS.get(token, token)}"} if token else {}
        headers |= more.pop("headers", {})

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(run())

    def orders(self) -> list[str]:
        """What lies in the orders' directory."""
        return sorted(path.name for path in (self.state / "orders").iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)])
    config = load(tmp_path)
    state = tmp_path / "var" / "state"
    entropy = iter(range(1_000_000))
    board = Switchboard(config, OrderDirectory(state), state, lambda: NOW, lambda n: next(entropy).to_bytes(n))
    people = {
        digest(PEPPER, token.encode()): Holder(
            Person(name, f"{name} in person", Role.VIEWER if name == "viewer" else Role.RESPONDER),
            NOW if name == "late" else NOW + 1,
        )
        for name, token in TOKENS.items()
    }
    for role in Role:
        held = Holder(Person(role.value, role.value, role), NOW + 1)
        people[digest(PEPPER, f"at-guard-role-{role.value}".encode())] = held
    fleet = Fleet()
    hooks = no_hooks(HookSwitch(board, board.state))
    return Desk(admin_app(board, Register(PEPPER, people, Noon()), fleet, hooks), fleet, state)


HALF = Spread(1, 2, 2, 4, 3, ("two (has not seen it)",))
WHOLE = Spread(2, 2, 4, 4, 9, ())


def test_in_a_fleet_an_order_is_answered_when_every_replica_has_obeyed(desk: Desk) -> None:
    desk.fleet.member = Member([HALF, HALF, WHOLE])
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["replicas"], body["replicas_of"], body["workers"], body["workers_of"]) == (2, 2, 4, 4)
    assert (body["missing"], body["streams_cut"]) == ([], 9)
    assert desk.fleet.member.waiting == [True, False]
    assert desk.ask("GET", f"/v1/orders/{body['order']}", "viewer").json()["replicas"] == 2
    assert desk.ask("GET", "/v1/status", "viewer").json()["fleet"] == {"replica": "one"}


def test_in_a_fleet_whoever_has_not_obeyed_in_time_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAIT_SECONDS", 0.05)
    desk.fleet.member = Member([HALF])
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"})
    assert (answer.status_code, answer.json()["missing"]) == (202, ["two (has not seen it)"])
    assert desk.fleet.member.waiting == [True, False]


PROTECTED = [
    ("GET", "/v1/status"),
    ("POST", "/v1/stops"),
    ("POST", "/v1/rules"),
    ("GET", "/v1/rules"),
    ("GET", "/v1/rules/texts"),
    ("POST", "/v1/resumes"),
    ("GET", "/v1/orders/x"),
    ("POST", "/v1/reloads"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"authorization": "Basic abc"}, "malformed"),
        ({"authorization": "Bearer "}, "malformed"),
        ({"authorization": "Bearer short"}, "malformed"),
        ({"authorization": "Bearer at-guard-nobody-0123456789"}, "unknown"),
        ({"authorization": f"Bearer {TOKENS['late']}"}, "expired"),
        ({"cookie": f"token={TOKENS['responder']}"}, "missing"),
    ],
)
def test_without_a_valid_token_nothing_is_told_and_nothing_done(
    method: str, path: str, headers: dict[str, str], reason: str, desk: Desk
) -> None:
    answer = desk.ask(method, path, headers=headers, content=b'{"scope": "all"}' if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.json() == {"error": "the token has expired" if reason == "expired" else "send a valid token"}
    assert desk.fleet.turned_away == [reason]
    assert desk.orders() == []


def test_a_viewer_sees_and_may_not_act(desk: Desk) -> None:
    assert desk.ask("GET", "/v1/status", "viewer").status_code == 200
    for path, body in (("/v1/stops", {"scope": "all"}), ("/v1/resumes", {"target": "all", "reason": "x"})):
        answer = desk.ask("POST", path, "viewer", json=body)
        assert answer.status_code == 403
        assert "the role viewer may not do this; it takes responder, " in answer.json()["error"]
    assert desk.fleet.turned_away == ["viewer is a viewer"] * 2
    assert desk.orders() == []


ACTS = [
    ("GET", "/v1/status", None, Act.SEE_STATUS),
    ("GET", "/v1/orders/x", None, Act.SEE_STATUS),
    ("POST", "/v1/stops", {"scope": "model:demo"}, Act.STOP),
    ("POST", "/v1/rules", {"scope": "model:demo", "rules": []}, Act.PUSH_RULE),
    ("GET", "/v1/rules", None, Act.SEE_STATUS),
    ("GET", "/v1/rules/texts", None, Act.PUSH_RULE),
    ("POST", "/v1/resumes", {"target": "nothing-like-it", "reason": "x"}, Act.RESUME),
    ("POST", "/v1/reloads", {}, Act.RELOAD),
]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "body", "act"), ACTS)
def test_each_role_may_what_the_table_says_and_nothing_else(
    role: Role, method: str, path: str, body: Any, act: Act, desk: Desk
) -> None:
    answer = desk.ask(method, path, f"at-guard-role-{role.value}", json=body)
    assert (answer.status_code == 403) is not may(role, act)
    assert (desk.fleet.turned_away == [f"{role.value} is a {role.value}"]) is not may(role, act)


def test_a_stop_names_its_person_and_wakes_the_workers(desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo", "reason": "why"})
    assert answer.status_code == 200
    body = answer.json()
    assert is_order_id(body["order"])
    assert (body["scope"], body["who"], body["reason"]) == ("model:demo", "responder in person", "why")
    assert (body["workers"], body["missing"], body["streams_cut"]) == (0, [], 0)
    assert desk.orders() == [f"{body['order']}.json"]
    assert desk.fleet.woken == 1
    (stop,) = desk.ask("GET", "/v1/status", "viewer").json()["stops"]
    assert stop == {
        "order": body["order"],
        "scope": "model:demo",
        "mode": "stop",
        "reason": "why",
        "who": "responder in person",
        "since": NOW,
        "lifted_below_asl_3": False,
    }


RULE = {"id": "marker", "category": "cyber", "phrase": "FORBIDDEN-MARKER"}


def test_a_pushed_rule_names_its_person_and_is_listed_without_its_text(desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/rules", "responder", json={"scope": "all", "rules": [RULE], "reason": "why"})
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["kind"], body["scope"], body["rules"], body["who"]) == ("rule", "all", 1, "responder in person")
    assert (body["workers"], body["missing"]) == (0, [])
    assert desk.fleet.woken == 1
    (listed,) = desk.ask("GET", "/v1/rules", "viewer").json()["rules"]
    assert listed["rules"] == [{"id": "marker", "category": "cyber"}]
    assert (listed["screens"], listed["reason"], listed["lifted_below_asl_3"]) == (["input", "output"], "why", False)
    (shown,) = desk.ask("GET", "/v1/rules/texts", "responder").json()["rules"]
    assert shown["rules"] == [RULE]
    assert desk.ask("GET", "/v1/status", "viewer").json()["rules"] == 1
    assert desk.ask("POST", "/v1/rules", "viewer", json={"scope": "all", "rules": [RULE]}).status_code == 403

    lifted = desk.ask("POST", "/v1/resumes", "responder", json={"target": body["order"], "reason": "in the file"})
    assert (lifted.status_code, lifted.json()["kind"], lifted.json()["freed"]) == (200, "rule", ["demo"])
    assert [held["model"] for held in lifted.json()["held"]] == ["strict"]
    assert "rule on all" in lifted.json()["approval"]
    (left,) = desk.ask("GET", "/v1/rules", "viewer").json()["rules"]
    assert left["lifted_below_asl_3"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"scope": "all", "rules": []}, "rules: 1 to 10"),
        ({"scope": "all", "rules": [RULE | {"pattern": "x"}]}, "either a phrase or a pattern"),
        ({"scope": "all", "rules": [RULE | {"category": "rumour"}]}, "rumour"),
        ({"scope": "all", "rules": [RULE | {"more": "x"}]}, "more"),
        ({"scope": "all", "rules": [RULE], "screens": []}, "screens: "),
        ({"scope": "all", "rules": [RULE], "screens": ["both"]}, "both"),
        ({"scope": "key:app", "rules": [RULE]}, "scope: of a rule"),
        (
            {"scope": "all", "rules": [{"id": "x", "category": "other", "pattern": "FORBIDDEN-("}]},
            "rule x: the pattern",
        ),
        ({"scope": "all", "rules": [RULE | {"id": f"r{n}"} for n in range(11)]}, "rules: 1 to 10"),
        ({"scope": "all", "rules": [RULE | {"phrase": "x" * 70_000}]}, "larger than"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_without_its_text(body: Any, said: str, desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/rules", "responder", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "FORBIDDEN" not in answer.text
    assert desk.orders() == []


def test_no_more_rules_are_taken_than_every_worker_keeps_in_force(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "MAX_IN_FORCE", 2)
    codes = [
        desk.ask("POST", "/v1/rules", "responder", json={"scope": "all", "rules": [RULE]}).status_code for _ in range(3)
    ]
    assert codes == [200, 200, 400]
    assert len(desk.orders()) == 2


def test_a_stop_is_answered_202_while_a_worker_has_not_obeyed_and_says_which(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "WAIT_SECONDS", 0.05)
    desk.fleet.names = ("0", "1")
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "all"})
    assert answer.status_code == 202
    assert answer.json()["missing"] == ["0", "1"]
    order = answer.json()["order"]
    own = process_started(1)
    acknowledgements = Acknowledgements(desk.state, "0", pid=1, started=own or 0)
    acknowledgements.record({order: 7}, NOW)
    later = desk.ask("GET", f"/v1/orders/{order}", "viewer").json()
    assert later == {"order": order, "workers": 1, "missing": ["1"], "streams_cut": 7}


def test_a_stop_needs_no_reason_and_a_resume_does(desk: Desk) -> None:
    order = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"}).json()["order"]
    for reason in ("", "  "):
        answer = desk.ask("POST", "/v1/resumes", "responder", json={"target": order, "reason": reason})
        assert (answer.status_code, answer.json()) == (400, {"error": "a resume needs a reason"})
    answer = desk.ask("POST", "/v1/resumes", "responder", json={"target": order, "reason": "fixed"})
    assert answer.status_code == 200
    assert (answer.json()["lifts"], answer.json()["freed"], answer.json()["held"]) == ([order], ["demo"], [])
    assert desk.ask("GET", "/v1/status", "viewer").json()["stops"] == []


def test_at_asl_3_a_resume_is_refused_and_what_holds_there_stays_in_the_status(desk: Desk) -> None:
    order = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:strict"}).json()["order"]
    answer = desk.ask("POST", "/v1/resumes", "responder", json={"target": order, "reason": "fixed"})
    assert answer.status_code == 409
    assert "ASL-3" in answer.json()["error"]
    everything = desk.ask("POST", "/v1/stops", "responder", json={"scope": "all"}).json()["order"]
    lifted = desk.ask("POST", "/v1/resumes", "responder", json={"target": "all", "reason": "fixed"}).json()
    assert [held["model"] for held in lifted["held"]] == ["strict"]
    found = {each["order"]: each["lifted_below_asl_3"] for each in status(desk)["stops"]}
    assert found == {order: False, everything: True}


def status(desk: Desk) -> dict[str, Any]:
    """What a viewer is told."""
    body: dict[str, Any] = desk.ask("GET", "/v1/status", "viewer").json()
    return body


@pytest.mark.parametrize(
    "scope", ["model:nobody", "tier:nobody", "key:nobody", "all:", "", "ALL", "model:", "x" * 5000]
)
def test_an_unknown_scope_is_refused_with_what_exists(scope: str, desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": scope})
    assert answer.status_code == 400
    assert ("there are: " in answer.json()["error"]) is scope.endswith("nobody")
    assert len(answer.content) < 500
    assert desk.orders() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"all"',
        b'{"scope": 1}',
        b'{"scope": null}',
        b'{"reason": "x"}',
        b'{"scope": "all", "extra": 1}',
        b'{"scope": "all", "reason": 5}',
        b"\xff\xfe",
        b'{"scope": "\xff"}',
        b'{"scope": "\\ud800"}',
        b"[" * 10_000,
        b'{"scope": "all", "reason": "' + b"a" * MAX_BODY + b'"}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_not_what_it_should_be_is_refused_in_words(body: bytes, desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/stops", "responder", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert len(answer.content) < 300
    assert desk.orders() == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=700))
def test_whatever_the_reason_a_stop_is_accepted_and_shown_harmlessly(desk: Desk, reason: str) -> None:
    answer = desk.ask("POST", "/v1/stops", "responder", content=json.dumps({"scope": "all", "reason": reason}))
    try:
        reason.encode()
    except UnicodeEncodeError:
        assert answer.status_code == 400  # half a surrogate pair is no text of JSON
        return
    assert answer.status_code == 200
    assert answer.json()["reason"].isprintable()
    assert status(desk)["stops"]


def test_a_body_that_does_not_come_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = desk.ask("POST", "/v1/stops", "responder", content=never())
    assert (answer.status_code, answer.json()) == (400, {"error": "the body did not arrive in time"})


def test_an_order_that_cannot_be_written_falls_back_to_a_file_and_then_says_so(desk: Desk) -> None:
    (desk.state / "incoming").rmdir()
    (desk.state / "incoming").write_text("in the way")
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"})
    assert answer.status_code == 200
    assert answer.json()["order"] == "file:STOP.model.demo"
    refused = desk.ask("POST", "/v1/resumes", "responder", json={"target": "model:demo", "reason": "x"})
    assert refused.status_code == 409
    (desk.state / "orders" / "STOP.model.demo").unlink()
    (desk.state / "orders").rmdir()
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"})
    assert answer.status_code == 500
    assert "could not be written" in answer.json()["error"]


def test_health_is_for_everybody_and_readiness_says_why_not(desk: Desk) -> None:
    assert desk.ask("GET", "/health/live").json() == {"live": True}
    assert desk.ask("GET", "/health/ready").status_code == 200
    desk.fleet.readiness = Readiness(False, 0, 2, ("worker 0: it fell silent",))
    answer = desk.ask("GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "serving": 0, "workers": 2, "troubles": ["worker 0: it fell silent"]}


def test_the_metrics_are_in_the_form_that_is_asked_for(desk: Desk) -> None:
    answer = desk.ask("GET", "/metrics", headers={"accept": "application/openmetrics-text"})
    assert (answer.content, answer.headers["content-type"]) == (
        b"page",
        "text/plain; asked=application/openmetrics-text",
    )


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/status/", 404),
        ("GET", "/v1/orders/a/b", 404),
        ("GET", "/v1/orders/", 404),
        ("POST", "/v1/chat/completions", 404),
        ("GET", "/v1/stops", 405),
        ("DELETE", "/v1/stops", 405),
        ("POST", "/health/live", 405),
        ("OPTIONS", "/v1/stops", 405),
    ],
)
def test_everything_else_is_not_here(method: str, path: str, expected: int, desk: Desk) -> None:
    answer = desk.ask(method, path, "responder")
    assert answer.status_code == expected
    assert answer.json() == {"error": "there is no such operation on the admin listener"}
    assert ("allow" in answer.headers) is (expected == 405)


def test_a_responder_reloads_under_a_name_and_a_viewer_does_not(desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/reloads", "responder", json={"reason": "INC-7"})
    assert answer.status_code == 200
    assert answer.json()["outcome"] == "in_force"
    assert (answer.json()["before"], answer.json()["digest"]) == ("old", "new")
    assert desk.fleet.asked == [("responder in person", "INC-7")]
    assert desk.ask("POST", "/v1/reloads", "viewer", json={}).status_code == 403
    assert desk.ask("POST", "/v1/reloads", "responder", json={"force": True}).status_code == 400
    assert len(desk.fleet.asked) == 1


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.UNCHANGED, 200), (Outcome.INVALID, 422), (Outcome.REFUSED, 409), (Outcome.FAILED, 500)],
)
def test_what_became_of_a_reload_is_its_status(desk: Desk, outcome: Outcome, status: int) -> None:
    desk.fleet.reloaded = Reloaded(outcome, "", "old", "new", NOW, problems=("one", "two"))
    answer = desk.ask("POST", "/v1/reloads", "responder", json={})
    assert answer.status_code == status
    assert answer.json().get("error", "one; two") == "one; two"
    assert answer.json()["problems"] == ["one", "two"]


def test_a_reload_that_not_every_worker_confirmed_is_accepted_and_not_done(desk: Desk) -> None:
    desk.fleet.reloaded = Reloaded(Outcome.IN_FORCE, "", "old", "new", NOW, workers=1, missing=("1",))
    assert desk.ask("POST", "/v1/reloads", "responder", json={}).status_code == 202


def test_the_status_says_which_policy_is_in_force(desk: Desk) -> None:
    assert desk.ask("GET", "/v1/status", "viewer").json()["policy"] == {"digest": "new", "differs": ""}


def test_a_resume_at_asl_3_is_refused_with_what_two_people_have_to_sign(desk: Desk) -> None:
    order = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:strict"}).json()["order"]
    answer = desk.ask("POST", "/v1/resumes", "responder", json={"target": order, "reason": "over"})
    assert answer.status_code == 409
    assert "two people" in answer.json()["error"]
    approval = answer.json()["approval"]
    assert json.loads(approval)["lifts"][0]["order"] == order
    body = {"approval": approval, "approvers": [{"person": "ana", "signature": "nonsense"}]}
    refused = desk.ask("POST", "/v1/resumes", "responder", json=body)
    assert refused.status_code == 409
    assert "operators.yaml is missing" in refused.json()["error"]
    assert desk.ask("POST", "/v1/resumes", "viewer", json=body).status_code == 403


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "target: what to lift"),
        ({"target": "all"}, "a resume needs a reason"),
        ({"target": "all", "reason": "x", "approvers": [{"person": "a", "signature": "b"}]}, "target"),
        ({"approval": "x", "target": "all"}, "are said by the approval"),
        ({"approval": "x", "reason": "y"}, "are said by the approval"),
        ({"approval": "x"}, "approval: not JSON"),
        ({"approval": "\u00e9"}, "approval: not JSON"),
        ({"approval": "x" * 16_385}, "approval: at most"),
        ({"approval": "x", "approvers": [{"person": "a", "signature": "b"}] * 9}, "8 signatures"),
        ({"approval": "x", "approvers": [{"person": "A", "signature": "b"}]}, "approvers: a person"),
        ({"approval": "x", "approvers": [{"person": "a"}]}, "signature"),
        ({"approval": "x", "approvers": [{"person": "a", "signature": "\u001b"}]}, "approvers: a signature"),
        ({"approval": 5}, "approval"),
    ],
)
def test_a_resume_that_says_too_much_or_too_little_is_refused_by_name(
    body: dict[str, Any], said: str, desk: Desk
) -> None:
    answer = desk.ask("POST", "/v1/resumes", "responder", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_stop_takes_a_mode_from_the_closed_list(desk: Desk) -> None:
    answer = desk.ask("POST", "/v1/stops", "responder", json={"scope": "level:2", "mode": "drain"})
    assert (answer.status_code, answer.json()["mode"]) == (200, "drain")
    assert desk.ask("GET", "/v1/status", "viewer").json()["stops"][0]["mode"] == "drain"
    wrong = desk.ask("POST", "/v1/stops", "responder", json={"scope": "all", "mode": "pause"})
    assert wrong.status_code == 400
    assert "mode" in wrong.json()["error"]


def test_a_resume_that_does_not_count_is_shown(desk: Desk) -> None:
    order = desk.ask("POST", "/v1/stops", "responder", json={"scope": "model:demo"}).json()["order"]
    forged = issue_resume([order], reason="x", who="x", source=Source.CLI, now=NOW, entropy=b"0123456789")
    OrderDirectory(desk.state).put(forged)
    status = desk.ask("GET", "/v1/status", "viewer").json()
    assert status["resumes_not_counted"] == {forged.id: "it is not signed by the host that issued it"}
    assert len(status["stops"]) == 1
