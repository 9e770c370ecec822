"""``guard serve``: what keeps it from starting, and that it does not matter from where it is started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from guard.cli import main, serve
from tests.parts.configuration import write_configuration
from tests.parts.guard_process import GuardProcess

MAIN = "import sys; from guard.cli import main; sys.exit(main())"


def foreign(directory: Path, name: str, package: str) -> None:
    """Make the metadata of an installed distribution that provides this package."""
    info = directory / f"{name}-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    (info / "top_level.txt").write_text(f"{package}\n")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n")


@pytest.mark.parametrize(("name", "package"), [("guard", "guard"), ("safeguards", "safeguards"), ("other", "guard")])
def test_another_distribution_with_our_packages_keeps_the_guard_from_starting(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign(tmp_path, name, package)
    assert serve.shadowed() == []
    monkeypatch.syspath_prepend(str(tmp_path))
    assert serve.shadowed() == [name]
    assert main(["serve", "--config", str(tmp_path)]) == 2
    assert f"the installed distribution {name} also provides" in capsys.readouterr().err


def test_an_address_in_use_is_named_and_the_records_of_its_holder_are_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_configuration(tmp_path, admin_port=port)
        assert main(["serve", "--config", str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert said == f"guard: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not (tmp_path / "var").exists()


def test_a_rule_that_cannot_be_compiled_keeps_the_guard_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path, rules=[{"id": "bad", "category": "other", "pattern": "("}])
    assert main(["serve", "--config", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("rules/test.yaml:9: rules[0].pattern: ")


def test_a_log_that_another_guard_writes_keeps_this_one_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    with GuardProcess(tmp_path, ready=False):
        assert main(["serve", "--config", str(tmp_path)]) == 1
        assert "in use by process" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    (tmp_path / "var").write_text("in the way")
    assert main(["serve", "--config", str(tmp_path)]) == 1
    assert str(tmp_path / "var") in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["-P", "-m", "guard"], ["-I", "-m", "guard"], ["-P", "-c", MAIN]], ids=" ".join)
def test_a_relative_configuration_works_from_any_folder_and_storage_lies_beside_it(
    flags: list[str], tmp_path: Path
) -> None:
    write_configuration(tmp_path / "etc" / "guard")
    (tmp_path / "guard").mkdir()  # a folder of our name where it is started must not be taken for ours
    (tmp_path / "guard" / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    process = subprocess.Popen(
        [sys.executable, *flags, "serve", "--config", "etc/guard"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        events = []
        for raw in process.stderr:
            events.append(json.loads(raw)["event"])
            if events[-1] == "worker_started":
                break
        assert "started" in events
        assert (tmp_path / "etc" / "guard" / "var" / "state" / "orders").is_dir()
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert (tmp_path / "etc" / "guard" / "var" / "audit" / "worker-0").is_dir(), err
    assert not (tmp_path / "var").exists()
