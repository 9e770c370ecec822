"""A witness on another machine: it cosigns while the guard runs, and knows a host that was put back."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from guard.audit.cosigning import log_file
from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

NAME = "witness.example/w1"
CHECKER = Path(__file__).resolve().parents[2] / "deploy" / "check_proof.py"


class WitnessProcess:
    """``guard audit witness`` inside a ``with`` block."""

    def __init__(self, folder: Path, log: Path) -> None:
        """Start it for one log."""
        command = [GUARD, "audit", "witness", "--dir", folder, "--name", NAME, "--log", log, "--port", "0"]
        self.process = subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.key = self.process.stdout.readline().strip()
        found = re.search(r"listening on (\S+) for", self.process.stdout.readline())
        assert found
        self.url = f"http://{found[1]}"
        self._rest = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._rest.start()

    def close(self) -> int:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._rest.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, str, WitnessProcess]]:
    """A configuration with a witness that runs, and the key of its callers."""
    config = tmp_path / "host"
    with ScriptedUpstream(says("words")) as upstream:
        credentials = write_configuration(config, models=[ModelSpec(upstream=upstream.url)])
        with GuardProcess(config):  # the first start makes the log's key
            pass
        done = subprocess.run(
            [GUARD, "audit", "key", "--config", str(config)], capture_output=True, text=True, check=True
        )
        (tmp_path / "log.vkey").write_text(done.stdout)
        witness = WitnessProcess(tmp_path / "witness", tmp_path / "log.vkey")
        (tmp_path / "w.vkey").write_text(witness.key)
        path = config / "guard.yaml"
        content = json.loads(path.read_text())
        content["audit"] = {"witnesses": [{"url": witness.url, "key": witness.key}]}
        path.write_text(json.dumps(content, indent=1))
        yield config, credentials.key, witness
        assert witness.close() == 0


def ask(guard: GuardProcess, key: str) -> str:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask()
        return caller.answer().headers["x-request-id"]


def test_a_request_is_proved_with_the_witness_and_a_host_put_back_is_known(
    host: tuple[Path, str, WitnessProcess], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, key, witness = host
    kept = tmp_path / "kept"
    shutil.copytree(config / "var", kept, ignore=shutil.ignore_patterns("*.sock"))
    proof = tmp_path / "proof.json"
    with GuardProcess(config) as guard:
        asked = ask(guard, key)
        prove = [GUARD, "audit", "prove", asked, "--config", str(config)]
        check = [sys.executable, "-I", "-S", str(CHECKER), str(proof), "--key", str(tmp_path / "log.vkey")]
        check += ["--witness", str(tmp_path / "w.vkey")]

        def witnessed() -> bool:
            proof.write_bytes(subprocess.run(prove, capture_output=True, check=False).stdout)
            return subprocess.run(check, capture_output=True, check=False).returncode == 0

        wait_until(witnessed, "the proof is cosigned")
        assert f'guard_audit_witness_lag_seconds{{witness="{NAME}"}}' in guard.get("/metrics").text
        ours = ["audit", "check-proof", str(proof), "--key", str(tmp_path / "log.vkey")]
        assert main([*ours, "--witness", str(tmp_path / "w.vkey")]) == 0
        assert f"witnessed: {NAME} saw the log with it at 20" in capsys.readouterr().out
    assert main(["audit", "verify", "--config", str(config)]) == 0
    # Everything that the host had is put back, keys and all: on the host itself nothing shows it.
    shutil.rmtree(config / "var")
    shutil.copytree(kept, config / "var")
    assert main(["audit", "verify", "--config", str(config)]) == 0
    (origin,) = re.findall(r"(asl-guard/[0-9a-f]{16})\+", (tmp_path / "log.vkey").read_text())
    head = tmp_path / "head"
    head.write_bytes(httpx.get(f"{witness.url}/{log_file(origin)}/checkpoint", trust_env=False).content)
    capsys.readouterr()
    assert main(["audit", "verify", "--config", str(config), "--from-checkpoint", str(head)]) == 1
    assert "FIRST: fleet" in capsys.readouterr().out
    with GuardProcess(config) as guard:
        line = guard.wait_for("witness_failed", witness=NAME)
        assert "put back" in line["reason"] or "status 422" in line["reason"]
        ask(guard, key)  # the witness's word stops no request


def test_a_witness_that_cannot_begin_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["audit", "witness", "--dir", str(tmp_path), "--name", "two words", "--log", str(tmp_path / "none")]
    assert main(command) == 1
    assert "none: No such file" in capsys.readouterr().err
