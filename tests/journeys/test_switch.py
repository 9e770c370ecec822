"""The kill switch over real processes: every path, every scope, every worker, and what is remembered of it.

One file, because nearly all of it shares one running guard of three workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.cli import main, switch
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Source, StopOrder, issue_resume
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, chunk, says, text

WORKERS = 3


@dataclass(frozen=True, slots=True)
class Host:
    """A guard with three workers, its configuration and who may use it, and its upstream."""

    guard: GuardProcess
    config: Path
    credentials: Credentials
    upstream: ScriptedUpstream

    @property
    def state(self) -> Path:
        """Where its orders are."""
        return self.config / "var" / "state"

    def token(self, name: str = "responder") -> list[str]:
        """The options by which a command asks the admin API as this person."""
        return ["--admin", self.guard.admin_url, "--token-file", str(self.config / "secrets" / f"{name}.token")]


async def stalls(peer: Peer, request: Received) -> None:
    """Say nothing, or something and then nothing, or go on for ever, as the prompt asks."""
    prompt = request.json["messages"][-1]["content"]
    if prompt != "silence":
        await peer.send(STREAM_HEAD, chunk(text("one ")))
    while prompt == "count":
        await peer.send(chunk(text("tick ")))
        await asyncio.sleep(0.02)
    with suppress(ConnectionError):
        await peer.reader.read(1)  # nothing comes: it ends with the connection


def configure(directory: Path, upstream: ScriptedUpstream, *models: ModelSpec) -> Credentials:
    """Three workers; the tier ``slow`` may ask as often as it likes."""
    credentials = write_configuration(
        directory, models=models or [ModelSpec(name, upstream=upstream.url) for name in ("demo", "other")], workers=3
    )
    tiers = json.loads((directory / "tiers.yaml").read_text())
    tiers["tiers"]["slow"]["rate"] = {"per_minute": 6000, "burst": 1000}
    (directory / "tiers.yaml").write_text(json.dumps(tiers))
    return credentials


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("switch")
    with ScriptedUpstream(stalls) as upstream:
        credentials = configure(config, upstream)
        with GuardProcess(config) as guard:
            wait_until(lambda: serving(guard) == WORKERS, "all serve")
            yield Host(guard, config, credentials, upstream)


@pytest.fixture
def host(running: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    running.upstream.script = stalls
    yield running
    # What a test has left stopped would fail the next ones.
    orders = OrderDirectory(running.state)
    left = [stop.id for stop in orders.snapshot(of_a_known_host).still_held(0) if isinstance(stop, StopOrder)]
    if left:
        resume(running.config, *left)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def order(self) -> str:
        """The id of the order it gave."""
        found = re.search(r"\(order ([^)]+)\)", self.out)
        assert found is not None, self
        return found[1]

    @property
    def cut(self) -> int:
        """How many streams it says were cut."""
        found = re.search(r"(\d+) streams cut", self.out)
        assert found is not None, self
        return int(found[1])


class Guard:
    """The command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Take what it prints."""
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Done:
        """Run it."""
        self._capsys.readouterr()
        code = main([str(each) for each in arguments])
        out, err = self._capsys.readouterr()
        return Done(code, out, err)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guard:
    monkeypatch.chdir(tmp_path)  # what two people would have to sign is written where the command runs
    return Guard(capsys)


def serving(guard: GuardProcess) -> int:
    return int(guard.get("/health/ready").json().get("serving", 0))


def status_of(host: Host, key: str, model: str = "demo") -> tuple[int, str]:
    """The status and code of one request; the upstream answers it at once."""
    host.upstream.script = says("hello")
    with RawCaller(host.guard.data[1], key) as caller:
        caller.ask(stream=False, model=model)
        answer = caller.answer()
        return answer.status, "" if answer.status == 200 else answer.code


def busy(guard: GuardProcess) -> set[str]:
    """The workers that run something, by their last report."""
    page = guard.get("/metrics").text
    found = re.findall(r'^guard_requests_in_flight\{.*worker="(\d+)"\} ([\d.]+)', page, re.MULTILINE)
    return {worker for worker, count in found if float(count) > 0}


def streams(host: Host, key: str, stack: ExitStack) -> list[RawCaller]:
    """Running streams on every worker, one whose upstream has fallen silent, and one that has not got a byte yet."""
    callers: list[RawCaller] = []

    def ask(prompt: str) -> RawCaller:
        caller = stack.enter_context(RawCaller(host.guard.data[1], key))
        before = len(host.upstream.requests)
        caller.ask(prompt)
        host.upstream.wait_until(lambda: len(host.upstream.requests) > before)
        callers.append(caller)
        return caller

    def everywhere() -> bool:
        if len(busy(host.guard)) < WORKERS:
            ask("count").until(b"tick")
        return len(busy(host.guard)) == WORKERS

    ask("silence")
    ask("stall").until(b"one ")
    wait_until(everywhere, "every worker has a stream")
    return callers


SCOPES = {
    "all": True,
    "model:demo": False,
    "tier:general": True,
    "key:app": False,
}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_stop_cuts_what_it_covers_on_every_worker_and_nothing_else(scope: str, host: Host, command: Guard) -> None:
    path = host.token() if SCOPES[scope] else []
    where = ["--config", str(host.config), *path]
    covered = host.credentials.key
    outside = {"all": None, "model:demo": (covered, "other")}.get(scope, (host.credentials.slow, "demo"))
    with ExitStack() as stack:
        callers = streams(host, covered, stack)
        spared = None
        if outside is not None:
            spared = stack.enter_context(RawCaller(host.guard.data[1], outside[0]))
            spared.ask("count", model=outside[1])
            spared.until(b"tick")
        done = command("stop", scope, "--reason", f"trying {scope}", *where)
        assert done.code == 0, done
        assert done.out.startswith(f"stopped {scope}: applied on {WORKERS}/{WORKERS} workers in ")
        assert done.cut == len(callers)
        for caller in callers:
            answer = caller.answer()
            assert (answer.status, answer.code, answer.ended) in {(503, "stopped", True), (200, "stopped", True)}
            assert answer.closed or answer.status == 503
            assert b"[DONE]" not in answer.body
        if spared is not None:
            seen = spared.until(b"tick").count(b"tick")
            wait_until(lambda: spared.until(b"tick") is not None and more(spared, seen), "the other stream goes on")
    assert status_of(host, covered) == (503, "stopped")
    if outside is not None:
        assert status_of(host, *outside) == (200, "")

    found = command("status", *where)
    who = "the responder" if path else "(on the host)"
    assert found.code == 3
    assert f"STOPPED {scope} since " in found.out
    assert who in found.out
    assert f"trying {scope} (order {done.order})" in found.out

    # Resuming by the other path than it was stopped by.
    lifted = command("resume", scope, "--reason", "tried", "--config", host.config, *([] if path else host.token()))
    assert lifted.code == 0, lifted
    assert lifted.out.startswith(f"lifted {done.order}: applied on {WORKERS}/{WORKERS} workers in ")
    assert status_of(host, covered) == (200, "")
    assert command("status", *where).code == 0
    assert command("status", "--config", host.config).code == 0
    _remembered(host, scope, done.order, who)


def more(caller: RawCaller, seen: int) -> bool:
    """Whether something has come since."""
    caller._rest += caller.socket.recv(65_536)
    return caller._rest.count(b"tick") > seen


def _remembered(host: Host, scope: str, order: str, who: str) -> None:
    """Who, when and why stand in the order's file, in the ledger and in the log."""
    file = json.loads((host.state / "orders" / f"{order}.json").read_text())
    assert who in file["who"]
    assert file["reason"] == f"trying {scope}"
    assert abs(file["created"] - time.time()) < 60
    host.guard.wait_for("stop_ordered", subject=f"{order} {scope}", reason=f"trying {scope}", who=file["who"])

    def acts() -> list[Control]:
        items = iter_records(host.config / "var" / "audit")
        controls = [item.record for item in items if isinstance(item, Entry) and isinstance(item.record, Control)]
        return [each for each in controls if order in each.subject]

    wait_until(lambda: [each.what for each in acts()] == ["stop", "resume"], "both acts are on record")
    stop, resume = acts()
    assert (stop.who, stop.reason) == (file["who"], f"trying {scope}")
    assert resume.reason == "tried"


def test_two_stops_at_once_both_hold_and_one_resume_lifts_both(host: Host, command: Guard) -> None:
    arguments = ["stop", "model:demo", "--config", str(host.config)]
    with ThreadPoolExecutor(2) as pool:
        codes = [pool.submit(main, [*arguments, *path]) for path in ([], host.token())]
        assert [each.result() for each in codes] == [0, 0]
    assert command("status", "--config", host.config).out.count("STOPPED model:demo") == 2
    assert status_of(host, host.credentials.key) == (503, "stopped")
    lifted = command("resume", "model:demo", "--reason", "both", "--config", host.config)
    assert lifted.code == 0
    assert status_of(host, host.credentials.key) == (200, "")


def test_workers_obey_and_confirm_while_their_supervisor_is_frozen(host: Host, command: Guard) -> None:
    with ExitStack() as stack:
        callers = streams(host, host.credentials.key, stack)
        host.guard.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            done = command("stop", "all", "--reason", "frozen", "--config", host.config, *host.token())
            assert done.code == 0, done
            assert time.monotonic() - began < 20.0  # the probe of the API gives up after a second
            assert "the admin API has not answered yet; ordering on this host" in done.err
            assert f"{WORKERS}/{WORKERS} workers" in done.out
            assert done.cut == len(callers)
            assert all(caller.answer().code == "stopped" for caller in callers)
        finally:
            host.guard.signal(signal.SIGCONT)
    host.guard.wait_for("stop_ordered", reason="frozen")
    assert command("resume", done.order, "--reason", "thawed", "--config", host.config, *host.token()).code == 0
    assert len(host.guard.worker_pids()) == WORKERS


@pytest.mark.parametrize("name", ["STOP", "STOP.model.demo", "STOP.key.app"])
def test_touching_a_file_is_a_stop_that_ends_with_the_file(name: str, host: Host, command: Guard) -> None:
    where = ["--config", str(host.config), *host.token()]
    with ExitStack() as stack:
        caller = stack.enter_context(RawCaller(host.guard.data[1], host.credentials.key))
        caller.ask("stall")
        caller.until(b"one ")
        before = len(host.guard.lines("stop_lifted", who="file"))
        (host.state / "orders" / name).touch()
        try:
            assert caller.answer().code == "stopped"
            line = host.guard.wait_for("stop_ordered", who="file", reason=f"the file orders/{name} is there")
            assert line["subject"].startswith(f"file:{name} ")
            assert status_of(host, host.credentials.key) == (503, "stopped")
            found = command("status", *where)
            assert found.code == 3
            assert "by a file: the file orders/" in found.out
            scope = "all" if name == "STOP" else name[5:].replace(".", ":")
            refused = command("resume", scope, "--reason", "please", *where)
            assert refused.code == 4
            assert "remove the file" in refused.err
        finally:
            (host.state / "orders" / name).unlink()
    host.guard.wait_for("stop_lifted", before + 1, who="file")
    wait_until(lambda: status_of(host, host.credentials.key) == (200, ""), "it is served again")
    assert command("status", *where).code == 0


def test_a_file_that_is_no_order_stops_everything_and_says_which(host: Host, command: Guard) -> None:
    stray = host.state / "orders" / "notes\x1b[31m.txt"
    stray.touch()
    try:
        wait_until(lambda: status_of(host, host.credentials.key) == (503, "stopped"), "everything is stopped")
        found = command("status", "--config", host.config)
        assert found.code == 3
        assert "notes?[31m.txt cannot be used" in found.out
        assert "\x1b" not in found.out
    finally:
        stray.unlink()
    wait_until(lambda: status_of(host, host.credentials.key) == (200, ""), "it is served again")


@pytest.mark.parametrize("path", ["api", "host"])
@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("model:dmeo", "there is no model of that name; there are: demo, other"),
        ("tier:vip", "there is no tier of that name; there are: general, nothing, slow"),
        ("key:nobody", "there is no key of that name; there are: app, lapsed, slow, stranger"),
        ("everything", "scope: not one of all, level:<ASL>"),
        ("model:\x1b[2J", "scope: not one of all, level:<ASL>"),
    ],
)
def test_an_unknown_scope_stops_nothing_and_names_what_exists(
    path: str, scope: str, said: str, host: Host, command: Guard
) -> None:
    token = host.token() if path == "api" else []
    done = command("stop", scope, "--config", host.config, *token)
    assert done.code == 2
    assert said in done.err
    assert "\x1b" not in done.err
    assert command("status", "--config", host.config).code == 0


def test_a_reason_cannot_steer_a_terminal(host: Host, command: Guard) -> None:
    wicked = "\x1b]0;owned\x07\x1b[2J\r\n\u202eevil\x00"
    for token in ([], host.token()):
        done = command("stop", "model:demo", "--reason", wicked, "--config", host.config, *token)
        assert done.code == 0, done
        shown = (
            command("status", "--config", host.config, *token).out
            + command("audit", "tail", "--config", host.config).out
        )
        assert done.order in shown
        assert all(letter.isprintable() or letter == "\n" for letter in shown)
        assert command("resume", done.order, "--reason", "x", "--config", host.config).code == 0


@pytest.mark.parametrize("token", ["viewer", "garbage"])
def test_a_token_that_may_not_stop_does_not_stand_in_the_way_of_a_stop_on_the_host(
    token: str, host: Host, command: Guard
) -> None:
    (host.config / "secrets" / "garbage.token").write_text("at-guard-nobody-0123456789abcdef\n")
    refused = command("stop", "model:demo", *host.token(token))
    assert refused.code == 4
    assert command("status", "--config", host.config).code == 0
    done = command("stop", "model:demo", "--config", host.config, *host.token(token))
    assert done.code == 0
    assert "the admin API does not do it" in done.err
    assert command("resume", done.order, "--reason", "x", *host.token(token)).code == 4
    assert command("resume", done.order, "--reason", "x", "--config", host.config).code == 0


@pytest.mark.parametrize("broken", ["tiers.yaml", "guard.yaml"])
def test_a_stop_works_under_a_configuration_that_cannot_be_read(
    broken: str, host: Host, command: Guard, tmp_path: Path
) -> None:
    guard = json.loads((host.config / "guard.yaml").read_text())
    guard["storage"]["state"] = str(host.state)
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    (tmp_path / broken).write_text("version: [")
    arguments: list[str | Path] = ["stop", "model:demo", "--reason", "at 3 a.m.", "--config", tmp_path]
    if broken == "guard.yaml":
        hint = command(*arguments)
        assert hint.code == 2
        assert "give --state DIR" in hint.err
        arguments += ["--state", host.state]
    done = command(*arguments)
    assert done.code == 0, done
    assert f"stopped model:demo: applied on {WORKERS}/{WORKERS} workers" in done.out
    assert status_of(host, host.credentials.key) == (503, "stopped")
    assert command("resume", done.order, "--reason", "x", "--config", host.config).code == 0


def test_with_the_state_folder_alone_every_running_worker_confirms(host: Host, command: Guard) -> None:
    done = command("stop", "all", "--state", host.state)
    assert done.code == 0, done
    assert f"{WORKERS}/{WORKERS} workers" in done.out
    assert command("resume", "all", "--reason", "x", "--config", host.config).code == 0


def test_a_stop_survives_every_restart_and_at_asl_3_no_resume_lifts_it(
    tmp_path: Path, command: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.1)
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = configure(
            tmp_path, upstream, ModelSpec("demo", 2, upstream.url), ModelSpec("strict", 3, upstream.url)
        )
        # With no guard running a stop is in force for the next one, and is not confirmed.
        first = command("stop", "all", "--reason", "before", "--config", tmp_path)
        assert first.code == 5
        assert "not confirmed by worker 0, 1, 2" in first.err
        with GuardProcess(tmp_path) as guard:
            host = Host(guard, tmp_path, credentials, upstream)
            assert status_of(host, credentials.key) == (503, "stopped")
            assert status_of(host, credentials.key, "strict") == (503, "stopped")
            lifted = command("resume", first.order, "--reason", "go on", "--config", tmp_path, *host.token())
            assert lifted.code == 0, lifted
            assert "still stopped: strict: ASL-3" in lifted.out
            again = command("resume", first.order, "--reason", "go on", "--config", tmp_path, *host.token())
            assert again.code == 4
            assert command("resume", "all", "--reason", "go on", "--config", tmp_path).code == 4
            wait_until(lambda: status_of(host, credentials.key) == (200, ""), "the model below ASL-3 is served")
            assert status_of(host, credentials.key, "strict") == (503, "stopped")
            found = command("status", "--config", tmp_path, *host.token())
            assert found.code == 3
            assert "lifted below ASL-3" in found.out
            assert command("status", "--config", tmp_path).out == found.out
            second = command("stop", "model:strict", "--config", tmp_path)
            assert second.code in {0, 5}
            assert command("resume", "model:strict", "--reason", "x", "--config", tmp_path, *host.token()).code == 4
            resume(tmp_path, first.order, second.order)
            wait_until(
                lambda: (
                    guard.get("/health/ready").json()["serving"] == WORKERS and len(guard.lines("stop_lifted")) >= 2
                ),
                "the file written by hand is known",
            )
            assert status_of(host, credentials.key, "strict") == (503, "stopped")
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
        with GuardProcess(tmp_path) as guard:
            host = Host(guard, tmp_path, credentials, upstream)
            assert status_of(host, credentials.key) == (200, "")
            assert status_of(host, credentials.key, "strict") == (503, "stopped")
            page = guard.get("/metrics").text
            assert 'guard_kill_switch_engaged{scope="model",subject="strict"} 1.0' in page
            assert 'guard_kill_switch_engaged{scope="model",subject="demo"} 0.0' in page


def resume(config: Path, *orders: str) -> None:
    """Write a resume without asking anybody, as one who may write there and read the host's key could."""
    state = config / "var" / "state"
    order = issue_resume(orders, reason="me", who="me", source=Source.CLI, now=time.time(), entropy=os.urandom(10))
    OrderDirectory(state).put(Issuer.open(state).signed(order))


def test_an_order_whose_file_is_removed_still_holds_and_is_told(host: Host, command: Guard) -> None:
    done = command("stop", "key:stranger", "--config", host.config)
    host.guard.wait_for("stop_ordered", subject=f"{done.order} key:stranger")
    (host.state / "orders" / f"{done.order}.json").unlink()
    host.guard.wait_for("order_removed", subject=done.order)
    found = [
        stop.id for stop in OrderDirectory(host.state).snapshot(of_a_known_host).stops if isinstance(stop, StopOrder)
    ]
    assert done.order not in found
    assert status_of(host, host.credentials.stranger) == (503, "stopped")


def test_nothing_of_the_admin_listener_is_on_the_data_port_and_nothing_of_the_data_on_the_admin(host: Host) -> None:
    admin = host.guard.wait_for("started")["admin"].rpartition(":")
    for method, path in (("GET", "/metrics"), ("GET", "/health/ready"), ("GET", "/v1/status"), ("POST", "/v1/stops")):
        with RawCaller(host.guard.data[1], host.credentials.responder) as caller:
            caller.post(b'{"scope": "all"}', path=path, method=method)
            answer = caller.answer()
            assert (answer.status, answer.code, answer.closed) == (404, "unknown_route", True)
            assert set(answer.json) == {"error"}
            assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert OrderDirectory(host.state).snapshot(of_a_known_host).still_held(0) == ()
    with RawCaller(int(admin[2]), host.credentials.key) as caller:
        caller.ask(stream=False)
        answer = caller.answer()
        assert (answer.status, answer.json) == (404, {"error": "there is no such operation on the admin listener"})


@pytest.mark.parametrize("name", ["key", "responder"])
def test_a_credential_of_the_one_listener_is_none_on_the_other(name: str, host: Host) -> None:
    if name == "key":
        headers = {"authorization": f"Bearer {host.credentials.key}"}
        answer = httpx.get(f"{host.guard.admin_url}/v1/status", headers=headers, trust_env=False)
        assert answer.status_code == 401
    else:
        assert status_of(host, host.credentials.responder) == (401, "unauthenticated")
