"""Drills on a model that is served, over a real guard with a stream running: cut by every way, and resumed or left.

One file, because nearly all of it shares one running guard of two workers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.cli import main
from guard.drills.disruptive import Give, ways_here
from guard.drills.drill import Ground
from guard.drills.folder import DrillFolder
from guard.drills.result import Failure
from guard.policy.drills import DrillPath
from guard.state.acknowledgements import Ack, waiting_for
from guard.state.directory import OrderDirectory
from guard.state.orders import Source, StopOrder
from guard.state.scope import Scope
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.hosts import Host
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, text


async def script(peer: Peer, _: Received) -> None:
    """Count for ever."""
    await peer.send(STREAM_HEAD)
    while True:
        await peer.send(chunk(text("tick ")))
        await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Served(Host):
    """A guard of two workers with a model at ASL-2 and one at ASL-3."""

    def in_window(self, capsys: pytest.CaptureFixture[str], model: str, *options: str) -> tuple[int, str]:
        """Drill on this model in a window; returns the exit code and what was printed."""
        return self.drill(capsys, "--disruptive", model, "--reason", "window of May", "--yes-stop", model, *options)

    def streaming(self, model: str) -> RawCaller:
        """A stream of this model that runs."""
        caller = RawCaller(self.guard.data[1], self.credentials.key)
        caller.ask("count", model=model)
        caller.until(b"tick ")
        return caller


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = tmp_path_factory.mktemp("window")
    with ScriptedUpstream(script) as upstream:
        models = [ModelSpec("demo", upstream=upstream.url), ModelSpec("strict", asl=3, upstream=upstream.url)]
        credentials = write_configuration(config, models=models, workers=2, supervision={"deaf_seconds": 60})
        guard = json.loads((config / "guard.yaml").read_text())
        (config / "guard.yaml").write_text(json.dumps({**guard, "drills": {"deadline_seconds": 5}}))
        with GuardProcess(config) as process:
            wait_until(lambda: process.get("/health/ready").json()["serving"] == 2, "both serve")
            yield Served(process, config, credentials)


@pytest.fixture
def host(running: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    monkeypatch.chdir(tmp_path)  # what two people would have to sign is written where the command runs
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    assert running.held() == []
    return running


def test_below_three_every_way_cuts_what_runs_and_the_model_is_served_again(
    host: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", host.credentials.responder)
    out = tmp_path / "window.json"
    with host.streaming("demo") as cut, host.streaming("strict") as spared:
        code, told = host.in_window(capsys, "demo", "--out", str(out))
        assert code == 0, told
        assert cut.until(b"stopped")
        assert b"tick" in (more := spared.socket.recv(1_048_576))
        assert b"stopped" not in more
    assert "ok     by order: 1 streams cut, resumed (order 0" in told
    assert "ok     by file: 0 streams cut, resumed (order file:STOP.model.demo)" in told
    assert "ok     by admin: 0 streams cut, resumed (order 0" in told
    assert f"{out}: sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}" in told
    evidence = json.loads(out.read_bytes())
    assert (evidence["claim"], evidence["succeeded"], evidence["model"], evidence["asl"]) == (
        "stop_drill",
        True,
        "demo",
        2,
    )
    assert [each["path"] for each in evidence["cases"]] == ["order", "file", "admin"]
    for case in evidence["cases"]:
        assert [each["worker"] for each in case["workers"]] == ["0", "1"]
        assert all(0 <= each["cut"] < 30 for each in case["workers"])
        assert all((each["resumed"] is None) is (case["path"] == "file") for each in case["workers"])
    assert host.held() == []
    with host.streaming("demo"):
        pass
    subject = f"{evidence['drill']} stop disruptive:order+file+admin {evidence['cases'][-1]['order']}"
    host.guard.wait_for("drill", subject=subject, reason=evidence["words"], level="info")
    stops = [each for each in host.orders.stops if evidence["drill"] in each.reason]
    assert [each.reason for each in stops] == [f"drill {evidence['drill']}: window of May"] * 2
    assert {each.source for each in stops} == {Source.DRILL, Source.ADMIN}
    status = httpx.get(
        host.guard.admin_url + "/v1/status",
        headers={"authorization": f"Bearer {host.credentials.viewer}"},
        trust_env=False,
    ).json()
    assert status["drills"]["kinds"][0]["newest"] is None  # it stands in for no drill of the self-test model


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--disruptive", "demo", "--yes-stop", "demo"], "needs a --reason of 1 to 200 printable characters"),
        (["--disruptive", "demo", "--yes-stop", "demo", "--reason", "a\nb"], "needs a --reason"),
        (["--disruptive", "demo", "--reason", "x"], "this cuts every exchange of model demo and refuses new ones: say"),
        (["--disruptive", "demo", "--reason", "x", "--yes-stop", "strict"], "say --yes-stop demo too"),
        (["--disruptive", "strict", "--reason", "x"], "stays stopped until two people have signed: say --yes-stop"),
        (["--disruptive", "dmeo", "--reason", "x", "--yes-stop", "dmeo"], "there is no model of that name; there are"),
        (["--disruptive", "", "--reason", "x", "--yes-stop", ""], "scope: not one of"),
        (["--disruptive", "guard-selftest", "--reason", "x", "--yes-stop", "guard-selftest"], "there is no model of"),
        (["--disruptive", "demo", "--full"], "are different drills: give one"),
        (["--reason", "x"], "--yes-stop and --reason belong to --disruptive"),
        (["--disruptive", "demo", "--reason", "x", "--yes-stop", "demo", "--path", "page"], "a person's own session"),
        (["--disruptive", "demo", "--reason", "x", "--yes-stop", "demo", "--path", "webhook"], "its sender's own"),
        (["--disruptive", "demo", "--reason", "x", "--yes-stop", "demo", "--path", "admin"], "set GUARD_ADMIN_TOKEN"),
        (["--disruptive", "strict", "--reason", "x", "--yes-stop", "strict", "--path", "file"], "asks nobody"),
    ],
)
def test_nothing_is_stopped_unless_every_word_of_it_was_said(
    host: Served, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    before = host.orders
    assert main(["drill", "--config", str(host.config), *options]) == 2
    assert words in capsys.readouterr().err
    assert host.orders == before


def test_a_worker_that_does_not_obey_is_named_and_the_stop_is_lifted(
    host: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen one is killed beside a model at ASL-3, and the next obeys: so here nobody hears of worker 1."""

    def deaf(*asked: Any) -> tuple[tuple[Ack, ...], tuple[str, ...]]:
        acks, missing = waiting_for(*asked)
        return tuple(each for each in acks if each.worker != "1"), (*missing, "1")

    monkeypatch.setattr("guard.drills.disruptive.waiting_for", deaf)
    code, told = host.in_window(capsys, "demo", "--path", "order")
    assert code == 1
    assert "FAILED by order: not_cut: worker 1: not within 5 s; worker 1: not within 5 s" in told
    assert host.held() == []
    assert DrillFolder(host.state).results()[-1].failure is Failure.NOT_CUT


def test_a_model_that_is_stopped_already_is_left_alone(host: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "model:demo", "--reason", "an incident", "--config", str(host.config)]) == 0
    (order,) = host.orders.still_held(0)
    code, told = host.in_window(capsys, "demo")
    assert code == 3
    assert f"skipped: model:demo: stop is in force (order {order.id})" in told
    assert host.held() == ["model:demo"]
    assert main(["resume", order.id, "--reason", "it is over", "--config", str(host.config)]) == 0


def test_what_somebody_else_stops_meanwhile_is_not_lifted(
    host: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An incident in the middle of a window: the drill says that the model stays stopped, and leaves it so."""

    def with_an_incident(ground: Ground) -> dict[DrillPath, Give]:
        async def both(scope: Scope, reason: str) -> str:
            OrderDirectory(host.state).trip(Scope.parse("model:demo"))
            return await ways_here(ground)[DrillPath.ORDER](scope, reason)

        return {DrillPath.ORDER: both}

    monkeypatch.setattr("guard.cli.disruptive.ways_here", with_an_incident)
    code, told = host.in_window(capsys, "demo")
    assert code == 1
    assert "FAILED by order: not_resumed: still stopped: model:demo (order file:STOP.model.demo)" in told
    assert [each.id for each in host.orders.still_held(0)] == ["file:STOP.model.demo"]
    (host.state / "orders" / "STOP.model.demo").unlink()


def test_from_three_on_it_is_stopped_once_and_two_people_are_told_what_to_sign(
    host: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with host.streaming("strict") as caller:
        code, told = host.in_window(capsys, "strict")
        assert code == 0, told
        assert caller.until(b"stopped")
    assert "ok     by order: 1 streams cut, left stopped (order 0" in told
    assert "left stopped for two people to resume" in told
    assert "two people have to approve this until " in told
    (statement,) = tmp_path.glob("resume-*.json")
    mine = [each for each in host.orders.still_held(3) if str(each.scope) == "model:strict"]
    (order,) = [each for each in mine if isinstance(each, StopOrder)]
    assert order.id in statement.read_text()
    again, told = host.in_window(capsys, "strict")
    assert again == 3
    assert "skipped: model:strict: stop is in force" in told
