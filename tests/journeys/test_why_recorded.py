"""`guard why REQUEST-ID` tells of real requests what their callers got, and by which classifier of which policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.cli import main
from guard.policy.bundle import read_bundle
from guard.state.snapshots import Current, Snapshots
from tests.parts.configuration import ModelSpec, write_configuration, write_people
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import STREAM_HEAD, Gate, ScriptedUpstream, chunk, sends, text


def told(config: Path, request: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    capsys.readouterr()
    asking = ["why", request, "--who", "ana", "--reason", "ticket 4", "--config", str(config)]
    assert main(asking) == 0
    out = capsys.readouterr().out
    assert main([*asking, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return out, found


def test_what_is_told_of_a_request_is_what_its_caller_got(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate()
    script = sends(STREAM_HEAD, chunk(text("so far ")), gate, chunk(text("FORBIDDEN-MARKER and more")))
    with ScriptedUpstream(script) as upstream:
        credentials = write_configuration(tmp_path, models=[ModelSpec(asl=3, upstream=upstream.url)])
        write_people(tmp_path, {"ana": ["responder"]})
        bundle = read_bundle(tmp_path)
        with GuardThread(tmp_path) as guard:
            with RawCaller(guard.port, credentials.key) as caller:
                caller.ask()
                head = caller.until(b"so far ").decode().lower()
                request = head.split("x-request-id: ")[1].split("\r\n")[0]
                out, found = told(tmp_path, request, capsys)
                assert (found["state"], "  no end on record: it is still running\n" in out) == ("running", True)
                assert "  content[0]: 7 characters\n" in out
                gate.open()
                cut = caller.answer()
            guard.quiet()
            with RawCaller(guard.port, credentials.stranger) as caller:
                caller.ask()
                denied = caller.answer()
            guard.quiet()
            out, found = told(tmp_path, request, capsys)
            assert found["records"][-1]["sent_bytes"] == len(cut.body)
            assert f"  {len(cut.body)} bytes in " in out
            assert "  blocked_output with status 200" in out
            assert "  BLOCKED       patterns (answer, enforced," in out
            assert "content_blocked, other, rule marker, classifier test/1\n" in out
            assert "  content[0]: 7 of the 32 characters that came\n" in out
            assert f"  policy {bundle.digest}: the files as they are now\n" in out
            assert "  classifier patterns was test/1\n" in out
            assert "so far" not in out
            assert "kept sealed as content-" in out
            out, _ = told(tmp_path, denied.headers["x-request-id"], capsys)
            assert "  denied with status 403" in out
            assert "  BLOCKED       access (prompt, enforced, " in out
            # The policy of then is told from what the guard keeps of it, once the files have changed.
            snapshots = Snapshots(tmp_path / "var" / "state")
            snapshots.put(bundle.digest, bundle.files)
            snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))
            rules = tmp_path / "rules" / "test.yaml"
            rules.write_text(rules.read_text().replace('"release": "1"', '"release": "2"'))
            out, found = told(tmp_path, request, capsys)
            assert f"  policy {bundle.digest}: kept in {tmp_path / 'var' / 'state' / 'policy' / bundle.digest}\n" in out
            assert found["policy"]["classifiers"] == ["patterns was test/1"]
