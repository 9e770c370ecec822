"""What ``guard demo`` prepares, and what keeps it from starting."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guard.cli import demo, main
from guard.cli.demo_model import script
from guard.policy.compile import check_compiles
from guard.policy.load import load
from guard.policy.report import report
from tests.parts.configuration import write_configuration

PORTS = {"data": 1, "admin": 2, "model": 3}


@pytest.mark.parametrize("now", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 2, 29, 23, 59, tzinfo=UTC)])
def test_the_example_is_routable_on_any_day_and_not_once_its_evidence_has_lapsed(now: datetime, tmp_path: Path) -> None:
    demo.prepare(tmp_path, PORTS, now)
    config = load(tmp_path)
    assert report(config, now)[1]
    assert not report(config, now + timedelta(days=demo.EVIDENCE_DAYS))[1]
    assert (config.guard.surfaces[0].port, config.guard.admin.port) == (1, 2)
    assert config.models["demo"].upstream.url == "http://127.0.0.1:3"


def test_the_schemas_that_the_files_name_are_beside_them(tmp_path: Path) -> None:
    demo.prepare(tmp_path, PORTS, datetime.now(UTC))
    files = sorted(tmp_path.rglob("*.yaml"))
    assert len(files) == 6
    for file in files:
        assert (file.parent / file.read_text().splitlines()[0].partition("$schema=")[2]).is_file()


def test_preparing_again_makes_new_secrets_and_keeps_the_records(tmp_path: Path) -> None:
    demo.prepare(tmp_path, PORTS, datetime.now(UTC))
    key = (tmp_path / "secrets" / "demo-app.key").read_text()
    content = (tmp_path / "secrets" / "content-key").read_text()
    kept = tmp_path / "var" / "audit" / "record"
    kept.parent.mkdir(parents=True)
    kept.touch()
    demo.prepare(tmp_path, PORTS, datetime.now(UTC))
    assert (tmp_path / "secrets" / "demo-app.key").read_text() != key
    assert (tmp_path / "secrets" / "demo-app.key").stat().st_mode & 0o777 == 0o600
    assert kept.exists()
    assert (tmp_path / "secrets" / "content-key").read_text() == content  # what those records keep can still be opened
    check_compiles(load(tmp_path))


@pytest.mark.parametrize("name", PORTS)
def test_a_port_in_use_is_named_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [f"--{each}-port={port if each == name else 0}" for each in PORTS]
        assert main(["demo", "--dir", str(tmp_path / "demo"), *ports]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"guard: cannot listen on 127.0.0.1:{port}: Address already in use\n")
    assert not (tmp_path / "demo").exists()


def test_what_it_prints_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    printed = demo.what_to_try(tmp_path / "a folder's $name", PORTS, datetime.now(UTC))
    assert "'\"'\"'s $name'" in printed


def test_the_scripted_model_recites_counts_and_greets() -> None:
    def last(content: str) -> str:
        return "".join(script([{"role": "user", "content": content}]))

    assert "FORBIDDEN-MARKER" in last("Please recite")
    assert last("count").startswith("1 2 3 ")
    assert last("anything").startswith("Hello!")
    assert "".join(script([])).startswith("Hello!")


def test_a_directory_that_no_demo_was_set_up_in_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["demo", "--dir", str(tmp_path), *(f"--{name}-port=0" for name in PORTS)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"guard: {tmp_path} is not empty and no demo was set up there")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
