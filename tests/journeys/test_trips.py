"""A burst of blocked prompts over real processes: the model is down on every worker, and people hear of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.cli import main as guard_command
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Source, StopOrder, issue_resume
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import MARKER, Credentials, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.notice_receiver import Answer, NoticeReceiver
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

WORKERS: Final = 2
WINDOW: Final = 8
SECRET: Final = "/services/T0/B0/this-is-secret"
BAND: Final[dict[str, Any]] = {
    "value": "block_rate",
    "window_seconds": WINDOW,
    "max": 0.5,
    "at_least": 20,
    "then": "step_down",
}


class Host:
    """A guard whose model has a band, its caller, and the chat that is told."""

    def __init__(self, guard: GuardProcess, config: Path, credentials: Credentials, chat: NoticeReceiver) -> None:
        """Take them."""
        self.chat = chat
        self.config = config
        self.guard = guard
        self.credentials = credentials
        self.state = config / "var" / "state"
        self.audit = config / "var" / "audit"

    def ask(self, text: str) -> tuple[int, str]:
        """The status and code of one request over a connection of its own, so that any worker may take it."""
        with RawCaller(self.guard.data[1], self.credentials.key) as caller:
            caller.ask(text, stream=False)
            answer = caller.answer()
            return answer.status, "" if answer.status == 200 else answer.code

    def burst(self, text: str, count: int) -> list[tuple[int, str]]:
        """Many at once."""
        with ThreadPoolExecutor(8) as callers:
            return list(callers.map(self.ask, [text] * count))

    @property
    def stops(self) -> list[StopOrder]:
        """All stops, oldest first."""
        return sorted(OrderDirectory(self.state).snapshot(of_a_known_host).stops, key=lambda stop: stop.id)

    def resume(self) -> None:
        """A person lifts everything."""
        lifts = [stop.id for stop in self.stops]
        order = issue_resume(
            lifts, reason="looked at", who="ana", source=Source.CLI, now=time.time(), entropy=os.urandom(10)
        )
        OrderDirectory(self.state).put(Issuer.open(self.state).signed(order))

    def acts(self, what: str) -> list[Control]:
        """What is on record."""
        items = iter_records(self.audit)
        controls = [item.record for item in items if isinstance(item, Entry) and isinstance(item.record, Control)]
        return [each for each in controls if each.what == what]

    def told(self, since: int = 0) -> list[str]:
        """What the chat heard."""
        return [each.json["text"] for each in self.chat.taken[since:]]

    def figure(self, series: str) -> float | None:
        """A line of the metrics page."""
        found = [line for line in self.guard.get("/metrics").text.splitlines() if line.startswith(series)]
        return float(found[0].split()[-1]) if found else None


def configure(directory: Path, upstream: str, chat: str, deaf: str) -> Credentials:
    """One model with one band, on two workers; a chat is told, and another that never answers."""
    credentials = write_configuration(directory, workers=WORKERS)
    guard = json.loads((directory / "guard.yaml").read_text())
    guard["notify"] = []
    for name, url in (("chat", chat), ("deaf", deaf)):
        secret = directory / "secrets" / name
        secret.write_text(f"{url}{SECRET}\n")
        secret.chmod(0o600)
        told = {"name": name, "kind": "slack", "credential": {"file": f"secrets/{name}"}}
        guard["notify"].append({**told, "on": ["stop", "resume", "incident"]})
    (directory / "guard.yaml").write_text(json.dumps(guard))
    file = directory / "models" / "demo.yaml"
    model = json.loads(file.read_text())
    model["upstream"]["url"] = upstream
    reviewed = str(datetime.now(UTC).date())
    model["response"] = {"max_hours": 48, "trip_from_severity": 3}
    model["monitoring"] = {"bands": [BAND], "reviewed": reviewed, "review_every_days": 30}
    file.write_text(json.dumps(model))
    return credentials


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("trips")
    with (
        ScriptedUpstream(says("hello")) as upstream,
        NoticeReceiver() as chat,
        NoticeReceiver(Answer(None)) as deaf,
    ):
        credentials = configure(config, upstream.url, chat.url, deaf.url)
        with GuardProcess(config) as guard:
            wait_until(lambda: guard.get("/health/ready").json().get("serving") == WORKERS, "all serve")
            yield Host(guard, config, credentials, chat)


def test_a_burst_of_blocked_prompts_takes_the_model_down_once_and_only_people_take_it_up(host: Host) -> None:
    assert set(host.burst("hello", 20)) == {(200, "")}
    assert host.stops == []
    host.burst(f"say {MARKER}", 60)
    wait_until(lambda: len(host.stops) == 1, "the band trips")
    # On both workers: of many new connections none is served.
    wait_until(lambda: set(host.burst("hello", 16)) == {(503, "stopped")}, "every worker obeys")
    (stop,) = host.stops
    assert (stop.who, stop.source, str(stop.scope)) == ("guard", Source.TRIP, "model:demo")
    assert stop.reason.startswith(f"block_rate over {WINDOW} s is 0.")
    assert stop.reason.endswith("above 0.5")
    assert host.figure('guard_trips_total{cause="band",model="demo"}') == 1
    assert host.figure("guard_monitoring_out_of_band{") == 1
    wait_until(lambda: bool(host.acts("value out of its band")), "it is on record")
    assert [act.who for act in host.acts("stop")] == ["guard"]
    wait_until(lambda: len(host.chat.taken) == 1, "the chat is told")
    told = host.chat.taken[0].json["text"]
    assert host.chat.taken[0].path == SECRET
    assert f"stop model:demo by guard; reason: {stop.reason.replace('>', '&gt;')}; applied on 2/2 workers" in told
    assert stop.id in told
    assert MARKER not in told
    # The blocked prompts are still within the window, and do not count again.
    host.resume()
    wait_until(lambda: set(host.burst("hello", 16)) == {(200, "")}, "it is served again")
    wait_until(lambda: host.figure("guard_monitoring_out_of_band{") == 0, "the band is watched anew")
    assert set(host.burst("hello", 30)) == {(200, "")}
    assert len(host.stops) == 1
    wait_until(lambda: len(host.chat.taken) == 2, "the chat is told")
    assert f"resume model:demo (stop) by ana; reason: looked at; lifts {stop.id}" in host.chat.taken[1].json["text"]
    # And it watches on.
    host.burst(f"say {MARKER}", 200)
    wait_until(lambda: len(host.stops) == 2, "another crossing trips again")
    wait_until(lambda: len(host.chat.taken) == 3, "the chat is told")
    assert "is-secret" not in json.dumps(host.guard.log)


def test_a_severe_finding_takes_the_model_down_once_and_the_chat_hears_of_both(host: Host) -> None:
    if host.stops:
        host.resume()
    wait_until(lambda: set(host.burst("hello", 16)) == {(200, "")}, "it is served")
    before, heard = len(host.stops), len(host.chat.taken)
    opening = ["incident", "open", "--model", "demo", "--summary", "words of people", "--config", str(host.config)]
    assert guard_command([*opening, "--severity", "2"]) == 0
    wait_until(lambda: len(host.acts("incident open")) == 1, "it is on record")
    assert guard_command([*opening, "--severity", "3"]) == 0
    wait_until(lambda: set(host.burst("hello", 16)) == {(503, "stopped")}, "every worker obeys")
    stop = host.stops[-1]
    assert (stop.who, stop.source, len(host.stops)) == ("guard", Source.TRIP, before + 1)
    assert stop.reason.endswith(": severity 3")
    wait_until(lambda: len(host.acts("incident step")) == 1, "it is on record")
    host.resume()
    wait_until(lambda: set(host.burst("hello", 16)) == {(200, "")}, "it is served again")
    wait_until(lambda: any(": resume" in text and stop.id in text for text in host.told(heard)), "the chat is told")
    texts = host.told(heard)
    assert sum("incident open" in text for text in texts) == 2
    assert sum(f"reason: {stop.reason}" in text for text in texts) == 1
    assert "words of people" not in "".join(texts)
    assert len(host.stops) == before + 1
