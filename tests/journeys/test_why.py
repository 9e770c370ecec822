"""What `guard why` says of a hypothetical request is what the running guard answers to the real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from guard.policy.load import load
from safeguards.verdict import Code
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

SHADOW = {"mode": "shadow"}
BOTH_SHADOW = dict.fromkeys(("access", "limits"), SHADOW)
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "completions": ("/v1/completions", {"prompt": "hello"}),
    "embeddings": ("/v1/embeddings", {"input": "hello"}),
}


@dataclass(frozen=True, slots=True)
class Host:
    """A running guard and what its callers hold."""

    guard: GuardThread
    config: Path
    credentials: Credentials
    upstream: ScriptedUpstream

    def asked(self, key: str, model: str, operation: str, surface: str) -> tuple[int, str]:
        """What the guard answers: the status and the code; 200 and none once it has asked the model."""
        before = len(self.upstream.requests)
        credential = getattr(self.credentials, key, "sk-guard-nobody-0123456789abcdef")
        if key == "internal":
            credential = (self.config / "secrets" / "internal.key").read_text().strip()
        path, fields = PATHS[operation]
        with RawCaller(self.guard.ports[surface], credential) as caller:
            caller.post(json.dumps({"model": model, **fields}).encode(), path=path)
            answer = caller.answer()
        forwarded = len(self.upstream.requests) > before
        return (200, "") if forwarded else (answer.status, answer.code)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ScriptedUpstream(says("hello")) as upstream:
        models = [
            ModelSpec(upstream=upstream.url, surfaces=("public", "inside"), operations=("chat", "completions")),
            ModelSpec("inside-only", upstream=upstream.url, surfaces=("inside",)),
            ModelSpec("staff-only", upstream=upstream.url, audience="internal"),
            ModelSpec("staff-lenient", asl=1, upstream=upstream.url, audience="internal", safeguards=BOTH_SHADOW),
            ModelSpec("below", upstream=upstream.url, claims=()),
            ModelSpec("lenient", asl=1, upstream=upstream.url, safeguards=BOTH_SHADOW),
            ModelSpec("strict", asl=3, upstream=upstream.url),
        ]
        credentials = write_configuration(tmp_path, models=models, surfaces={"inside": 0})
        with GuardThread(tmp_path) as guard:
            yield Host(guard, tmp_path, credentials, upstream)


@pytest.fixture
def why(host: Host, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def ask(key: str, model: str, operation: str, surface: str) -> dict[str, Any]:
        key = "app" if key == "key" else key
        before = tree(host.config)
        capsys.readouterr()
        arguments = ["why", "--as", key, "--model", model, "--operation", operation, "--surface", surface, "--json"]
        code = main([*arguments, "--config", str(host.config)])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if found["forwarded"] else 1)
        assert tree(host.config) == before, "asking changed something"
        return found

    return ask


def tree(directory: Path) -> dict[str, bytes]:
    """Everything that the guard keeps, the log of what was really asked apart."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted((directory / "var").rglob("*"))
        if path.is_file() and "audit" not in path.parts and "workers" not in path.parts
    }


def agree(host: Host, why: Callable[..., dict[str, Any]], *asked: str) -> dict[str, Any]:
    """Ask first what would happen, then let it happen, and compare."""
    found = why(*asked)
    status, code = host.asked(*asked)
    assert (found["status"] or 200, found["code"] or "") == (status, code)
    return found


# One row for each way in which a request without a text can end; what depends on the moment has tests of its own.
CASES: dict[tuple[str, str, str, str], tuple[str, str]] = {
    ("key", "demo", "chat", "public"): ("", "request_log kill_switch evidence access limits"),
    ("key", "demo", "completions", "inside"): ("", "request_log kill_switch evidence access limits"),
    ("key", "strict", "chat", "public"): ("", "request_log kill_switch evidence access limits"),
    ("stranger", "lenient", "chat", "public"): ("", "request_log kill_switch evidence"),
    ("nobody", "demo", "chat", "public"): (Code.UNAUTHENTICATED, ""),
    ("lapsed", "demo", "chat", "public"): (Code.KEY_EXPIRED, ""),
    ("key", "missing", "chat", "public"): (Code.UNKNOWN_MODEL, ""),
    ("key", "inside-only", "chat", "public"): (Code.UNKNOWN_MODEL, ""),
    ("key", "demo", "embeddings", "public"): (Code.ACCESS_DENIED, ""),
    ("key", "staff-only", "chat", "public"): (Code.AUDIENCE_DENIED, ""),
    ("stranger", "staff-lenient", "chat", "public"): (Code.AUDIENCE_DENIED, ""),
    ("internal", "staff-only", "chat", "public"): ("", "request_log kill_switch evidence access limits"),
    ("internal", "demo", "chat", "inside"): (Code.AUDIENCE_DENIED, ""),
    ("key", "below", "chat", "public"): (Code.NOT_ROUTABLE, ""),
    ("stranger", "demo", "chat", "public"): (Code.ACCESS_DENIED, "request_log kill_switch evidence"),
}


@pytest.mark.parametrize("asked", CASES, ids=" ".join)
def test_what_is_said_is_what_happens(
    asked: tuple[str, str, str, str], host: Host, why: Callable[..., dict[str, Any]]
) -> None:
    code, passed = CASES[asked]
    found = agree(host, why, *asked)
    assert (found["code"] or "") == code
    safeguards = found["safeguards"]
    assert " ".join(each["name"] for each in safeguards if each["says"] == "passes") == passed
    if code == "":
        assert [each["name"] for each in safeguards if each["says"] == "judges text"] == ["patterns"]
        assert found["watched_by"] == ["request_log", "kill_switch", "patterns"]
        assert found["upstream"].startswith(host.upstream.url)


def test_the_rows_that_are_unmet_are_named(why: Callable[..., dict[str, Any]]) -> None:
    found = why("key", "below", "chat", "public")
    assert [row["row"] for row in found["unmet"]] == ["L2.model_card", "L2.usage_policy"]
    assert [step["says"] for step in found["steps"]] == ["passes", "passes", "passes", "refuses"]


def test_a_denial_in_shadow_is_told_and_does_not_refuse(host: Host, why: Callable[..., dict[str, Any]]) -> None:
    found = agree(host, why, "stranger", "lenient", "chat", "public")
    denied = {each["name"]: each["code"] for each in found["safeguards"] if each["says"] == "would refuse"}
    assert denied == {"access": Code.ACCESS_DENIED, "limits": Code.RATE_LIMITED}


@pytest.mark.parametrize("scope", ["all", "model:demo", "tier:general", "key:app"])
def test_a_stop_in_force_is_seen_and_ends_with_its_resume(
    scope: str, host: Host, why: Callable[..., dict[str, Any]]
) -> None:
    asked = ("key", "demo", "chat", "public")
    order = host.guard.stop(scope)
    host.guard.wait_until(lambda: order.id in host.guard.worker.switches.state.ids, "the stop was known")
    found = agree(host, why, *asked)
    assert found["code"] == Code.STOPPED
    says = {each["name"]: each["says"] for each in found["safeguards"]}
    assert says["kill_switch"] == "refuses"
    assert {says[name] for name in ("evidence", "access", "limits", "patterns")} == {"not asked"}
    host.guard.resume(order)
    assert agree(host, why, *asked)["forwarded"]


def test_a_rate_that_is_used_up_is_seen_and_none_is_taken_by_asking(
    host: Host, why: Callable[..., dict[str, Any]]
) -> None:
    asked = ("slow", "demo", "chat", "public")
    for _ in range(5):
        assert why(*asked)["forwarded"]
    assert agree(host, why, *asked)["forwarded"]
    assert agree(host, why, *asked)["code"] == Code.RATE_LIMITED


def test_orders_that_have_gone_refuse_everything(host: Host, why: Callable[..., dict[str, Any]]) -> None:
    shutil.rmtree(host.config / "var" / "state" / "orders")
    host.guard.wait_until(lambda: bool(host.guard.worker.switches.failure), "it was noticed")
    host.guard.call(lambda: host.guard.worker.acknowledgements.record({}, 0.0))  # as a worker does that lives
    found = agree(host, why, "key", "demo", "chat", "public")
    assert found["code"] == Code.SAFEGUARD_FAILED


def test_every_safeguard_says_what_it_asks(host: Host, why: Callable[..., dict[str, Any]]) -> None:
    found = why("key", "demo", "chat", "public")
    assert [each["use"] for each in found["safeguards"]] == [m.use for m in load(host.config).models["demo"].safeguards]
    assert all(each["asks"] for each in found["safeguards"])
