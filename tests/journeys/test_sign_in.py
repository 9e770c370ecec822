"""Signing in and emergency tokens over a real guard: what is recorded, what is counted, what a reload takes away.

One file, because all of it shares one running guard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.admin.emergency import stored
from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.cli import main
from tests.parts.configuration import Credentials, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until

ENVELOPE = "et-guard-envelope-0123456789"
HEADER = "x-forwarded-email"
NAMED = {HEADER: "ana@example.com"}
PERSON = {"name": "ana@example.com", "person": "Ana by proxy", "role": "responder", "expires": "2999-01-01"}
TOKEN = {"id": "envelope-1", "holder": "Envelope 1", "owner": "Ana", "sha256": stored(ENVELOPE.encode())}


@dataclass(frozen=True, slots=True)
class Host:
    """A running guard that trusts a proxy on the loopback and knows an envelope."""

    guard: GuardProcess
    config: Path
    credentials: Credentials

    @contextmanager
    def browser(self, **headers: str) -> Iterator[httpx.Client]:
        """One browser, which keeps its cookies."""
        with httpx.Client(
            base_url=self.guard.admin_url, headers=headers, trust_env=False, timeout=30, follow_redirects=True
        ) as client:
            yield client

    def reload(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change guard.yaml and wait until it is in force."""
        file = self.config / "guard.yaml"
        settings = json.loads(file.read_text())
        change(settings["admin"])
        file.write_text(json.dumps(settings))
        assert main(["reload", "--config", str(self.config)]) == 0

    def acts(self) -> list[tuple[str, str]]:
        """Who did what, by the supervisor's record."""
        found = iter_records(self.config / "var" / "audit")
        records = [each.record for each in found if isinstance(each, Entry)]
        return [(each.who, each.what) for each in records if isinstance(each, Control)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("sign-in")
    credentials = write_configuration(config)
    file = config / "guard.yaml"
    settings = json.loads(file.read_text())
    settings["admin"]["proxy"] = {"header": HEADER, "peers": ["127.0.0.1"], "people": [PERSON]}
    settings["admin"]["emergency_tokens"] = [{**TOKEN, "expires": "2999-01-01"}]
    file.write_text(json.dumps(settings))
    with GuardProcess(config) as guard:
        yield Host(guard, config, credentials)


def test_an_emergency_token_stops_by_form_and_by_command_and_is_counted_and_recorded(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with host.browser() as browser:
        page = browser.post("/control/emergency", data={"token": ENVELOPE, "scope": "model:demo", "reason": "Eve"})
    assert "Obeyed by 1 of 1 workers" in page.text
    (tmp_path / "envelope.token").write_text(ENVELOPE + "\n")
    (tmp_path / "envelope.token").chmod(0o600)
    token = ["--admin", host.guard.admin_url, "--token-file", str(tmp_path / "envelope.token")]
    assert main(["stop", "model:demo", *token]) == 0
    assert "applied on 1/1 workers" in capsys.readouterr().out
    assert main(["resume", "model:demo", "--reason", "x", *token]) == 4
    assert "guard_emergency_tokens_used_total 2.0" in host.guard.get("/metrics").text
    assert host.guard.wait_for("emergency_token")["who"] == "Envelope 1 (emergency token, Ana)"
    wait_until(lambda: host.acts().count(("Envelope 1 (emergency token, Ana)", "stop")) == 2, "both are on record")


def test_whom_the_proxy_names_is_on_record_and_loses_the_session_with_the_pin(host: Host) -> None:
    with host.browser(**NAMED) as browser:
        assert "Ana by proxy" in browser.post("/control/sign-in/proxy", data={"onward": "/control"}).text
        assert ("Ana by proxy", "sign in") in host.acts()
        host.reload(lambda admin: admin["proxy"].update(peers=["10.0.0.7"]))
        refused = browser.get("/control")
        assert refused.status_code == 403
        assert "Sign out" not in refused.text
        assert ("guard", "forged header") in host.acts()
        assert host.guard.lines("admin_refused", reason=f"{HEADER} from 127.0.0.1 (no certificate)")
        host.reload(lambda admin: admin.update(proxy=None))
        assert "Sign out" not in browser.get("/control").text


def test_a_session_ends_when_its_token_is_taken_out_of_the_files(host: Host) -> None:
    with host.browser() as browser:
        page = browser.post("/control/sign-in", data={"token": host.credentials.viewer, "onward": "/control"})
        assert "the viewer" in page.text
        with browser.stream("GET", "/control/events") as events:
            lines = events.iter_lines()
            assert "event: changed" in (next(lines) for _ in range(4))
            host.reload(lambda admin: admin["tokens"].pop())
            assert any(line == "event: over" for line in lines)
        assert "Your token" in browser.get("/control").text
