"""A policy that changes while it is served, over real sockets and processes: whole or not at all.

One file, because every test changes the files of a running guard in the same few ways.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.approval.order import CONFIGURATION, Act, Order, canonical
from guard.audit import records
from guard.audit.read import Entry, iter_records
from guard.policy.load import load
from guard.policy.ssh_key import KeyKind
from guard.state.snapshots import Snapshots
from tests.parts.configuration import MARKER, Credentials, ModelSpec, model_file, write_configuration, write_operators
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.ssh_keys import soft_key
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, says, sends, stream_body, text


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(says("hello")) as upstream:
        yield upstream


def configured(directory: Path, upstream: ScriptedUpstream, asl: int = 2, workers: int = 1) -> Credentials:
    models = [ModelSpec(upstream=upstream.url, asl=asl)]
    return write_configuration(directory, models=models, workers=workers)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a file of the configuration as a careful person does: the new one is renamed into its place."""
    content = json.loads(path.read_text())
    change(content)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(content, indent=1))
    aside.rename(path)


def release(directory: Path, number: str) -> None:
    """A change that means nothing."""
    edit(directory / "rules" / "test.yaml", lambda rules: rules.update(release=number))


def more_rules(directory: Path) -> None:
    """A stricter policy."""
    more = {"id": "more", "category": "other", "phrase": "FURTHER-MARKER"}
    edit(directory / "rules" / "test.yaml", lambda rules: rules["rules"].append(more))


def fewer_rules(directory: Path) -> None:
    """A weaker policy."""
    other = [{"id": "other", "category": "other", "phrase": "ANOTHER-MARKER"}]
    edit(directory / "rules" / "test.yaml", lambda rules: rules.update(rules=other))


def without(tier: str, model: str) -> Callable[[Any], Any]:
    """A tier that no longer grants a model."""
    return lambda tiers: tiers["tiers"][tier]["models"].pop(model)


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the guard's command."""
    return subprocess.run(
        [GUARD, *words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=False
    )


def ask(guard: GuardProcess, key: str, content: str = "hello") -> int:
    """The status of one plain request."""
    with RawCaller(guard.data[1], key) as caller:
        caller.ask(content, stream=False)
        return caller.answer().status


def digest(directory: Path) -> str:
    return load(directory).digest


def status(guard: GuardProcess, credentials: Credentials) -> Mapping[str, Any]:
    """What the admin API says of the policy."""
    headers = {"authorization": f"Bearer {credentials.viewer}"}
    answer = httpx.get(f"{guard.admin_url}/v1/status", headers=headers, trust_env=False, timeout=30)
    found: Mapping[str, Any] = answer.json()["policy"]
    return found


def controls(directory: Path) -> list[records.Control]:
    """The acts of control on record."""
    found = [item.record for item in iter_records(directory / "var" / "audit") if isinstance(item, Entry)]
    return [each for each in found if isinstance(each, records.Control) and each.what.startswith("policy")]


def taken(guard: GuardProcess, directory: Path) -> Mapping[str, Any]:
    """Wait until what the files hold is in force."""
    return guard.wait_for("policy_in_force", policy=digest(directory))


def test_sighup_brings_changed_files_into_force_on_every_worker(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    credentials = configured(tmp_path, upstream, workers=3)
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 3, "all serve")
        before = digest(tmp_path)
        assert ask(guard, credentials.key, "FURTHER-MARKER") == 200
        more_rules(tmp_path)
        guard.signal(signal.SIGHUP)
        line = taken(guard, tmp_path)
        assert (line["before"], line["effect"], line["changes"]) == (before, "stronger", 1)
        assert (line["workers"], line["missing"]) == (3, [])
        for _ in range(12):  # whichever worker takes the connection
            assert ask(guard, credentials.key, "FURTHER-MARKER") == 403
        page = guard.get("/metrics").text
        assert 'guard_policy_reloads_total{outcome="in_force"} 1.0' in page
        assert "guard_policy_disk_differs 0.0" in page
        wait_until(lambda: f'policy="{digest(tmp_path)}"' in guard.get("/metrics").text, "the page names it")
        assert f'policy="{before}"' not in guard.get("/metrics").text
        (act,) = [each for each in controls(tmp_path) if each.who == "signal"]
        assert act.what == "policy in_force"
        assert act.subject == f"{before[:16]} -> {digest(tmp_path)[:16]}"


def test_a_changed_file_is_taken_up_by_itself_and_a_half_written_one_is_not(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream)
    with GuardProcess(tmp_path) as guard:
        more_rules(tmp_path)
        assert taken(guard, tmp_path)["by"] == "files"
        path = tmp_path / "rules" / "test.yaml"
        whole = path.read_text()
        path.write_text(whole[: len(whole) // 2])
        line = guard.wait_for("policy_refused")
        assert line["outcome"] == "invalid"
        assert line["reasons"][0].startswith("rules/test.yaml:")
        assert ask(guard, credentials.key, "FURTHER-MARKER") == 403
        assert "guard_policy_disk_differs 1.0" in guard.get("/metrics").text
        assert "rules/test.yaml:" in status(guard, credentials)["differs"]
        path.write_text(whole)
        wait_until(lambda: "guard_policy_disk_differs 0.0" in guard.get("/metrics").text, "it was mended")
        assert status(guard, credentials)["differs"] == ""
        assert len(guard.lines("policy_refused")) == 1


def test_the_command_waits_until_every_worker_serves_by_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    credentials = configured(tmp_path, upstream, workers=2)
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "all serve")
        reload = ["reload", "--config", str(tmp_path)]
        more_rules(tmp_path)
        done = command(*reload)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{digest(tmp_path)[:16]} in force on 2/2 workers in ")
        assert done.stdout.endswith(("1 change, stronger\n", "unchanged\n"))  # the files may have been seen first
        assert ask(guard, credentials.key, "FURTHER-MARKER") == 403
        again = command(*reload)
        assert again.returncode == 0
        assert again.stdout.endswith("unchanged\n")
        named = ["--admin", guard.admin_url, "--reason", "INC-7"]
        release(tmp_path, "3")
        done = command(*reload, *named, GUARD_ADMIN_TOKEN=credentials.responder)
        assert (done.returncode, done.stderr) == (0, "")
        wait_until(lambda: any(each.who == "the responder" for each in controls(tmp_path)), "a person is on record")
        assert any(each.reason.startswith("INC-7: ") for each in controls(tmp_path))
        release(tmp_path, "4")
        assert command(*reload, *named, GUARD_ADMIN_TOKEN=credentials.viewer).returncode == 4
        (tmp_path / "tiers.yaml").write_text("version: [")
        done = command(*reload, *named, GUARD_ADMIN_TOKEN=credentials.responder)
        assert done.returncode == 2
        assert "tiers.yaml:1: is not YAML" in done.stderr
        assert command(*reload).returncode == 2
    assert command(*reload).returncode == 1
    assert "no guard runs here" in command(*reload).stderr


def test_what_takes_a_restart_is_refused_by_name_and_nothing_else_changes(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream)
    with GuardProcess(tmp_path) as guard:

        def change(content: Any) -> None:
            content["workers"] = 2
            content["surfaces"].append({"name": "partner", "host": "127.0.0.1", "port": 0})

        edit(tmp_path / "guard.yaml", change)
        more_rules(tmp_path)
        done = command("reload", "--config", str(tmp_path))
        assert done.returncode == 4
        assert "workers: cannot change without a restart" in done.stderr
        assert "surfaces[1]: cannot be added without a restart" in done.stderr
        assert ask(guard, credentials.key, "FURTHER-MARKER") == 200
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "all serve")
        assert ask(guard, credentials.key, "FURTHER-MARKER") == 403


def test_a_weaker_policy_at_asl_3_is_refused_and_a_restart_is_no_way_around(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream, asl=3)
    before = digest(tmp_path)
    rules = (tmp_path / "rules" / "test.yaml").read_text()
    with GuardProcess(tmp_path) as guard:
        fewer_rules(tmp_path)
        done = command("reload", "--config", str(tmp_path))
        assert done.returncode == 4
        assert "model demo: safeguards.patterns.settings.rules.rules.marker: is weaker" in done.stderr
        assert "two people" in done.stderr
        assert MARKER not in done.stderr
        assert ask(guard, credentials.key, MARKER) == 403
    with GuardProcess(tmp_path) as guard:
        line = guard.wait_for("policy_held", policy=before)
        assert any("two people" in reason for reason in line["reasons"])
        assert ask(guard, credentials.key, MARKER) == 403
        assert "guard_policy_disk_differs 1.0" in guard.get("/metrics").text
        assert "two people" in status(guard, credentials)["differs"]
        told = command("status", "--config", str(tmp_path)).stdout
        assert f"policy {before[:16]} in force since" in told
        assert "THE FILES ARE ANOTHER" in told
        wait_until(lambda: any(each.what == "policy held" for each in controls(tmp_path)), "it is on record")
        (tmp_path / "rules" / "test.yaml").write_text(rules)
        wait_until(lambda: "guard_policy_disk_differs 0.0" in guard.get("/metrics").text, "they are the same again")
        more_rules(tmp_path)  # what is stronger needs nobody
        assert taken(guard, tmp_path)["effect"] == "stronger"


def test_a_weaker_policy_comes_in_when_two_people_have_signed_it_and_its_order_is_used_up(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    people = {"ana": soft_key(KeyKind.ED25519), "ben": soft_key(KeyKind.P256)}
    credentials = configured(tmp_path, upstream, asl=3, workers=2)
    until = str(datetime.now(UTC).date() + timedelta(days=30))
    persons = [
        {"id": who, "name": who, "roles": ["approver"], "keys": [key.line], "expires": until}
        for who, key in people.items()
    ]
    write_operators(tmp_path, persons)

    def allow(burst: int) -> str:
        edit(tmp_path / "tiers.yaml", lambda tiers: tiers["tiers"]["slow"]["rate"].update(burst=burst))
        return digest(tmp_path)

    before = allow(1)
    with GuardProcess(tmp_path) as guard:
        now, after = int(time.time()), allow(5)
        order = Order(Act.WEAKER_POLICY, CONFIGURATION, before, after, "INC-7", now - 60, now + 3600, "1" * 32)
        (tmp_path / "approvals").mkdir()
        (tmp_path / "approvals" / "x.json").write_bytes(canonical(order))
        (tmp_path / "approvals" / "x.ana.sig").write_bytes(people["ana"].sign(canonical(order)))
        assert command("reload", "--config", str(tmp_path)).returncode == 4
        assert status(guard, credentials)["digest"] == before
        (tmp_path / "approvals" / "x.ben.sig").write_bytes(people["ben"].sign(canonical(order)))
        done = command("reload", "--config", str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert status(guard, credentials)["digest"] == after
        named = "approved by ana (ssh), ben (ssh)"
        wait_until(lambda: any(named in each.reason for each in controls(tmp_path)), "who approved is on record")
        assert allow(1) == before  # what is stronger needs nobody
        assert command("reload", "--config", str(tmp_path)).returncode == 0
        allow(5)
        again = command("reload", "--config", str(tmp_path))
        assert again.returncode == 4
        assert "the order was used before" in again.stderr
        assert status(guard, credentials)["digest"] == before


def test_a_model_under_care_does_not_come_back_at_a_lower_level_in_two_steps(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    write_configuration(
        tmp_path, models=[ModelSpec("big", asl=3, upstream=upstream.url), ModelSpec("small", upstream="http://[::1]:9")]
    )
    path = tmp_path / "models" / "big.yaml"
    content = path.read_text()
    with GuardProcess(tmp_path) as guard:
        for tier in ("general", "slow"):
            edit(tmp_path / "tiers.yaml", without(tier, "big"))
        path.unlink()
        guard.signal(signal.SIGHUP)
        taken(guard, tmp_path)
        for name, level in (("big", 2), ("other", 2)):  # under its own name, and from its own server
            spec = ModelSpec(name, asl=level, upstream=upstream.url)
            (tmp_path / "models" / f"{name}.yaml").write_text(json.dumps(model_file(spec, datetime.now(UTC))))
            done = command("reload", "--config", str(tmp_path))
            assert done.returncode == 4
            assert f"model {name}: is weaker" in done.stderr
            (tmp_path / "models" / f"{name}.yaml").unlink()
    path.write_text(content)
    with GuardProcess(tmp_path) as guard:
        assert "model big: is weaker" in guard.wait_for("policy_held")["reasons"][0]


def test_a_stream_goes_on_over_a_neutral_change_and_is_recorded_under_the_policy_it_began_with(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    gate = Gate()
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), gate, chunk(stream_body("two")) + LAST_CHUNK)
    credentials = configured(tmp_path, upstream)
    before = digest(tmp_path)
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
        caller.ask()
        caller.until(b"one ")
        for number in range(2, 5):
            release(tmp_path, str(number))
            guard.signal(signal.SIGHUP)
            assert taken(guard, tmp_path)["cut"] == 0
        gate.open()
        answer = caller.answer()
        assert answer.texts == "one two"
        assert answer.events[-1] == b"[DONE]"
        guard.wait_for("exchange", ending="served")
        found = [item.record for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
        assert [each.policy for each in found if isinstance(each, records.Intent)] == [before]
        caller.ask()  # the connection lives on, under the new policy
        assert caller.answer().texts == "one two"


def no_operation(directory: Path) -> None:
    """The tier loses the model's only operation that is in use."""
    for tier in ("general", "slow"):
        edit(directory / "tiers.yaml", without(tier, "demo"))


def no_key(directory: Path) -> None:
    """The caller's key is removed."""
    edit(directory / "tiers.yaml", lambda tiers: tiers["keys"].pop(0))


def no_claim(directory: Path) -> None:
    """The model falls below its floor."""
    edit(directory / "models" / "demo.yaml", lambda model: model["evidence"].clear())


@pytest.mark.parametrize(
    ("stricter", "reason"),
    [
        (more_rules, "the policy of its model became stricter"),
        (no_operation, "its tier no longer grants it"),
        (no_key, "its key no longer holds"),
        (no_claim, "its model is no longer routable"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_stream_ends_when_the_policy_becomes_stricter_for_it(
    tmp_path: Path, upstream: ScriptedUpstream, stricter: Callable[[Path], None], reason: str
) -> None:
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), Gate())
    credentials = configured(tmp_path, upstream)
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
        caller.ask()
        caller.until(b"one ")
        stricter(tmp_path)
        done = command("reload", "--config", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert taken(guard, tmp_path)["cut"] == 1
        answer = caller.answer()
        assert answer.code == "policy_changed"
        assert answer.ended
        assert answer.closed
        assert b"[DONE]" not in answer.body
        line = guard.wait_for("exchange", ending="denied", code="policy_changed")
        counted = 'guard_streams_terminated_total{cause="policy",model="demo",worker="0"} 1.0'
        wait_until(lambda: counted in guard.get("/metrics").text, "it is counted")
        found = [item.record for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
        (outcome,) = [each for each in found if isinstance(each, records.Outcome) and each.id == line["id"]]
        assert outcome.reason == reason


def test_a_removed_key_is_refused_on_a_connection_that_stands_and_another_still_has_its_count(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream)
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
        assert ask(guard, credentials.slow) == 200
        assert ask(guard, credentials.slow) == 429
        caller.ask(stream=False)
        assert caller.answer().status == 200
        no_key(tmp_path)
        assert command("reload", "--config", str(tmp_path)).returncode == 0
        caller.ask(stream=False)
        assert caller.answer().code == "unauthenticated"
        assert ask(guard, credentials.slow) == 429


def test_a_request_whose_body_comes_during_the_change_is_judged_by_the_new_policy(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream)
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {credentials.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
        caller.socket.sendall(head.encode() + body[:10])
        assert ask(guard, credentials.key) == 200
        no_key(tmp_path)
        assert command("reload", "--config", str(tmp_path)).returncode == 0
        caller.socket.sendall(body[10:])
        assert caller.answer().code == "unauthenticated"
    assert len(upstream.requests) == 1


def test_connections_to_an_unchanged_server_are_kept_and_those_to_a_changed_one_end(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    credentials = configured(tmp_path, upstream)
    path = tmp_path / "models" / "demo.yaml"
    edit(path, lambda model: model["upstream"].update(rest_seconds=0.01))
    with GuardProcess(tmp_path) as guard:
        assert ask(guard, credentials.key) == 200
        release(tmp_path, "2")
        assert command("reload", "--config", str(tmp_path)).returncode == 0
        assert ask(guard, credentials.key) == 200
        assert upstream.accepted == 1
        edit(path, lambda model: model["upstream"].update(idle_seconds=19))
        assert command("reload", "--config", str(tmp_path)).returncode == 0
        wait_until(lambda: upstream.open == 0, "the old connection is closed")
        assert ask(guard, credentials.key) == 200
        assert upstream.accepted == 2


def test_renewed_evidence_is_taken_up_and_cuts_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script = sends(STREAM_HEAD + chunk(text("one ")), gate, chunk(stream_body("two")) + LAST_CHUNK)
    credentials = configured(tmp_path, upstream, asl=3)
    with GuardProcess(tmp_path) as guard, RawCaller(guard.data[1], credentials.key) as caller:
        caller.ask()
        caller.until(b"one ")

        def renew(model: Any) -> None:
            for attestation in model["evidence"]:
                attestation.update(issued=str(datetime.now(UTC).date()), expires="2999-01-01", sha256="0" * 64)

        edit(tmp_path / "models" / "demo.yaml", renew)
        assert taken(guard, tmp_path)["cut"] == 0
        gate.open()
        assert caller.answer().texts == "one two"


def test_a_worker_that_does_not_come_over_is_replaced_by_one_that_serves_the_new_policy(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    configured(tmp_path, upstream, workers=2)
    edit(tmp_path / "guard.yaml", lambda guard: guard.update(supervision={"deaf_seconds": 3}))
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "all serve")
        os.kill(guard.worker(1), signal.SIGSTOP)
        release(tmp_path, "2")
        done = command("reload", "--config", str(tmp_path))
        assert done.returncode in {0, 5}
        assert guard.lines("worker_deaf", worker=1) or guard.lines("worker_behind", worker=1)
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve")
        again = command("reload", "--config", str(tmp_path))
        assert (again.returncode, "2/2 workers" in again.stdout) == (0, True)


class Load:
    """Callers that ask again and again until told to end, and count what did not go well."""

    def __init__(self, port: int, key: str) -> None:
        """Begin."""
        self.bad: list[int] = []
        self.good = 0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, key)) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Have them leave."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, port: int, key: str) -> None:
        with suppress(OSError, EOFError), RawCaller(port, key) as caller:
            while not self._ended.is_set():
                caller.ask(stream=False)
                status = caller.answer().status
                if status == 200:
                    self.good += 1
                else:
                    self.bad.append(status)


def test_no_request_is_lost_over_many_reloads(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    credentials = configured(tmp_path, upstream, workers=2)
    with GuardProcess(tmp_path) as guard:
        load_ = Load(guard.data[1], credentials.key)
        try:
            for number in range(2, 12):
                release(tmp_path, str(number))
                guard.signal(signal.SIGHUP)
                taken(guard, tmp_path)
        finally:
            load_.end()
        assert load_.bad == []
        assert load_.good > 10
        assert len(list((tmp_path / "var" / "state" / "policy").glob("?" * 64))) <= 5


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_of_a_reload_a_whole_policy_is_in_force_afterwards(
    tmp_path: Path, upstream: ScriptedUpstream, victim: str, seed: int
) -> None:
    credentials = configured(tmp_path, upstream, workers=2)
    answers = {digest(tmp_path): 200}
    pause = random.Random(seed).uniform(0.0, 0.06)
    with GuardProcess(tmp_path) as guard:
        wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "all serve")
        more_rules(tmp_path)
        answers[digest(tmp_path)] = 403
        guard.signal(signal.SIGHUP)
        threading.Event().wait(pause)  # the moment is the point
        if victim == "worker":
            os.kill(guard.worker(), signal.SIGKILL)
            taken(guard, tmp_path)
            wait_until(lambda: guard.get("/health/ready").json()["serving"] == 2, "both serve again")
            for _ in range(12):
                assert ask(guard, credentials.key, "FURTHER-MARKER") == 403
        else:
            guard.signal(signal.SIGKILL)
            guard.wait()
    current = Snapshots(tmp_path / "var" / "state").current()
    assert current is not None
    assert current.digest in answers
    (tmp_path / "rules" / "test.yaml").write_text("version: [")  # only what was kept can be served
    with GuardProcess(tmp_path) as guard:
        assert guard.wait_for("policy_held")["policy"] == current.digest
        assert ask(guard, credentials.key, "FURTHER-MARKER") == answers[current.digest]
        assert ask(guard, credentials.key, MARKER) == 403
