"""``guard stop`` and ``resume`` without a running guard: paths that fail, names that are none, disks that are full.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from guard.cli import admin_client, main, switch
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.directory import OrderDirectory
from guard.state.orders import StopOrder
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import write_configuration

NOBODY = "no worker runs here: nothing is served; what follows holds for the next start\n"
UNDRILLED = "stop drill: never succeeded yet\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will confirm, so do not wait; nothing comes from outside."""
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.02)
    for name in ("GUARD_CONFIG", "GUARD_ADMIN_TOKEN", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path)
    return tmp_path


def stops(config: Path) -> list[StopOrder]:
    """The stop orders that lie there."""
    state = OrderDirectory(config / "var" / "state").snapshot(of_a_known_host)
    return sorted(state.stops, key=lambda stop: stop.id)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Somebody who says this to every request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def reply(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


NO_GUARD = {
    "nothing of HTTP": b"220 mail\r\n",
    "nothing": b"",
    "a page": reply("200 OK", b"<html>"),
    "a list": reply("200 OK", b"[]"),
    "another's answer": reply("200 OK", b"{}"),
    "another's error": reply("404 Not Found", b'{"error": "no such thing"}'),
    "a redirect": reply("307 Temporary Redirect", b"{}"),
    "a failure": reply("500 Internal Server Error", b'{"error": "the order could not be written"}'),
    "half an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
}


@pytest.mark.parametrize("answer", NO_GUARD.values(), ids=NO_GUARD)
def test_whatever_answers_in_place_of_the_admin_api_the_stop_is_ordered_on_the_host(
    answer: bytes, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", "at-guard-x-0123456789abcdef")
    with answering(answer) as url:
        assert main(["stop", "all", "--config", str(config), "--admin", url]) == 5
    assert "ordering on this host" in capsys.readouterr().err
    assert [str(stop.scope) for stop in stops(config)] == ["all"]


def test_an_admin_listener_that_takes_the_connection_and_says_nothing_costs_a_second_at_most(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", "at-guard-x-0123456789abcdef")
    monkeypatch.setattr(admin_client, "PROBE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        assert main(["stop", "all", "--config", str(config), "--admin", url]) == 5
    told = capsys.readouterr().err
    assert "the admin API does not answer" in told
    assert "ordering on this host" in told
    assert len(stops(config)) == 1


@contextmanager
def awake_and(piece: bytes) -> Iterator[str]:
    """Somebody who lives, and answers anything else with such pieces and no end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.02)
        done = threading.Event()
        held: list[socket.socket] = []

        def serve() -> None:
            while not done.is_set():
                for each in held:
                    with suppress(OSError):
                        each.sendall(piece)
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connection.settimeout(5)
                if b"/health/live" in connection.recv(65_536):
                    connection.sendall(reply("200 OK", b"{}"))
                    connection.close()
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    held.append(connection)
            for each in held:
                each.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("piece", [b"", b"1\r\n \r\n"], ids=["hangs", "drips"])
def test_an_admin_api_that_lives_and_never_ends_its_answer_delays_no_stop_of_this_host(
    piece: bytes, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", "at-guard-x-0123456789abcdef")
    monkeypatch.setattr(switch, "API_SECONDS", 0.1)
    with awake_and(piece) as url:
        assert main(["stop", "all", "--config", str(config), "--admin", url]) == 5
        assert [str(stop.scope) for stop in stops(config)] == ["all"]
    told = capsys.readouterr().err
    assert "has not answered yet; ordering on this host" in told
    assert "the admin API does not answer" in told


@pytest.mark.parametrize("piece", [b"", b"1\r\n \r\n"], ids=["hangs", "drips"])
def test_an_answer_is_waited_for_so_long_in_all_however_it_comes(piece: bytes) -> None:
    with awake_and(piece) as url:
        client = admin_client.AdminClient(url, "at-guard-x-0123456789abcdef")
        assert client.responds()
        assert client.call("GET", "/v1/status", seconds=0.3) is None


@pytest.mark.parametrize(
    ("token", "url"),
    [
        ("käse", ""),
        ("a\nb", ""),
        ("ok-token", "http://[::1"),
        ("ok-token", "ftp://x"),
        ("ok-token", "nonsense"),
        ("\udcff", ""),
    ],
    ids=repr,
)
def test_a_token_or_address_that_is_none_does_not_keep_a_stop_from_being_ordered(
    token: str, url: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_ADMIN_TOKEN", token)
    more = ["--admin", url] if url else []
    assert main(["stop", "all", "--config", str(config), *more]) == 5
    assert len(stops(config)) == 1
    assert main(["resume", "all", "--reason", "x", "--config", str(config), *more]) == 1  # a resume takes no detour


def test_a_token_file_that_is_missing_does_not_either(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(config / "absent")
    assert main(["stop", "all", "--config", str(config), "--token-file", absent]) == 5
    assert "is not asked" in capsys.readouterr().err
    assert len(stops(config)) == 1
    assert main(["status", "--config", str(config), "--token-file", absent]) == 1
    assert capsys.readouterr().err == f"guard: No such file or directory: {absent}\n"


def test_a_user_without_a_name_can_stop(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(_: int) -> pwd.struct_passwd:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", nameless)
    assert main(["stop", "all", "--config", str(config)]) == 5
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr("guard.cli.on_host._login", lambda: None)
    monkeypatch.setenv("SUDO_USER", "\x1b[2J" + "x" * 500)
    assert main(["stop", "all", "--config", str(config)]) == 5
    first, second = stops(config)
    assert first.who.startswith("uid ")
    assert second.who.startswith("uid 0 (on the host, for ?[2J")
    assert second.who.endswith("by SUDO_USER)")


def test_on_a_full_disk_an_empty_file_is_the_stop(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: OrderDirectory, *__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state = config / "var" / "state"
    OrderDirectory(state)
    monkeypatch.setattr(OrderDirectory, "put", full)
    for arguments in (["--config", str(config)], ["--state", str(state)]):
        assert main(["stop", "model:demo", *arguments]) == 5
        assert "(order file:STOP.model.demo)" in capsys.readouterr().out
        (state / "orders" / "STOP.model.demo").unlink()


def test_a_state_folder_that_is_none_is_an_error_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stop", "all", "--state", str(tmp_path / "typo")]) == 1
    assert str(tmp_path / "typo") in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
    (tmp_path / "state").mkdir()
    assert main(["stop", "all", "--state", str(tmp_path / "state")]) == 1
    assert list((tmp_path / "state").iterdir()) == []


def test_with_the_state_folder_alone_a_scope_is_still_parsed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = config / "var" / "state"
    OrderDirectory(state)
    assert main(["stop", "model", "--state", str(state)]) == 2
    assert main(["stop", "model:anything", "--state", str(state)]) == 5
    assert "no worker that runs here was found" in capsys.readouterr().err
    assert [str(stop.scope) for stop in stops(config)] == ["model:anything"]


def test_a_resume_needs_a_reason_and_a_stop_of_its_own(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", "all", "--reason", " ", "--config", str(config)]) == 2
    assert main(["resume", "all", "--reason", "x", "--config", str(config)]) == 4
    assert main(["resume", "nonsense", "--reason", "x", "--config", str(config)]) == 2
    assert main(["stop", "all", "--config", str(config)]) == 5
    assert main(["resume", "model:demo", "--reason", "x", "--config", str(config)]) == 4
    assert main(["resume", stops(config)[0].id, "--reason", "x" * 501, "--config", str(config)]) == 2
    capsys.readouterr()
    assert main(["resume", stops(config)[0].id, "--reason", "x", "--config", str(config)]) == 5
    assert capsys.readouterr().out.startswith(f"lifted {stops(config)[0].id}: applied on 0/1 workers")


def test_the_status_on_the_host_tells_what_is_stopped_and_what_is_below_its_floor(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--config", str(config)]) == 0
    assert capsys.readouterr().out == NOBODY + UNDRILLED + "demo: not stopped, not served\n"
    main(["stop", "model:demo", "--reason", "why", "--config", str(config)])
    capsys.readouterr()
    assert main(["status", "--json", "--config", str(config)]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["stopped_by"] == [found["stops"][0]["order"]]
    assert main(["resume", "model:demo", "--reason", "x", "--config", str(config)]) == 5
    policy = json.loads((config / "models" / "demo.yaml").read_text())
    policy["evidence"] = []
    (config / "models" / "demo.yaml").write_text(json.dumps(policy))
    capsys.readouterr()
    assert main(["status", "--config", str(config)]) == 0
    assert "demo: not routable: 2 rows of example-internal 1 unmet" in capsys.readouterr().out


def test_the_status_falls_back_to_the_host_and_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = config / "secrets" / "viewer.token"
    with answering(reply("401 Unauthorized", b'{"error": "the token has expired"}')) as url:
        assert main(["status", "--config", str(config), "--admin", url, "--token-file", str(token)]) == 0
        out, err = capsys.readouterr()
        assert out == NOBODY + UNDRILLED + "demo: not stopped, not served\n"
        assert "the token has expired; this is what lies on this host" in err
        assert main(["status", "--admin", url, "--token-file", str(token)]) == 4
    assert main(["status", "--admin", url, "--token-file", str(token)]) == 1


def at_work(config: Path, worker: str) -> Acknowledgements:
    """The file of a worker that lives: this process."""
    started = process_started(os.getpid())
    assert started is not None
    return Acknowledgements(config / "var" / "state", worker, pid=os.getpid(), started=started)


def test_the_status_makes_nothing(config: Path) -> None:
    before = sorted(config.rglob("*"))
    assert main(["status", "--config", str(config)]) == 0
    assert sorted(config.rglob("*")) == before
    orders = config / "var" / "state" / "orders"
    orders.mkdir(parents=True)
    (orders / "STOP").touch()
    before = sorted(config.rglob("*"))
    assert main(["status", "--config", str(config)]) == 3
    assert sorted(config.rglob("*")) == before


def test_a_state_folder_without_its_orders_is_no_proof_that_nothing_is_stopped(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config / "var" / "state").mkdir(parents=True)
    assert main(["status", "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "orders" in err


def test_the_status_counts_the_workers_that_live(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = config / "var" / "state"
    OrderDirectory(state)
    dead = Acknowledgements(state, "1", pid=os.getpid(), started=1)
    dead.record({}, 0.0)
    (state / "workers" / "2.json").write_text("{")
    assert main(["status", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == []
    at_work(config, "0").record({}, 0.0)
    assert main(["status", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == ["0"]
    assert main(["status", "--config", str(config)]) == 0
    assert capsys.readouterr().out == UNDRILLED + "demo: served\n"


def test_a_stop_for_an_address_without_a_token_is_never_confirmed_by_this_host(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://guard.elsewhere:9090"
    monkeypatch.setattr(switch, "await_obedience", lambda *_: 0)  # every worker of this host has obeyed
    assert main(["stop", "all", "--config", str(config)]) == 0
    capsys.readouterr()
    for more in (["--config", str(config)], ["--state", str(config / "var" / "state")]):
        assert main(["stop", "all", "--admin", url, *more]) == 5
        err = capsys.readouterr().err
        assert "--admin is given and no token" in err
        assert f"ordered HERE, on this host, and NOT at {url}" in err
    assert len(stops(config)) == 3
    assert main(["stop", "model:typo", "--admin", url, "--config", str(config)]) == 2
    assert main(["stop", "all", "--admin", url]) == 2
    assert "ordered" not in capsys.readouterr().err.replace("ordering", "")
    assert len(stops(config)) == 3


@pytest.mark.parametrize("command", [["status"], ["resume", "all", "--reason", "x"]], ids=" ".join)
def test_what_asks_an_address_without_a_token_is_wrong_usage_and_does_nothing_here(
    command: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stop", "all", "--config", str(config)]) == 5
    before = sorted(config.rglob("*"))
    capsys.readouterr()
    for more in ([], ["--config", str(config)]):
        assert main([*command, "--admin", "http://guard.elsewhere:9090", *more]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "no token: set GUARD_ADMIN_TOKEN, or give --token-file FILE" in err
    assert sorted(config.rglob("*")) == before
