"""Drills come in over the admin listener as it is configured, by a token that nobody else has, or are told why not."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from guard.clock import SystemClock
from guard.drills.bench import NoWayError
from guard.drills.entry import AdminPlace, admin_place
from guard.policy.load import load
from guard.refusal import Refused
from guard.serve.drills_in import DrillEntrance
from guard.telemetry.logs import JsonLog
from tests.guard.serve.edge import listener_tls
from tests.parts.certificates import Authority
from tests.parts.configuration import write_configuration

TLS = {"certificate": "tls/a.pem", "key": {"file": "tls/a.key"}}


def opened(directory: Path, address: str, **admin: object) -> AdminPlace:
    write_configuration(directory)
    guard = json.loads((directory / "guard.yaml").read_text())
    guard["admin"].update(admin)
    (directory / "guard.yaml").write_text(json.dumps(guard))
    state = directory / "var" / "state"
    entrance = DrillEntrance(state, lambda count: b"a" * count)
    entrance.open(load(directory), address, JsonLog(SystemClock()))
    found = admin_place(state)
    assert (state / "run" / "admin.json").stat().st_mode & 0o777 == 0o600
    entrance.close()
    with pytest.raises(NoWayError, match="no guard runs here"):
        admin_place(state)
    return found


def test_it_is_told_where_the_listener_is_and_what_it_proves_itself_with(tmp_path: Path) -> None:
    token = f"dt-guard-{(b'a' * 32).hex()}"
    assert opened(tmp_path / "a", "127.0.0.1:9") == AdminPlace("http://127.0.0.1:9", token)
    assert opened(tmp_path / "b", "unix:/a.sock", hosts=["guard.example"]) == AdminPlace(
        "unix:/a.sock", token, host="guard.example"
    )
    certificate = str(tmp_path / "c" / "tls" / "a.pem")
    assert opened(tmp_path / "c", "[::1]:9", tls=TLS) == AdminPlace("https://[::1]:9", token, certificate)


@pytest.mark.parametrize("clients", ["required", "optional", "none"])
def test_they_have_a_certificate_where_the_listener_lets_nobody_in_without_one(clients: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    tls = listener_tls(authority, tmp_path, clients, None if clients == "none" else authority.pem).certificates
    entrance = DrillEntrance(tmp_path, os.urandom, tls)
    write_configuration(tmp_path / "config")
    entrance.open(load(tmp_path / "config"), "127.0.0.1:9", JsonLog(SystemClock()))
    shown = admin_place(tmp_path).shown
    assert (shown is not None) == (clients == "required")
    assert "PRIVATE" not in repr(admin_place(tmp_path))


def test_the_token_is_made_at_each_start_and_is_of_a_drill_alone(tmp_path: Path) -> None:
    numbers = io.BytesIO(bytes(range(64)))
    first, second = DrillEntrance(tmp_path, numbers.read), DrillEntrance(tmp_path, numbers.read)
    person = first.holder(b"dt-guard-" + bytes(range(32)).hex().encode())
    assert (person.name, person.drills) == ("guard drill", True)
    for wrong in (b"", b"dt-guard-", b"dt-guard-" + bytes(range(32, 64)).hex().encode(), b"\xff" * 73):
        with pytest.raises(Refused):
            first.holder(wrong)
    with pytest.raises(Refused):
        second.holder(b"dt-guard-" + bytes(range(32)).hex().encode())
