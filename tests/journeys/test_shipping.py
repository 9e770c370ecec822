"""A running guard makes copies of its log elsewhere, and no request ever waits for the place they go to."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guard.audit.note import Key
from guard.audit.read import Entry, iter_records, search
from guard.audit.records import Outcome
from guard.audit.verify import verify
from guard.policy.load import load
from guard.serve.sealing import log_key
from tests.guard.shipping.collector import collector
from tests.guard.shipping.moto_server import ACCESS_KEY, REGION, SECRET_KEY, moto_server
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says


def configured(
    directory: Path, upstream: str, ship: Mapping[str, Any], copies: Mapping[str, Any] | None = None, asl: int = 2
) -> str:
    """Write a configuration that ships, and return a caller's key."""
    spec = ModelSpec(asl=asl, upstream=upstream, log={"copies": dict(copies)} if copies else {})
    credentials = write_configuration(directory, models=[spec])
    path = directory / "guard.yaml"
    content = json.loads(path.read_text())
    content["storage"]["ship"] = dict(ship)
    path.write_text(json.dumps(content))
    return credentials.key


def ask(guard: GuardProcess, key: str) -> tuple[int, str]:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask()
        answer = caller.answer()
    return answer.status, answer.headers["x-request-id"]


def shipped(copy: Path, request: str) -> bool:
    """Whether the copy holds how this request ended."""
    try:
        found = list(search(copy, request))
    except OSError:
        return False
    return any(isinstance(item, Entry) and isinstance(item.record, Outcome) for item in found)


def the_copy(share: Path) -> Path:
    """The folder of the one log on a share."""
    found = list(share.glob("log-*"))
    return found[0] if found else share


def key_of(directory: Path) -> Key:
    return log_key(load(directory))


@contextmanager
def black_hole() -> Iterator[str]:
    """A server that takes connections and whatever is sent, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            for each in held:
                each.close()


def test_a_file_share_holds_a_copy_that_verifies_also_after_kills_and_the_end_is_in_it(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    config = tmp_path / "config"
    with ScriptedUpstream(says("a ", "few ", "words")) as upstream:
        key = configured(config, upstream.url, {"to": f"file://{share}", "every_seconds": 0.2}, asl=3)
        with GuardProcess(config) as guard:
            _, first = ask(guard, key)
            wait_until(lambda: shipped(the_copy(share), first), "it is shipped")
            os.kill(guard.pid, signal.SIGKILL)
        with GuardProcess(config) as guard:
            _, second = ask(guard, key)
            wait_until(lambda: shipped(the_copy(share), second), "the next guard ships")
            wait_until(
                lambda: "guard_audit_shipped_objects_total 0.0" not in guard.get("/metrics").text, "it is counted"
            )
            page = guard.get("/metrics").text
            assert "guard_audit_ship_failing 0.0" in page
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
            assert not guard.lines("ship_failed")
    copy = the_copy(share)
    report = verify(copy, key_of(config))
    assert report.intact, report.findings
    audit = config / "var" / "audit"
    assert {log.writer: log.size for log in report.logs} == {
        log.writer: log.size for log in verify(audit, key_of(config)).logs
    }
    assert len(list(iter_records(copy))) == len(list(iter_records(audit)))
    assert list(copy.glob("*/bodies/*/*/*"))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in copy.rglob("*") if path.is_file())
    done = subprocess.run(
        [GUARD, "audit", "verify", "--audit", copy, "--config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_copies_go_to_s3_where_their_download_verifies_and_a_collector_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config"
    with moto_server() as moto, collector() as told, ScriptedUpstream(says("words")) as upstream:
        bucket = moto.bucket("copies", lock=True)
        ship = {
            "to": f"s3://{bucket}/guards/one",
            "endpoint": moto.url,
            "region": REGION,
            "access_key": {"file": "secrets/s3-key"},
            "secret_key": {"env": "TEST_S3_SECRET"},
            "every_seconds": 0.2,
            "lock": {"mode": "governance", "days": 1},
            "otlp_logs": {"endpoint": told.url, "authorization": {"env": "TEST_OTLP"}},
        }
        key = configured(config, upstream.url, ship)
        (config / "secrets" / "s3-key").write_text(ACCESS_KEY)
        (config / "secrets" / "s3-key").chmod(0o600)
        with GuardProcess(config, environment={"TEST_S3_SECRET": SECRET_KEY, "TEST_OTLP": "Bearer one"}) as guard:
            _, asked = ask(guard, key)
            wait_until(lambda: any("/bodies/" in name for name in moto.names(bucket)), "something is shipped")
            wait_until(lambda: f"outcome {asked}" in told.names(), "it is told")
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
            assert not guard.lines("ship_failed")
            log = json.dumps(guard.log)
            assert SECRET_KEY not in log
            assert ACCESS_KEY not in log
            assert "Bearer" not in log
        assert told.headers[-1]["authorization"] == "Bearer one"
        assert told.names().count(f"intent {asked}") == 1
        assert b"words" not in b"".join(told.bodies)
        for name, data in moto.contents(bucket).items():
            assert moto.client().head_object(Bucket=bucket, Key=name)["ObjectLockMode"] == "GOVERNANCE"
            path = tmp_path / "download" / name.removeprefix("guards/one/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    copy = the_copy(tmp_path / "download")
    report = verify(copy, key_of(config))
    assert report.intact, report.findings
    assert shipped(copy, asked)


def test_a_store_that_takes_everything_and_never_answers_stalls_no_request_and_not_the_end(tmp_path: Path) -> None:
    with black_hole() as url, ScriptedUpstream(says("words")) as upstream:
        ship = {
            "to": "s3://bucket",
            "endpoint": url,
            "region": REGION,
            "access_key": {"env": "TEST_S3"},
            "secret_key": {"env": "TEST_S3"},
            "every_seconds": 0.2,
        }
        key = configured(tmp_path, upstream.url, ship, {"max_lag_seconds": 1.5})
        with GuardProcess(tmp_path, environment={"TEST_S3": "a secret"}) as guard:
            assert ask(guard, key)[0] == 200
            line = guard.wait_for("copies_overdue", model="demo")
            assert line["allowed"] == 1.5
            page = guard.get("/metrics").text
            assert 'guard_audit_ship_overdue{model="demo"} 1.0' in page
            for _ in range(20):
                assert ask(guard, key)[0] == 200  # alarm is the default
            guard.signal(signal.SIGTERM)
            assert guard.wait() == 0
            assert guard.lines("ship_failed", reason="the last records have no copy yet")


def test_where_the_policy_says_so_lagging_copies_turn_requests_away_until_they_are_made(tmp_path: Path) -> None:
    share, config = tmp_path / "share", tmp_path / "config"
    with ScriptedUpstream(says("words")) as upstream:
        ship = {"to": f"file://{share}", "every_seconds": 0.2}
        key = configured(config, upstream.url, ship, {"max_lag_seconds": 1.5, "when_behind": "refuse"})
        with GuardProcess(config) as guard:
            guard.wait_for("ship_failed", reason=f"{share}: no such folder; is the share mounted?")
            wait_until(lambda: ask(guard, key)[0] == 503, "requests are turned away")
            status, refused = ask(guard, key)
            assert status == 503
            assert guard.wait_for("exchange", id=refused)["code"] == "log_unavailable"
            share.mkdir()
            wait_until(lambda: ask(guard, key)[0] == 200, "requests are taken again")
            guard.wait_for("ships_again")
            guard.wait_for("copies_in_time", model="demo")
            wait_until(lambda: shipped(the_copy(share), refused), "what was turned away is on record too")


def test_a_process_that_ships_is_replaced_when_it_dies(tmp_path: Path) -> None:
    share, config = tmp_path / "share", tmp_path / "config"
    share.mkdir()
    with ScriptedUpstream(says("words")) as upstream:
        key = configured(config, upstream.url, {"to": f"file://{share}", "every_seconds": 0.2})
        with GuardProcess(config) as guard:
            _, first = ask(guard, key)
            wait_until(lambda: shipped(the_copy(share), first), "it is shipped")
            os.kill(int((config / "var" / "state" / "shipping" / "lock").read_text()), signal.SIGKILL)
            guard.wait_for("ship_failed", reason="its process ended: ended by SIGKILL")
            _, second = ask(guard, key)
            wait_until(lambda: shipped(the_copy(share), second), "another one ships")
            guard.wait_for("ships_again")
