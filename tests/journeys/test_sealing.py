"""A running guard brings its log under signed heads by itself, and after any kill goes on from what is on the disk."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.heads import read_head
from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.audit.signing_keys import FOLDER, LOG_KEY, new_key
from guard.audit.verify import Report, verify
from guard.policy.load import load
from guard.serve.sealing import log_key
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says


def size(config: Path, writer: str) -> int:
    note = read_head(config / "var" / "audit" / writer)
    return 0 if note is None else parse_checkpoint(note.text).size


def judged(config: Path) -> Report:
    return verify(config / "var" / "audit", log_key(load(config)))


def ask(guard: GuardProcess, key: str) -> str:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask()
        return caller.answer().headers["x-request-id"]


def test_what_was_answered_comes_under_a_head_is_proved_and_stays_so_after_kills(tmp_path: Path) -> None:
    with ScriptedUpstream(says("a ", "few ", "words")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)], workers=2)
        with GuardProcess(tmp_path) as guard:
            asked = ask(guard, credentials.key)
            prove = [GUARD, "audit", "prove", asked, "--config", str(tmp_path)]
            wait_until(lambda: subprocess.run(prove, capture_output=True, check=False).returncode == 0, "it is proved")
            proof = json.loads(subprocess.run(prove, capture_output=True, check=True).stdout)
            assert len(proof["logs"][0]["records"]) >= 3
            assert judged(tmp_path).intact  # while it runs
            assert 'guard_audit_seal_failing{writer="supervisor"} 0.0' in guard.get("/metrics").text
            for pid in (guard.worker(0), guard.worker(1)):
                os.kill(pid, signal.SIGKILL)
            guard.wait_for("worker_started", 4)
            ask(guard, credentials.key)
            os.kill(guard.pid, signal.SIGKILL)
            for pid in guard.worker_pids():
                wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "it ended")  # type: ignore[misc]
        report = judged(tmp_path)
        assert report.intact, report.findings
        before = size(tmp_path, "worker-0") + size(tmp_path, "worker-1")
        with GuardProcess(tmp_path) as guard:
            ask(guard, credentials.key)
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
            assert not guard.lines("seal_failed")
        report = judged(tmp_path)
        assert report.intact, report.findings
        assert report.open == []
        assert size(tmp_path, "worker-0") + size(tmp_path, "worker-1") > before
        assert all(log.size == log.signed for log in report.logs)  # the end of the guard is sealed too
        acts = [item.record for item in iter_records(tmp_path / "var" / "audit") if isinstance(item, Entry)]
        assert [one.what for one in acts if isinstance(one, Control)].count("audit_epoch") == 1
    key = tmp_path / "var" / "state" / FOLDER / LOG_KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_changed_past_is_told_by_metric_and_log_and_requests_go_on(tmp_path: Path) -> None:
    with ScriptedUpstream(says("words")) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(upstream=upstream.url)])
        with GuardProcess(tmp_path) as guard:
            ask(guard, credentials.key)
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
        head = tmp_path / "var" / "audit" / "worker-0" / "checkpoint"
        head.write_text(head.read_text().replace("\n\n", "\nmore\n\n"))
        with GuardProcess(tmp_path) as guard:
            guard.wait_for("seal_failed", writer="worker-0")
            ask(guard, credentials.key)
            assert 'guard_audit_seal_failing{writer="worker-0"} 1.0' in guard.get("/metrics").text


def serve(config: Path) -> tuple[int, str]:
    done = subprocess.run(
        [GUARD, "serve", "--config", str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_without_its_signing_key_the_guard_does_not_begin(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    with GuardProcess(tmp_path, ready=False) as guard:
        wait_until(lambda: size(tmp_path, "supervisor") > 0, "it is sealed")
        assert guard.pid
    key = tmp_path / "var" / "state" / FOLDER / LOG_KEY
    kept = key.read_bytes()
    key.unlink()
    code, said = serve(tmp_path)
    assert code == 1
    assert "log.pem: the log's signing key is missing" in said
    path = tmp_path / "guard.yaml"
    content = json.loads(path.read_text())
    content["audit"] = {"signing_key": {"file": "secrets/log.pem"}}
    path.write_text(json.dumps(content, indent=1))
    fresh = tmp_path / "fresh"
    write_configuration(fresh)
    (fresh / "guard.yaml").write_text(json.dumps(content))
    code, said = serve(fresh)
    assert code == 2
    assert "audit.signing_key: secrets/log.pem is missing" in said
    other = tmp_path / "secrets" / "log.pem"
    other.write_bytes(new_key())
    other.chmod(0o600)
    code, said = serve(tmp_path)
    assert code == 1
    assert "epochs: it is the log asl-guard/" in said
    other.write_bytes(kept)
    with GuardProcess(tmp_path, ready=False):
        pass
