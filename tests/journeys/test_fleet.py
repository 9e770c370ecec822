"""A fleet of three real guards over a real PostgreSQL: one stop, every replica, whatever is broken.

One file, because nearly all of it shares one fleet.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.cli import everywhere, main
from tests.parts.configuration import ModelSpec
from tests.parts.fleets import Fleet, Replica, write_replica
from tests.parts.guard_process import GUARD, PATIENCE, GuardProcess, wait_until
from tests.parts.postgres import Postgres
from tests.parts.raw_caller import RawCaller
from tests.parts.tcp_proxy import TcpProxy
from tests.parts.upstream import STREAM_HEAD, Peer, Received, ScriptedUpstream, answer, chunk, completion, text

WORKERS = 2
LEASE = 3.0
BRIEF = 2.0  # how long those are waited for who cannot obey


async def script(peer: Peer, request: Received) -> None:
    """Answer a greeting, and count for ever or fall silent for the rest."""
    prompt = request.json["messages"][-1]["content"]
    if prompt == "hello":
        await peer.send(answer(completion("hello")))
        return
    await peer.send(STREAM_HEAD, chunk(text("one ")))
    while prompt == "count":
        await peer.send(chunk(text("tick ")))
        await asyncio.sleep(0.02)
    with suppress(ConnectionError):
        await peer.reader.read(1)


@dataclass(frozen=True, slots=True)
class Running:
    """The fleet, its database, and the proxy through which replica ``r1`` reaches it."""

    fleet: Fleet
    database: Postgres
    proxy: TcpProxy

    @property
    def replicas(self) -> list[Replica]:
        """All of them."""
        return self.fleet.replicas


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fleet")
    with ScriptedUpstream(script) as upstream, Postgres() as database, TcpProxy(database.port) as proxy:
        models = [ModelSpec("demo", upstream=upstream.url), ModelSpec("strict", asl=3, upstream=upstream.url)]
        dsns = [database.dsn(), database.dsn(port=proxy.port), database.dsn()]
        with Fleet(folder, models, dsns, WORKERS, {"leases": {"asl_3": LEASE}, "connect_seconds": 1.0}) as fleet:
            yield Running(fleet, database, proxy)


@pytest.fixture
def running(whole: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Running:
    monkeypatch.chdir(tmp_path)  # what two people would have to sign is written where the command runs
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    wait_until(whole.fleet.together, "the fleet is whole")
    for each in whole.replicas:
        wait_until(lambda each=each: each.code("demo") == "", "demo is served")  # type: ignore[misc]  # bound at once
    return whole


def guard(
    capsys: pytest.CaptureFixture[str], *words: object, seconds: float = everywhere.WAIT_SECONDS
) -> tuple[int, str, str]:
    """Run a command in this process; it waits for those who do not obey for so many seconds."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(everywhere, "WAIT_SECONDS", seconds)
        code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def stream(replica: Replica, stack: ExitStack, model: str = "demo", prompt: str = "count") -> RawCaller:
    caller = stack.enter_context(replica.caller())
    caller.ask(prompt, model=model)
    caller.until(b"one ")
    return caller


def test_one_stop_cuts_on_every_worker_of_every_replica_and_says_so(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        callers = [
            stream(each, stack, prompt=prompt) for each in running.replicas for prompt in ("count", "silence", "count")
        ]
        code, out, err = guard(capsys, "stop", "model:demo", "--config", running.replicas[0].config)
        assert code == 0, err
        assert out.startswith(f"stopped model:demo: applied on {3 * WORKERS}/{3 * WORKERS} workers on 3/3 replicas in ")
        assert f", {len(callers)} streams cut (order " in out
        for caller in callers:
            ended = caller.answer()
            assert (ended.code, ended.closed) == ("stopped", True)
    assert [each.code("demo") for each in running.replicas] == ["stopped"] * 3
    order = re.findall(r"order (\w+)", out)[0]
    texts = {(each.state / "orders" / f"{order}.json").read_bytes() for each in running.replicas}
    assert len(texts) == 1

    # Lifted on another host, by another path: its admin API.
    other = running.replicas[2]
    token = other.config / "secrets" / "responder.token"
    code, out, err = guard(
        capsys, "resume", order, "--reason", "over", "--admin", other.guard.admin_url, "--token-file", token
    )
    assert code == 0, err
    assert f"applied on {3 * WORKERS}/{3 * WORKERS} workers on 3/3 replicas" in out
    assert [each.code("demo") for each in running.replicas] == [""] * 3


def test_a_rule_that_is_pushed_on_one_replica_is_in_force_on_all_and_is_lifted_from_another(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = ("--phrase", "hello", "--category", "other", "--config", running.replicas[0].config)
    code, out, err = guard(capsys, "rule", "push", "model:demo", *rule)
    assert code == 0, err
    everyone = f"applied on {3 * WORKERS}/{3 * WORKERS} workers on 3/3 replicas in "
    assert out.startswith(f"pushed 1 rule on model:demo: {everyone}")
    assert [each.code("demo") for each in running.replicas] == ["content_blocked"] * 3
    assert [each.code("strict") for each in running.replicas] == [""] * 3
    order = re.findall(r"order (\w+)", out)[0]
    other = running.replicas[1]
    api = ("--admin", other.guard.admin_url, "--token-file", other.config / "secrets" / "responder.token")
    assert "NOT IN FORCE" not in guard(capsys, "rule", "list", *api)[1]
    code, out, err = guard(capsys, "rule", "lift", order, "--reason", "over", *api)
    assert code == 0, err
    assert out.startswith(f"lifted {order}: {everyone}")
    assert [each.code("demo") for each in running.replicas] == [""] * 3


def test_three_hundred_running_streams_on_three_replicas_are_all_cut_by_one_stop(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        callers = [stream(each, stack) for _ in range(100) for each in running.replicas]
        code, out, err = guard(capsys, "stop", "model:demo", "--config", running.replicas[1].config)
        assert code == 0, err
        assert f"on {3 * WORKERS}/{3 * WORKERS} workers on 3/3 replicas" in out
        assert ", 300 streams cut (order " in out
        assert {caller.answer().code for caller in callers} == {"stopped"}
        assert [each.code("demo") for each in running.replicas] == ["stopped"] * 3
    order = re.findall(r"order (\w+)", out)[0]
    resumed = guard(capsys, "resume", order, "--reason", "over", "--config", running.replicas[0].config)
    assert resumed[0] == 0, resumed
    wait_until(lambda: [each.code("demo") for each in running.replicas] == [""] * 3, "demo is served again")


def test_connections_that_go_nowhere_delay_a_stop_and_do_not_lose_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        caller = stream(running.replicas[1], stack, prompt="silence")
        running.proxy.swallow()
        code, out, err = guard(capsys, "stop", "model:demo", "--config", running.replicas[0].config)
        assert (code, err) == (0, "")
        assert "on 3/3 replicas" in out
        assert caller.answer().code == "stopped"
    assert guard(capsys, "resume", "model:demo", "--reason", "x", "--config", running.replicas[1].config)[0] == 0


def test_while_the_engine_is_frozen_a_stop_holds_here_says_who_is_not_known_and_spreads_later(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = running.replicas[0], running.replicas[2]
    with ExitStack() as stack:
        caller = stream(here, stack, prompt="silence")
        running.database.signal(signal.SIGSTOP)
        try:
            code, _, err = guard(capsys, "stop", "model:demo", "--config", here.config, seconds=BRIEF)
            assert code == 5
            assert "not confirmed by the fleet (" in err
            assert caller.answer().code == "stopped"
            assert here.code("demo") == "stopped"
            assert there.code("demo") == ""
        finally:
            running.database.signal(signal.SIGCONT)
    wait_until(lambda: there.code("demo") == "stopped", "it has spread")
    assert guard(capsys, "resume", "model:demo", "--reason", "x", "--config", there.config)[0] == 0


def test_without_the_engine_a_lease_lapses_by_level_and_is_back_with_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    one = running.replicas[0]
    with ExitStack() as stack:
        strict, loose = stream(one, stack, "strict"), stream(one, stack, "demo")
        running.database.kill()
        try:
            assert strict.answer().code == "stopped"
            assert one.code("strict") == "stopped"
            assert one.code("demo") == ""
            seen = loose.until(b"tick").count(b"tick")
            wait_until(lambda: more(loose, seen), "what may go on goes on")
            assert one.guard.wait_for("lease_lapsed", lapsed=["ASL-3", "ASL-4"])
            wait_until(lambda: metric(one, 'guard_lease_lapsed{asl="3"}') == 1.0, "it is counted")
            code, out, err = guard(capsys, "status", "--config", one.config, "--admin", one.guard.admin_url,
                                   "--token-file", one.config / "secrets" / "viewer.token")  # fmt: skip
            assert code == 0, err
            assert "THE FLEET CANNOT BE RELIED ON: the database cannot be reached" in out
            assert "NOT SERVED for want of proof: ASL-3" in out
        finally:
            running.database.start()
    wait_until(lambda: one.code("strict") == "", "it is served again")
    one.guard.wait_for("lease_renewed")


def held(replica: Replica) -> dict[str, bytes]:
    """The very bytes of every order that lies on a host."""
    return {path.name: path.read_bytes() for path in (replica.state / "orders").glob("*.json")}


def test_a_fleet_that_was_split_holds_the_union_of_both_sides_orders_when_it_is_whole_again(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """One replica is cut off from the engine; on either side something is stopped, and on one something resumed."""
    one, cut_off, third = running.replicas
    assert guard(capsys, "stop", "key:stranger", "--config", one.config)[0] == 0
    before = held(cut_off)
    with ExitStack() as stack:
        strict = stream(cut_off, stack, "strict")
        lapses = len(cut_off.guard.lines("lease_lapsed", lapsed=["ASL-3", "ASL-4"]))
        running.proxy.refuse(refusing=True)
        try:
            code, out, err = guard(capsys, "stop", "model:demo", "--config", one.config, seconds=BRIEF)
            assert (code, "not confirmed by r1 (" in err) == (5, True), err
            first = re.findall(r"order (\w+)", out)[0]
            assert (
                guard(capsys, "resume", "key:stranger", "--reason", "x", "--config", one.config, seconds=BRIEF)[0] == 5
            )
            # What is ordered where the engine cannot be reached holds there, and says that it is not known elsewhere.
            code, out, err = guard(capsys, "stop", "tier:slow", "--config", cut_off.config, seconds=BRIEF)
            assert (code, "not confirmed by the fleet (" in err) == (5, True)
            second = re.findall(r"order (\w+)", out)[0]
            # Nothing that was ordered names it, but it cannot be known whether something does: its lease lapses.
            assert strict.answer().code == "stopped"
            lapse = cut_off.guard.wait_for("lease_lapsed", lapses + 1, lapsed=["ASL-3", "ASL-4"])
            assert lapse["seconds"] >= LEASE
            assert [each.code("strict") for each in running.replicas] == ["", "stopped", ""]
            assert [each.code("demo") for each in running.replicas] == ["stopped", "", "stopped"]
            assert {f"{first}.json", f"{second}.json"} & held(cut_off).keys() == {f"{second}.json"}
            assert f"{second}.json" not in held(one)
        finally:
            running.proxy.refuse(refusing=False)
            running.proxy.cut()
    wait_until(running.fleet.together, "whole again")
    wait_until(lambda: held(one) == held(cut_off) == held(third), "each holds the union, byte for byte")
    union = held(one)
    assert {f"{first}.json", f"{second}.json"} <= union.keys()
    assert before.items() <= union.items()
    wait_until(lambda: [each.code("demo") for each in running.replicas] == ["stopped"] * 3, "obeyed by all")
    assert [each.code("strict") for each in running.replicas] == [""] * 3
    for scope, config in (("tier:slow", one.config), ("model:demo", cut_off.config)):
        code, out, err = guard(capsys, "resume", scope, "--reason", "x", "--config", config)
        assert "on 3/3 replicas" in out, err
    assert [each.code("demo") for each in running.replicas] == [""] * 3


def test_two_responders_at_once_on_two_replicas_are_both_obeyed_everywhere(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        callers = [stream(each, stack, prompt="silence") for each in running.replicas]
        asking = [
            stack.enter_context(
                subprocess.Popen(
                    [GUARD, "stop", "model:demo", "--reason", each.name, "--config", each.config],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )
            for each in running.replicas[:2]
        ]  # fmt: skip
        told = [each.communicate(timeout=PATIENCE) for each in asking]
        assert [each.returncode for each in asking] == [0, 0], told
        assert all("on 3/3 replicas" in out for out, _ in told)
        assert [caller.answer().code for caller in callers] == ["stopped"] * 3
    orders = {f"{order}.json" for out, _ in told for order in re.findall(r"order (\w+)", out)}
    assert len(orders) == 2
    assert all(orders <= held(each).keys() for each in running.replicas)
    code, out, err = guard(capsys, "resume", "model:demo", "--reason", "x", "--config", running.replicas[2].config)
    assert (code, "on 3/3 replicas" in out) == (0, True), err
    assert [each.code("demo") for each in running.replicas] == [""] * 3


def metric(replica: Replica, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", replica.guard.get("/metrics").text, re.MULTILINE)
    assert found is not None, series
    return float(found[1])


def more(caller: RawCaller, seen: int) -> bool:
    caller._rest += caller.socket.recv(65_536)
    return caller._rest.count(b"tick") > seen


def test_a_frozen_supervisor_renews_nothing_so_its_workers_stop_and_the_stop_names_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = running.replicas[2]
    with ExitStack() as stack:
        strict = stream(frozen, stack, "strict")
        frozen.guard.signal(signal.SIGSTOP)
        try:
            assert strict.answer().code == "stopped"
            code, _, err = guard(capsys, "stop", "model:demo", "--config", running.replicas[0].config, seconds=BRIEF)
            assert code == 5
            assert "not confirmed by r2 (not heard for" in err
            assert frozen.code("demo") == ""
        finally:
            frozen.guard.signal(signal.SIGCONT)
    wait_until(lambda: frozen.code("demo") == "stopped", "it obeys when it thaws")
    assert guard(capsys, "resume", "model:demo", "--reason", "x", "--config", running.replicas[0].config)[0] == 0


def distrusts(replica: Replica) -> bool:
    return metric(replica, "guard_fleet_distrusted") == 1.0


def is_sure(replica: Replica) -> bool:
    """Whether it has had proof since the database was back."""
    return metric(replica, "guard_lease_age_seconds") < 1.0


def test_a_history_that_goes_back_alarms_lifts_nothing_and_is_filled_again(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    one = running.replicas[0]
    running.database.kill()
    kept = running.database.copy_of_data()
    running.database.start()
    wait_until(running.fleet.together, "whole again")
    code, out, err = guard(capsys, "stop", "model:demo", "--config", one.config)
    assert code == 0, err
    order = re.findall(r"order (\w+)", out)[0]
    running.database.kill()
    running.database.go_back_to(kept)
    running.database.start()
    # The first to notice fills the history again; who looks after that finds the one that he knew.
    wait_until(lambda: any(distrusts(each) for each in running.replicas), "somebody noticed")
    wait_until(lambda: all(distrusts(each) or is_sure(each) for each in running.replicas), "all have looked")
    doubting = [each for each in running.replicas if distrusts(each)]
    assert [each.code("demo") for each in running.replicas] == ["stopped"] * 3
    query = f"select count(*) from guard.orders where id = '{order}'"  # noqa: S608 - an id of ours
    wait_until(lambda: running.database.sql("fleet", query) == "1", "the stop is in the history again")
    wait_until(lambda: all(each.code("strict") == "stopped" for each in doubting), "no proof at ASL-3")
    for each in doubting:
        each.guard.wait_for("fleet_distrusted")
        code, out, _ = guard(capsys, "state", "accept", "--config", each.config)
        assert code == 0
        assert "accepted: the history went back from position" in out

    def believed() -> bool:
        """Whoever looked while the history was being filled again doubts it a little later, and is told too."""
        for each in running.replicas:
            if distrusts(each):
                guard(capsys, "state", "accept", "--config", each.config)
        return running.fleet.together()

    wait_until(believed, "believed again")
    assert guard(capsys, "state", "accept", "--config", one.config)[0] == 1
    assert [each.code("strict") for each in running.replicas] == [""] * 3
    assert [each.code("demo") for each in running.replicas] == ["stopped"] * 3
    assert guard(capsys, "resume", order, "--reason", "x", "--config", one.config)[0] == 0


def test_a_replica_that_ended_is_not_waited_for_and_one_that_was_killed_is_until_it_is_forgotten(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    one, last = running.replicas[0], running.replicas[2]
    end(last.guard, signal.SIGTERM)
    code, out, err = guard(capsys, "stop", "tier:slow", "--config", one.config)
    assert code == 0, err
    assert "on 2/2 replicas" in out
    with GuardProcess(last.config) as again:
        wait_until(lambda: Replica("r2", last.config, last.credentials, again).code("strict") == "", "served")
        end(again, signal.SIGKILL)
    code, _, err = guard(capsys, "stop", "tier:slow", "--config", one.config, seconds=BRIEF)
    assert (code, "r2 (" in err) == (5, True)
    assert guard(capsys, "state", "forget", "r2", "--config", one.config)[0] == 0
    assert guard(capsys, "state", "forget", "r2", "--config", one.config)[0] == 1
    assert guard(capsys, "stop", "tier:slow", "--config", one.config)[0] == 0
    assert guard(capsys, "resume", "tier:slow", "--reason", "x", "--config", one.config)[0] == 0

    # Begun without the engine: what nobody can vouch for is refused, by what lies here.
    running.database.signal(signal.SIGSTOP)
    try:
        with GuardProcess(last.config) as cold:
            replica = Replica("r2", last.config, last.credentials, cold)
            assert replica.code("strict") == "stopped"
            assert replica.code("demo") == ""
            running.database.signal(signal.SIGCONT)
            wait_until(lambda: replica.code("strict") == "", "served with the first proof")
    finally:
        running.database.signal(signal.SIGCONT)


def end(process: GuardProcess, number: signal.Signals) -> None:
    process.signal(number)
    process.wait()


def test_a_database_elsewhere_without_tls_is_refused_and_its_password_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_replica(tmp_path, "r0", [ModelSpec()], dsn="postgresql://u:the-secret@203.0.113.7/fleet")
    code, out, err = guard(capsys, "serve", "--config", tmp_path)
    assert code == 2
    assert re.search(r"guard.yaml:\d+: fleet.database: is not on this host, so it needs fleet.tls", err)
    assert "the-secret" not in out + err
