"""Every scope and every mode of a stop over a running guard: whom it covers, whom it spares, and what goes on.

One file, because all of it shares one running guard.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, says, text

Asked = tuple[str, str, dict[str, Any]]
PLAIN: dict[str, Any] = {"stream": False}
TOOL: dict[str, Any] = {"stream": False, "tools": [{"type": "function", "function": {"name": "f"}}]}
SHAPED: dict[str, Any] = {"stream": False, "response_format": {"type": "json_object"}}


@dataclass(frozen=True, slots=True)
class Host:
    """A running guard: ``app`` is of Europe and ``slow``'s tier investigates; two models, at ASL-1 and ASL-2."""

    guard: GuardProcess
    config: Path
    credentials: Credentials
    upstream: ScriptedUpstream

    def ask(self, key: str, model: str, fields: dict[str, Any]) -> tuple[int, str]:
        """The status and the code of one request; the upstream answers it at once."""
        self.upstream.script = says("hello")
        credential = self.credentials.key if key == "app" else self.credentials.slow
        with RawCaller(self.guard.data[1], credential) as caller:
            caller.ask(model=model, **fields)
            answer = caller.answer()
        return answer.status, "" if answer.status == 200 else answer.code


async def counts(peer: Peer, request: Received) -> None:
    """Go on until the file that the prompt names is there, then end properly."""
    end = request.json["messages"][-1]["content"]
    with suppress(ConnectionError):
        await peer.send(STREAM_HEAD)
        while not await asyncio.to_thread(Path(end).exists):
            await peer.send(chunk(text("tick ")))
            await asyncio.sleep(0.02)
        await peer.send(chunk(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'))
        await peer.send(chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("scopes")
    with ScriptedUpstream(says("hello")) as upstream:
        models = [ModelSpec("demo", 2, upstream.url), ModelSpec("small", 1, upstream.url)]
        credentials = write_configuration(config, models=models)
        file = config / "models" / "demo.yaml"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"release": "2026-10"}))
        tiers = json.loads((config / "tiers.yaml").read_text())
        tiers["attributes"] = {"region": ["eu", "us", "unknown"]}
        for key in tiers["keys"]:
            key["attributes"] = {"region": "eu" if key["id"] == "app" else "us"}
        tiers["tiers"]["slow"] |= {"rate": {"per_minute": 6000, "burst": 1000}, "investigates": True}
        (config / "tiers.yaml").write_text(json.dumps(tiers))
        with GuardProcess(config) as guard:
            yield Host(guard, config, credentials, upstream)


@pytest.fixture(autouse=True)
def on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)


def stop(host: Host, scope: str, *options: str) -> None:
    assert main(["stop", scope, "--config", str(host.config), *options]) == 0


def resume(host: Host, scope: str) -> None:
    assert main(["resume", scope, "--reason", "tried", "--config", str(host.config)]) == 0


@pytest.mark.parametrize(
    ("scope", "covered", "spared"),
    [
        ("level:2", [("app", "demo", PLAIN), ("slow", "demo", PLAIN)], [("app", "small", PLAIN)]),
        ("level:1", [("app", "demo", PLAIN), ("app", "small", PLAIN)], []),
        ("level:3", [], [("app", "demo", PLAIN)]),
        ("version:demo/2026-10", [("app", "demo", PLAIN)], [("app", "small", PLAIN)]),
        ("org:an application", [("app", "demo", PLAIN), ("app", "small", PLAIN)], [("slow", "demo", PLAIN)]),
        ("operation:chat", [("app", "demo", PLAIN), ("slow", "small", PLAIN)], []),
        ("operation:messages", [], [("app", "demo", PLAIN)]),
        ("capability:tools", [("app", "demo", TOOL), ("slow", "small", TOOL)], [("app", "demo", PLAIN)]),
        ("capability:streaming", [("app", "demo", {"stream": True})], [("app", "demo", PLAIN)]),
        ("capability:structured_output", [("app", "demo", SHAPED)], [("app", "demo", TOOL)]),
        ("attribute:region=eu", [("app", "demo", PLAIN), ("app", "small", PLAIN)], [("slow", "demo", PLAIN)]),
        ("attribute:region=unknown", [], [("app", "demo", PLAIN), ("slow", "demo", PLAIN)]),
    ],
)
def test_a_stop_covers_what_answers_to_its_scope_and_nothing_else(
    scope: str,
    covered: list[Asked],
    spared: list[Asked],
    host: Host,
) -> None:
    stop(host, scope)
    for each in covered:
        assert host.ask(*each) == (503, "stopped")
    for each in spared:
        assert host.ask(*each) == (200, "")
    resume(host, scope)
    for each in covered:
        assert host.ask(*each) == (200, "")


def test_a_drain_refuses_what_is_new_and_lets_what_runs_end(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.upstream.script = counts
    with RawCaller(host.guard.data[1], host.credentials.key) as running:
        running.ask(str(tmp_path / "end"))
        running.until(b"tick")
        stop(host, "model:demo", "--mode", "drain")
        assert "draining model:demo: applied on 1/1 workers in " in capsys.readouterr().out
        assert host.ask("slow", "demo", PLAIN) == (503, "stopped")
        assert main(["status", "--config", str(host.config)]) == 3
        assert "DRAINING model:demo since " in capsys.readouterr().out
        (tmp_path / "end").touch()
        answer = running.answer()
        assert (answer.ended, answer.events[-1]) == (True, b"[DONE]")
    resume(host, "model:demo")
    assert host.ask("app", "demo", PLAIN) == (200, "")


def test_a_stop_cuts_what_a_drain_had_left_running(host: Host, tmp_path: Path) -> None:
    host.upstream.script = counts
    with RawCaller(host.guard.data[1], host.credentials.key) as running:
        running.ask(str(tmp_path / "never"))
        running.until(b"tick")
        stop(host, "model:demo", "--mode", "drain")
        stop(host, "level:2")
        assert running.answer().code == "stopped"
    for scope in ("model:demo", "level:2"):
        resume(host, scope)


def test_a_quarantine_cuts_and_refuses_all_but_those_who_investigate(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host.upstream.script = counts
    with ExitStack() as stack:
        app, investigator = (
            stack.enter_context(RawCaller(host.guard.data[1], key))
            for key in (host.credentials.key, host.credentials.slow)
        )
        for caller in (app, investigator):
            caller.ask(str(tmp_path / "end"))
            caller.until(b"tick")
        stop(host, "model:demo", "--mode", "quarantine")
        assert "quarantined model:demo: applied on 1/1 workers in " in capsys.readouterr().out
        assert app.answer().code == "stopped"
        (tmp_path / "end").touch()
        assert investigator.answer().events[-1] == b"[DONE]"
    assert host.ask("app", "demo", PLAIN) == (503, "stopped")
    assert host.ask("slow", "demo", PLAIN) == (200, "")
    assert host.ask("app", "small", PLAIN) == (200, "")
    resume(host, "model:demo")


def test_modes_go_through_the_admin_api_and_unknown_ones_are_refused(host: Host) -> None:
    token = ["--admin", host.guard.admin_url, "--token-file", str(host.config / "secrets" / "responder.token")]
    stop(host, "org:an application", "--mode", "quarantine", *token)
    found = host.guard.lines("stop_ordered")
    assert found
    assert host.ask("app", "demo", PLAIN) == (503, "stopped")
    resume(host, "org:an application")
    with pytest.raises(SystemExit):
        main(["stop", "all", "--mode", "pause", "--config", str(host.config)])
    assert host.ask("app", "demo", PLAIN) == (200, "")


def test_a_stop_by_touch_has_every_scope_too(host: Host) -> None:
    file = host.config / "var" / "state" / "orders" / "STOP.org.an%20application"
    file.touch()
    host.guard.wait_for("stop_ordered", subject="file:STOP.org.an%20application org:an application")
    assert host.ask("app", "demo", PLAIN) == (503, "stopped")
    assert host.ask("slow", "demo", PLAIN) == (200, "")
    file.unlink()
    host.guard.wait_for("stop_lifted", subject="file:STOP.org.an%20application org:an application")
