"""Drills over real guards of two workers: every path, every way to fail, and what a killed one leaves behind.

It is one file because nearly all of it shares one running guard.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control, Intent
from guard.cli import main
from guard.cli.drill import ground_of
from guard.drills.caller import Caller
from guard.drills.exercise import Acts, Exercise, Stage
from guard.drills.folder import DrillFolder
from guard.drills.forms import FORMS
from guard.drills.lifting import lift
from guard.drills.places import CREDENTIAL, RunFolder
from guard.drills.result import DrillError, Failure, Kind, Result, Times
from guard.drills.senders import message
from guard.drills.walk import cases
from guard.drills.ways import by_order
from guard.policy.hooks import HookKind
from guard.policy.load import load
from guard.policy.selftest import hook_of
from guard.state.directory import OrderDirectory
from guard.state.orders import ResumeOrder, Source, StopOrder, issue_stop, order_id
from guard.state.scope import Scope
from safeguards.scope import Operation
from tests.guard.serve.edge import install
from tests.guard.state.parts import of_a_known_host
from tests.parts.certificates import Authority
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.fleets import Fleet
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.hosts import Host
from tests.parts.postgres import Postgres
from tests.parts.raw_caller import RawCaller

SELF_TEST = Scope.parse("model:guard-selftest")


def configure(directory: Path, **drills: object) -> Credentials:
    """Two workers and drills with a deadline of five seconds; without an ASL-3 model a frozen worker is left alone."""
    models = [ModelSpec(), ModelSpec("other")]
    credentials = write_configuration(directory, models=models, workers=2, supervision={"deaf_seconds": 60})
    guard = json.loads((directory / "guard.yaml").read_text())
    guard["drills"] = {"deadline_seconds": 5, **drills}
    (directory / "guard.yaml").write_text(json.dumps(guard))
    return credentials


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("drills")
    credentials = configure(config)
    with GuardProcess(config) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        yield Host(guard, config, credentials)


@pytest.fixture
def host(running: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    assert running.held() == []
    return running


@pytest.mark.parametrize("path", ["order", "file", "admin", "page", "webhook"])
def test_a_drill_by_each_path_times_every_worker_and_leaves_nothing_stopped(
    host: Host, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = host.drill(capsys, "--path", path, "--json")
    assert code == 0, told
    found = json.loads(told)
    assert (found["kind"], found["path"], found["succeeded"], found["skipped"]) == ("stop", path, True, "")
    assert [each["worker"] for each in found["workers"]] == ["0", "1"]
    assert all(0 < each["cut"] <= each["refused"] and each["resumed"] > 0 for each in found["workers"])
    assert found["order"].startswith("file:STOP.model.guard-selftest" if path == "file" else "0")
    assert host.held() == []
    host.guard.wait_for("drill", subject=f"{found['drill']} stop {path} {found['order']}", level="info")
    status = json.loads(httpx.get(host.guard.admin_url + "/v1/status", headers=viewer(host), trust_env=False).text)
    assert status["stops"] == []
    assert status["drills"]["gaps"] == []
    assert status["drills"]["kinds"][0]["last_success"] <= time.time()
    metrics = host.guard.get("/metrics").text
    assert 'guard_drill_failing{drill="stop"} 0.0' in metrics
    assert 'subject="guard-selftest"' not in metrics


def viewer(host: Host) -> dict[str, str]:
    """Who may look."""
    return {"authorization": f"Bearer {host.credentials.viewer}"}


def test_what_is_drilled_is_in_the_log_under_its_own_name_and_the_drill_as_an_act_of_control(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = host.drill(capsys, "--json")
    drill = json.loads(told)["drill"]
    audit = host.config / "var" / "audit"

    def acts() -> list[Control]:
        entries = iter_records(audit)
        found = (entry.record for entry in entries if isinstance(entry, Entry))
        return [each for each in found if isinstance(each, Control) and each.what == "drill"]

    wait_until(lambda: any(drill in each.subject for each in acts()), "it is on record")
    assert next(each for each in acts() if drill in each.subject).reason.startswith("2 workers cut within ")
    for index in range(2):
        written = [each for each in iter_records(audit) if isinstance(each, Entry) and each.writer == f"worker-{index}"]
        intents = [each.record for each in written if isinstance(each.record, Intent)]
        assert {each.model for each in intents} == {"guard-selftest"}


def test_nobody_else_sees_or_reaches_the_self_test_model(host: Host) -> None:
    with RawCaller(host.guard.data[1], host.credentials.key) as caller:
        caller.ask(model="guard-selftest", stream=False)
        assert caller.answer().code == "unknown_model"
    with RawCaller(host.guard.data[1], CREDENTIAL.decode()) as caller:
        caller.ask(model="guard-selftest", stream=False)
        assert caller.answer().code == "unauthenticated"
    listed = httpx.get(
        host.guard.url + "/v1/models", headers={"authorization": f"Bearer {host.credentials.key}"}, trust_env=False
    )
    assert [each["id"] for each in listed.json()["data"]] == ["demo", "other"]
    assert main(["stop", "model:guard-selftest", "--config", str(host.config)]) == 2
    assert (host.state / "run").stat().st_mode & 0o777 == 0o700


def test_behind_the_door_of_drills_there_is_no_other_model(host: Host) -> None:
    with RunFolder(host.state) as run:
        road = httpx.HTTPTransport(uds=run.door("0"))
        with httpx.Client(transport=road, base_url="http://x", trust_env=False) as client:
            body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
            for key, code in ((CREDENTIAL.decode(), "unknown_model"), (host.credentials.key, "unauthenticated")):
                told = client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
                assert told.json()["error"]["code"] == code


def test_the_token_of_drills_stops_the_self_test_model_and_nothing_else(host: Host) -> None:
    token = json.loads((host.state / "run" / "admin.json").read_text())["token"]
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=host.guard.admin_url, headers=headers, trust_env=False) as client:
        told = client.post("/v1/stops", json={"scope": "model:demo"})
        assert (told.status_code, told.json()["error"]) == (
            400,
            "scope: a drill stops the self-test model and nothing else",
        )
        assert client.post("/v1/stops", json={"scope": "all"}).status_code == 400
        assert client.get("/v1/status").status_code == 401
        assert client.post("/v1/resumes", json={"target": "all", "reason": "x"}).status_code == 401
        for sender in HookKind:
            sent = message(sender, token.encode(), "model:demo", "drill", f"id-{sender}", time.time())
            told = client.post(f"/v1/hooks/{hook_of(sender)}", content=sent.body, headers=dict(sent.headers))
            assert "may stop" in told.text
    assert host.held() == []
    lines = host.guard.get("/metrics").text.splitlines()
    assert not any(line.startswith("guard_hook_") for line in lines)  # these hooks are a drill's, and not counted


def test_while_something_is_stopped_that_covers_it_a_drill_is_skipped_and_says_so(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stop", "level:1", "--config", str(host.config)]) == 0
    capsys.readouterr()
    code, told = host.drill(capsys)
    assert code == 3
    assert "skipped: level:1 is stopped (order " in told
    assert host.held() == ["level:1"]
    directory = OrderDirectory(host.state)
    (order,) = directory.snapshot(of_a_known_host).still_held(0)
    assert main(["resume", order.id, "--reason", "done", "--config", str(host.config)]) == 0


def test_a_frozen_worker_fails_the_drill_by_name(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    os.kill(host.guard.worker(1), signal.SIGSTOP)
    try:
        code, told = host.drill(capsys)
        assert code == 1
        assert "FAILED, no_stream: worker 1, chat: not within 5 s" in told
        assert "worker 0" not in told.splitlines()[0]
        failing = 'guard_drill_failing{drill="stop"} 1.0'
        wait_until(lambda: failing in host.guard.get("/metrics").text, "it is told")
    finally:
        os.kill(host.guard.worker(1), signal.SIGCONT)
    assert host.drill(capsys)[0] == 0
    works = 'guard_drill_failing{drill="stop"} 0.0'
    wait_until(lambda: works in host.guard.get("/metrics").text, "it is over")


def test_a_worker_that_freezes_before_the_stop_is_the_one_that_was_not_cut(host: Host) -> None:
    ground = ground_of(load(host.config))

    async def stop() -> str:
        os.kill(host.guard.worker(0), signal.SIGSTOP)
        return await by_order(ground.bench, SELF_TEST, "drill")

    async def resume() -> str:
        raise AssertionError("never reached")

    async def run() -> tuple[Times, ...]:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(RunFolder(host.state))
            callers = {
                each: await stack.enter_async_context(Caller(folder.door(each), folder.model(each), ground.steady))
                for each in ground.workers
            }
            stage = Stage(callers, (FORMS[Operation.CHAT],), ground.steady, 5.0)
            return await Exercise(stage, Acts(stop, resume)).run()

    try:
        with pytest.raises(DrillError, match="worker 0, chat: not within 5 s") as failed:
            asyncio.run(run())
    finally:
        os.kill(host.guard.worker(0), signal.SIGCONT)
        lift(ground_of(load(host.config)).bench, "after the test")
    assert failed.value.failure is Failure.NOT_CUT
    cut = {each.worker: each.cut for each in failed.value.times}
    assert cut["0"] is None
    assert cut["1"] is not None


def test_a_stop_that_cannot_be_resumed_fails_the_drill_and_the_next_lifts_it(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    key = host.state / "issuer.key"
    key.chmod(0o644)  # a key that others can read signs nothing
    try:
        code, told = host.drill(capsys, "--path", "order")
        assert code == 1
        assert "FAILED, not_resumed: IssuerError (" in told
        assert host.held() == ["model:guard-selftest"]
        code, told = host.drill(capsys)
        assert code == 1
        assert "FAILED, not_resumed: model:guard-selftest is stopped (order " in told
    finally:
        key.chmod(0o600)
    assert host.drill(capsys)[0] == 0
    assert host.held() == []


def test_what_a_killed_drill_left_is_told_and_lifted_by_the_next(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    os.kill(host.guard.worker(1), signal.SIGSTOP)
    try:
        drilling = subprocess.Popen([GUARD, "drill", "--config", str(host.config)], stdout=subprocess.DEVNULL)
        wait_until((host.state / "drills" / ".begun").exists, "it has begun")
        drilling.kill()
        drilling.wait()
    finally:
        os.kill(host.guard.worker(1), signal.SIGCONT)
    left = issue_stop(SELF_TEST, reason="", who="x", source=Source.DRILL, now=time.time(), entropy=os.urandom(10))
    OrderDirectory(host.state).put(left)
    assert host.held() == ["model:guard-selftest"]
    assert host.drill(capsys)[0] == 0
    assert host.held() == []
    results = DrillFolder(host.state).results()
    assert [each.failure for each in results[-2:]] == [Failure.INTERRUPTED, None]
    host.guard.wait_for("drill", subject=f"{results[-2].id} stop {results[-2].path}")


def test_two_drills_at_once_are_one_and_a_word(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    with DrillFolder(host.state).alone():
        code, told = host.drill(capsys)
    assert (code, told) == (1, "guard: another drill is under way on this host\n")


def test_the_orders_of_old_drills_go_and_nobody_misses_them(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = issue_stop(Scope.parse("key:app"), reason="", who="x", source=Source.CLI, now=1.0, entropy=b"0123456789")
    OrderDirectory(host.state).put(kept)
    monkeypatch.setattr("guard.drills.lifting.KEPT_PAIRS", 1)
    assert host.drill(capsys, "--path", "order")[0] == 0
    assert host.drill(capsys, "--path", "order")[0] == 0
    stops = [each for each in OrderDirectory(host.state).read().fresh if isinstance(each, StopOrder)]
    assert sum(each.scope.of_self_test for each in stops) == 1
    assert {str(each.scope) for each in stops} >= {"key:app", "model:guard-selftest"}
    assert host.guard.lines("order_removed") == []
    resumed = main(["resume", kept.id, "--reason", "done", "--config", str(host.config)])
    assert resumed == 0


def test_the_supervisor_drills_by_itself_when_one_is_due_by_whichever_path_there_is(tmp_path: Path) -> None:
    configure(tmp_path, paths=["admin"])
    state, place = tmp_path / "var" / "state", str(tmp_path / "a.sock")
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["admin"] = {"unix": place, "tokens": guard["admin"]["tokens"]}  # the path goes where the listener is
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    at = time.time() - 4000
    old = Result(order_id(at, b"0" * 10), Kind.STOP, "file", at, "guard", (Times("0", 0.1, 0.1, 0.1),))
    DrillFolder(state).add(old)
    with GuardProcess(tmp_path, ready=False) as process:
        process.wait_for("drill", 2, who="guard", level="info")  # the old one is told too
        found = DrillFolder(state).results()[-1]
        assert (found.path, found.who, len(found.workers), found.succeeded) == ("admin", "guard", 2, True)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not (state / "drills" / ".begun").exists()
    assert not (state / "run" / "admin.json").exists()


def test_a_full_drill_writes_evidence_that_an_attestation_can_name(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = [
        each for each in cases("host", fleet=False) if str(each.scope) in {"org:guard-selftest", "operation:messages"}
    ]
    monkeypatch.setattr("guard.drills.walk.cases", lambda *_, **__: iter(chosen))
    # Forty-four exchanges at once, on whatever machine this is: how fast it is nobody asks here.
    monkeypatch.setattr("guard.cli.drill.ground_of", lambda config: replace(ground_of(config), deadline=30.0))
    out = tmp_path / "evidence.json"
    code, told = host.drill(capsys, "--full", "--out", str(out))
    assert code == 0, told
    assert "ok     org:guard-selftest by webhook:slack: 11 kinds of request cut after " in told
    assert "ok     operation:messages by file, rehearsed: 2 kinds of request cut after " in told
    assert f"sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}" in told
    evidence = json.loads(out.read_bytes())
    assert (evidence["claim"], evidence["succeeded"], len(evidence["cases"])) == ("stop_drill", True, len(chosen))
    assert evidence["policy"] == load(host.config).digest
    assert all(len(each["workers"]) == 2 and each["failure"] is None for each in evidence["cases"])
    assert host.held() == []
    host.guard.wait_for("drill", subject=f"{evidence['drill']} stop full", level="info")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--full", "--path", "file"], 2, "are different drills"),
        (["--full", "--lease"], 2, "are different drills"),
        (["--out", "x"], 2, "--out is what --full and --disruptive write"),
        (["--lease"], 3, "this guard is no part of a fleet: nothing is leased here"),
        (["--path", "engine"], 3, "this guard is no part of a fleet: there is no engine"),
    ],
)
def test_what_cannot_be_drilled_here_is_said(
    host: Host, capsys: pytest.CaptureFixture[str], options: list[str], code: int, words: str
) -> None:
    ended, told = host.drill(capsys, *options)
    assert ended == code
    assert words in told


def test_where_no_guard_runs_nothing_is_drilled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    assert main(["drill", "--config", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "guard: no guard runs here: there is no worker to drill\n"
    assert main(["status", "--config", str(tmp_path)]) == 0
    assert "stop drill: never succeeded yet" in capsys.readouterr().out
    assert not (tmp_path / "var").exists()


def test_in_a_fleet_a_drill_stays_on_its_host_and_the_lease_is_drilled_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [ModelSpec(), ModelSpec("strict", asl=3)]
    with Postgres() as database, Fleet(tmp_path, models, [database.dsn(), database.dsn()], 1) as fleet:
        one, other = fleet.replicas
        for options in (["--path", "order"], ["--path", "admin"], ["--lease"]):
            assert main(["drill", "--config", str(one.config), *options]) == 0, capsys.readouterr()
        told = capsys.readouterr().out
        assert "a lapse of the lease: 1 workers cut within " in told
        drills = one.status()["drills"]
        assert [each["kind"] for each in drills["kinds"]] == ["stop", "lease"]
        wait_until(lambda: one.status()["drills"]["kinds"][1]["last_success"] is not None, "it is told")
        assert OrderDirectory(one.state).read().fresh
        assert OrderDirectory(other.state).read().fresh == ()
        assert [each["position"] for each in one.fleet["replicas"]] == [0, 0]  # the engine has heard of nothing
        assert one.code("strict") == other.code("strict") == "upstream_failed"  # no other lease has lapsed
        by_engine = ["drill", "--config", str(one.config), "--path", "engine", "--json"]
        assert main(by_engine) == 0, capsys.readouterr()
        order = json.loads(capsys.readouterr().out)["order"]
        assert order in [each.id for each in OrderDirectory(one.state).read().fresh]
        wait_until(lambda: [each["position"] for each in one.fleet["replicas"]] == [1, 1], "both have read it")
        assert OrderDirectory(other.state).read().fresh == ()
        window = ["drill", "--config", str(one.config), "--disruptive", "demo", "--reason", "w", "--yes-stop", "demo"]
        assert main(window) == 0, capsys.readouterr()
        told = capsys.readouterr().out
        assert "model demo stopped by order, file, engine: every worker within " in told
        assert "ok     by engine: 0 streams cut on 2 replicas, resumed (order 0" in told
        assert other.code("demo") == one.code("demo") == "upstream_failed"  # both had said that they serve it again
        monkeypatch.setattr("guard.cli.drill.ground_of", lambda config: replace(ground_of(config), deadline=3.0))
        database.signal(signal.SIGSTOP)
        try:
            assert main(by_engine[:-1]) == 1
            assert "FAILED, not_ordered: the fleet's engine: " in capsys.readouterr().out
            assert main([*window, "--path", "engine"]) == 1
            assert "FAILED by engine: not_ordered: the fleet's engine: " in capsys.readouterr().out
        finally:
            database.signal(signal.SIGCONT)
        orders = OrderDirectory(one.state).read().fresh
        ends = [each for each in orders if isinstance(each, ResumeOrder) and each.reason.startswith("end of drill ")]
        known = {each.id for each in orders}
        assert any(known.isdisjoint(each.lifts) for each in ends)  # should the stop still come, it is lifted already
        with RunFolder(one.state) as run:
            door, model = run.door("0"), run.model("0")
            wait_until(
                lambda: asyncio.run(_ask(door, model)) == "stopped", "nobody holds the self-test model's lease any more"
            )


async def _ask(door: str, model: str) -> str:
    async with Caller(door, model, time.monotonic) as caller:
        return (await caller.ask(FORMS[Operation.CHAT])).code


@pytest.mark.parametrize("asked", ["none", "required"])
def test_every_path_to_the_listener_goes_over_tls_to_exactly_the_certificate_that_is_configured(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path)
    authority = Authority(tmp_path / "authority")
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["workers"] = 1
    guard["admin"]["hosts"] = ["guard.example"]
    guard["admin"]["tls"] = {"certificate": "tls/listener.pem", "key": {"file": "tls/listener.key"}}
    if asked == "required":
        guard["admin"]["tls"] |= {"client_certificates": asked, "client_ca": "tls/callers.pem"}
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "callers.pem").write_bytes(authority.pem.read_bytes())
    install(authority.issue("guard.example"), tmp_path / "tls")
    drill = ["drill", "--config", str(tmp_path), "--path", "admin"]
    with GuardProcess(tmp_path, ready=False) as process:
        process.wait_for("worker_started")
        wait_until(lambda: main(drill) == 0, "the worker serves, and a drill by the admin API succeeds")
        for path in ("page", "webhook"):
            assert main([*drill[:-1], path]) == 0, capsys.readouterr()
        capsys.readouterr()
        place = tmp_path / "var" / "state" / "run" / "admin.json"
        written = json.loads(place.read_text())
        assert (written["shown"] is not None) == (asked == "required")
        if asked == "required":
            place.write_text(json.dumps({**written, "shown": None}))
            assert main(drill) == 1, "nobody comes in without a certificate"
            assert "FAILED, not_ordered" in capsys.readouterr().out
            # Renewed certificates leave drills what they show.
            install(authority.issue("guard.example"), tmp_path / "tls")
            process.wait_for("certificate_renewed")
            place.write_text(json.dumps(written))
            assert main(drill) == 0, capsys.readouterr()
        other = authority.issue("guard.example").certificate
        place.write_text(json.dumps({**written, "certificate": str(other)}))
        assert main(drill) == 1
        assert "FAILED, not_ordered: ConnectError" in capsys.readouterr().out
