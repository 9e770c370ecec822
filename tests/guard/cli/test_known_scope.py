"""A stop is not refused because the files on this disk are older or newer than what is served."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from guard.cli import everywhere, known_scope, main, switch
from guard.policy.bundle import read_bundle
from guard.policy.config import Config
from guard.state.directory import OrderDirectory
from guard.state.snapshots import Current, Snapshots
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.fleets import write_replica

BOTH = (ModelSpec("demo"), ModelSpec("other"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will confirm, so do not wait; nothing comes from outside."""
    for place in (switch, everywhere):
        monkeypatch.setattr(place, "WAIT_SECONDS", 0.02)
    for name in ("GUARD_CONFIG", "GUARD_ADMIN_TOKEN", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["host", "fleet"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A host of its own, or one of a fleet; both models are in force, and the files know one of them any more."""
    if request.param == "host":
        write_configuration(tmp_path, models=BOTH)
    else:
        write_replica(tmp_path, "r0", BOTH, folder=tmp_path / "shared")
    in_force(tmp_path)
    (tmp_path / "models" / "other.yaml").unlink()
    tiers = json.loads((tmp_path / "tiers.yaml").read_text())
    for tier in tiers["tiers"].values():
        tier["models"].pop("other", None)
    (tmp_path / "tiers.yaml").write_text(json.dumps(tiers))
    return tmp_path


def in_force(directory: Path) -> None:
    """Let what the files hold now be the policy in force."""
    bundle, snapshots = read_bundle(directory), Snapshots(directory / "var" / "state")
    OrderDirectory(directory / "var" / "state")
    snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))


def stopped(config: Path) -> list[str]:
    """What was ordered there."""
    state = OrderDirectory(config / "var" / "state").snapshot(of_a_known_host)
    return sorted(str(stop.scope) for stop in state.stops)


@pytest.mark.parametrize("scope", ["model:demo", "model:other"])
def test_what_is_in_force_can_be_stopped_whether_the_files_know_it_or_not(config: Path, scope: str) -> None:
    assert main(["stop", scope, "--config", str(config)]) == 5
    assert stopped(config) == [scope]


def test_what_only_the_files_know_can_be_stopped_before_it_is_in_force(config: Path) -> None:
    name = config / "models" / "demo.yaml"
    text = json.loads(name.read_text())
    (config / "models" / "next.yaml").write_text(json.dumps({**text, "model": "next"}))
    assert main(["stop", "model:next", "--config", str(config)]) == 5
    assert stopped(config) == ["model:next"]


def test_what_neither_knows_is_refused_with_what_is_in_force(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "model:dmeo", "--config", str(config)]) == 2
    assert "there is no model of that name; there are: demo, other" in capsys.readouterr().err
    assert stopped(config) == []


def test_where_it_cannot_be_known_what_is_in_force_the_stop_is_taken(config: Path) -> None:
    shutil.rmtree(next((config / "var" / "state" / "policy").glob("[0-9a-f]" * 64)))
    assert main(["stop", "model:other", "--config", str(config)]) == 5
    assert stopped(config) == ["model:other"]


def test_a_state_folder_that_hangs_does_not_hold_up_a_stop(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    def hangs(_: Path) -> tuple[Config, str]:
        forever.wait(30)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(known_scope, "policy_in_force", hangs)
    monkeypatch.setattr(known_scope, "LOOK_SECONDS", 0.05)
    try:
        assert main(["stop", "model:other", "--config", str(config)]) == 5
        assert not forever.is_set()
    finally:
        forever.set()


@contextmanager
def deciding(status: int, body: Mapping[str, object]) -> Iterator[str]:
    """An admin listener that lives, and says this to every order."""

    class Admin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say(200, {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say(status, body)

        def say(self, status: int, body: Mapping[str, object]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_in_a_fleet_the_admin_api_may_know_what_this_host_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_replica(tmp_path, "r0", BOTH, folder=tmp_path / "shared")
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", "at-guard-x-0123456789abcdef")
    order = {"order": "01", "scope": "model:new", "workers": 2, "missing": [], "streams_cut": 0, "seconds": 0.01}
    stop = ["stop", "model:new", "--config", str(tmp_path), "--admin"]
    with deciding(200, order) as url:
        assert main([*stop, url]) == 0
    assert "stopped model:new" in capsys.readouterr().out
    with deciding(400, {"error": "there is no model of that name; there are: far"}) as url:
        assert main([*stop, url]) == 2
    assert "there are: far" in capsys.readouterr().err
    with deciding(500, {}) as url:
        assert main([*stop, url]) == 2
    assert "there are: demo, other" in capsys.readouterr().err
