"""A guard has its log stamped by a real authority, and whoever gets a proof learns when it stood from OpenSSL alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guard.audit.timestamps import sizes
from guard.cli import main
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.debian import command
from tests.parts.guard_process import GUARD, GuardProcess, wait_until
from tests.parts.raw_caller import RawCaller
from tests.parts.timestamp_authority import POLICY, Reply, TimestampAuthority
from tests.parts.upstream import ScriptedUpstream, says

CHECKER = Path(__file__).resolve().parents[2] / "deploy" / "check_proof.py"


def configured(base: Path, upstream: str, tsa: TimestampAuthority) -> str:
    """Write a configuration that names the authority; returns the key of its callers."""
    credentials = write_configuration(base, models=[ModelSpec(upstream=upstream)])
    shutil.copy(tsa.pem, base / "tsa.pem")
    path = base / "guard.yaml"
    settings = {"url": tsa.url, "ca": "tsa.pem", "policy": POLICY, "every_seconds": 60, "late_seconds": 120}
    path.write_text(json.dumps({**json.loads(path.read_text()), "audit": {"timestamp": settings}}, indent=1))
    return credentials.key


def ask(guard: GuardProcess, key: str) -> str:
    with RawCaller(guard.data[1], key) as caller:
        caller.ask()
        return caller.answer().headers["x-request-id"]


def test_a_request_is_proved_to_have_stood_when_it_was_stamped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, copy, proof = tmp_path / "host", tmp_path / "copy", tmp_path / "proof.json"
    audit = config / "var" / "audit"
    with ScriptedUpstream(says("words")) as upstream, TimestampAuthority(tmp_path / "tsa") as tsa:
        key = configured(config, upstream.url, tsa)
        tsa.fault = lambda _, __: Reply(hangs=True)
        with GuardProcess(config) as guard:
            asked = ask(guard, key)  # whatever the authority does, no request waits for it
            wait_until(lambda: bool(tsa.asked), "the authority is asked")
            ask(guard, key)

            def sealed() -> bool:
                capsys.readouterr()
                main(["audit", "prove", asked, "--config", str(config)])
                return '"fleet":' in capsys.readouterr().out

            wait_until(sealed, "the records are under a head of the whole host")
        tsa.fault = None
        with GuardProcess(config) as guard:
            wait_until(lambda: bool(sizes(audit)), "a head is stamped")
            wait_until(
                lambda: "\nguard_audit_timestamp_late 0.0" in guard.get("/metrics").text, "the figures are there"
            )
        assert main(["audit", "verify", "--config", str(config)]) == 0  # under the authority that it names itself
        assert "their signatures checked" in capsys.readouterr().out
        shutil.copytree(audit, copy)
        ours = ["--key", str(tmp_path / "log.vkey")]
        told = subprocess.run([GUARD, "audit", "key", "--config", str(config)], capture_output=True, check=True)
        (tmp_path / "log.vkey").write_bytes(told.stdout)
        assert main(["audit", "verify", "--audit", str(copy), *ours, "--timestamp-ca", str(tsa.pem)]) == 0
        said = capsys.readouterr().out
        assert "time stamps: 1, from 20" in said
        assert "their signatures checked" in said
        assert main(["audit", "prove", asked, "--config", str(config)]) == 0
        proof.write_text(capsys.readouterr().out)
        assert main(["audit", "check-proof", str(proof), *ours, "--timestamp-ca", str(tsa.pem)]) == 0
        (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("time-stamped: ")]
        assert "NOT checked" not in line
        assert main(["audit", "check-proof", str(proof), *ours]) == 0
        assert "its signature is NOT checked" in capsys.readouterr().out
        check = [sys.executable, "-I", "-S", str(CHECKER), str(proof), *ours, "--stamps", str(tmp_path / "stamps")]
        lines = subprocess.run(check, capture_output=True, text=True, check=True).stdout.splitlines()
        (words,) = [each.removeprefix("check with: openssl ") for each in lines if each.startswith("check with: ")]
        openssl = [command("openssl", "openssl"), *words.replace("CA.pem", str(tsa.pem)).split()]
        assert subprocess.run(openssl, capture_output=True, check=False).returncode == 0
        other = TimestampAuthority(tmp_path / "other")
        refused = ["--timestamp-ca", str(other.pem)]
        assert main(["audit", "check-proof", str(proof), *ours, *refused]) == 1
        assert "not signed by the authority" in capsys.readouterr().err
        assert main(["audit", "verify", "--audit", str(copy), *ours, *refused]) == 1
        assert main(["audit", "verify", "--audit", str(copy), *ours, "--timestamp-ca", str(proof)]) == 2
        assert "the authority's certificates are not PEM" in capsys.readouterr().err
