"""Every question of the dashboard gets an answer from a real Prometheus that scrapes a real guard after real traffic.

The guard runs the configuration of the compose file, in front of a real inference server.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from guard.credentials import digest, new_secret
from tests.deploy.expressions import DEPLOY, Expression, of_alerts, of_annotations, of_panels, variables
from tests.parts.debian import Server
from tests.parts.llama import LlamaServer
from tests.parts.ports import free_port
from tests.parts.prometheus import Prometheus

GUARD = Path(sys.executable).with_name("guard")
CONFIG = DEPLOY / "compose" / "config"
LATEST = 30.0
EVERY = 1000  # milliseconds: on a busy machine a page may take a good part of a second
STEP = 0.5  # seconds: less than the time between two scrapes, so that no state is stepped over


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, since when (seconds since the epoch), and how many answers were kept back in the traffic."""

    directory: Path
    url: str
    key: str
    prometheus: Prometheus
    began: float
    cut: int = 0

    def ask(self, content: str, *, stream: bool = True, key: str | None = None) -> httpx.Response:
        """Ask and wait for the whole answer."""
        with self.asking(content, stream=stream, key=key) as answer:
            answer.read()
            return answer

    def asking(
        self, content: str, *, stream: bool = True, key: str | None = None
    ) -> AbstractContextManager[httpx.Response]:
        """Ask and read the answer as it comes."""
        body = {"model": "llama", "stream": stream, "messages": [{"role": "user", "content": content}]}
        return httpx.stream(
            "POST",
            f"{self.url}/v1/chat/completions",
            json={**body, "max_tokens": 100_000},
            headers={"authorization": f"Bearer {key or self.key}"},
            timeout=LATEST,
            trust_env=False,
        )

    def guard(self, *arguments: str) -> str:
        """Run a command on this configuration, which must succeed; returns what it says."""
        command = [str(GUARD), *arguments, "--config", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LATEST)
        assert done.returncode == 0, done.stderr
        return done.stdout


def configured(directory: Path, upstream: str, data: int, admin: int) -> str:
    """Copy the configuration of the compose file with this machine's addresses and one key; returns the key."""
    shutil.copytree(CONFIG, directory)
    pepper = os.urandom(32).hex()
    (directory / "pepper").write_text(pepper)
    (directory / "pepper").chmod(0o600)
    (directory / "content-key").write_text(os.urandom(32).hex())
    (directory / "content-key").chmod(0o600)
    key = new_secret("sk-guard", "tests", os.urandom)
    stored = digest(pepper.encode(), key.encode())
    entry = f'keys: [{{id: tests, owner: tests, tier: general, digest: "{stored}", expires: 2999-01-01}}]'
    for name, changes in {
        "guard.yaml": {
            "host: 172.30.81.2": "host: 127.0.0.1",
            "port: 8080": f"port: {data}",
            "host: 172.30.82.2": "host: 127.0.0.1",
            "port: 9090": f"port: {admin}",
            "/run/secrets/pepper": "pepper",
            "/run/secrets/content_key": "content-key",
            "/var/lib/guard/": "var/",
        },
        "tiers.yaml": {"keys: []": entry},
        "models/llama.yaml": {
            "http://llama:8080": upstream,
            "model: llama\n  first": "model: tiny\n  first",
            "at_least: 100": "at_least: 1",
        },
        "evidence/llama.yaml": {
            "issued: 2026-11-01": f"issued: {time.strftime('%Y-%m-%d', time.gmtime(time.time() - 86_400))}",
            "expires: 2027-11-01": f"expires: {time.strftime('%Y-%m-%d', time.gmtime(time.time() + 86_400 * 60))}",
        },
    }.items():
        text = (directory / name).read_text()
        for old, new in changes.items():
            assert old in text, f"{name} no longer has {old!r}"
            text = text.replace(old, new)
        (directory / name).write_text(text)
    with (directory / "guard.yaml").open("a") as file:
        file.write("fleet: {engine: folder, replica: one, folder: var/fleet}\n")
    return key


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    directory = folder / "config"
    data, admin = free_port(), free_port()
    targets = {"guard": [f"127.0.0.1:{admin}"]}
    with LlamaServer(folder) as llama:
        key = configured(directory, llama.url, data, admin)
        serving = Server(
            [str(GUARD), "serve", "--config", str(directory)],
            url=f"http://127.0.0.1:{admin}",
            ready="/health/ready",
            log=folder / "guard.log",
        )
        with serving, Prometheus(folder, targets=targets, every=EVERY) as prometheus:
            prometheus.wait_for('guard_requests_total{job="guard"}', LATEST)
            running = Stack(directory, f"http://127.0.0.1:{data}", key, prometheus, time.time())
            cut = make_traffic(running)
            yield replace(running, cut=cut)


def make_traffic(stack: Stack) -> int:
    """Everything that the dashboard shows, once; returns how many answers were kept back."""
    assert stack.ask("Say hello").text.endswith("data: [DONE]\n\n")
    assert stack.ask("Say hello", stream=False).json()["usage"]["completion_tokens"]
    assert stack.ask("What is FORBIDDEN-MARKER?").json()["error"]["code"] == "content_blocked"
    # On a busy machine the marker may come together with the first text; then it is a plain refusal and tried again.
    tries, cut = next(
        (tries, text) for tries in range(1, 21) if "content_filter" in (text := stack.ask("script:marker").text)
    )
    assert "MARKER" not in cut
    assert stack.ask("Say hello", key="sk-guard-nobody").status_code == httpx.codes.UNAUTHORIZED
    with stack.asking("script:endless") as answer:
        pieces = answer.iter_raw()
        assert next(pieces)
        stack.prometheus.wait_for('guard_streams_open{model="llama"} == 1', LATEST)
        assert "1/1 workers" in stack.guard("stop", "model:llama", "--reason", "a test")
        with suppress(httpx.ReadError):  # nobody read meanwhile: of a stopped answer such a caller is not sent the rest
            for _ in pieces:
                pass
    stack.prometheus.wait_for('guard_kill_switch_engaged{scope="model", subject="llama"} == 1', LATEST)
    stack.prometheus.wait_for('guard_requests_total{outcome="stopped"} == 1', LATEST)
    stack.guard("resume", "model:llama", "--reason", "tried")
    stack.prometheus.wait_for("guard_kill_switch_orders == 0", LATEST)
    assert stack.ask("Say hello").status_code == httpx.codes.OK
    stack.guard("drill")
    return tries


def filled_in(text: str) -> str:
    """What Grafana asks when every job and model is chosen; Prometheus scrapes every second here."""
    for name, value in {"$job": "guard", "$model": "llama", "$__rate_interval": "4s", "$__range": "1m"}.items():
        text = text.replace(name, value)
    assert "$" not in text
    return text


def numbers(stack: Stack, expression: str) -> list[float]:
    """The finite values of all series since the traffic began."""
    series = stack.prometheus.query_range(filled_in(expression), stack.began, time.time(), STEP)
    values = [float(value) for one in series for _, value in one["values"]]
    return [value for value in values if math.isfinite(value)]


@pytest.mark.parametrize("expression", [*of_panels(), *of_annotations()], ids=lambda each: each.place)
def test_a_question_of_the_dashboard_is_answered_with_numbers(stack: Stack, expression: Expression) -> None:
    deadline = time.monotonic() + LATEST
    while not (found := numbers(stack, expression.text)) and time.monotonic() < deadline:
        time.sleep(0.25)
    assert found, "no series, or no number in it"


@pytest.mark.parametrize("name", list(variables()))
def test_a_variable_has_values_to_choose_from(stack: Stack, name: str) -> None:
    series, label = variables()[name]
    found = {sample["metric"].get(label) for sample in stack.prometheus.query(filled_in(series.text))}
    assert found == {{"job": "guard", "model": "llama"}[name]}


@pytest.mark.parametrize(
    ("title", "values"),
    [
        ("Unscanned exchanges", {0.0}),
        ("Meets its standard", {1.0}),
        ("Stopped", {0.0, 1.0}),
        ("Stop orders in force, per worker", {0.0, 1.0}),
        ("Guards and workers", {1.0}),
        ("Records lost", {0.0}),
    ],
)
def test_a_panel_shows_what_happened(stack: Stack, title: str, values: set[float]) -> None:
    (expression, *_) = [each for each in of_panels() if each.place.startswith(f"panel {title},")]
    assert set(numbers(stack, expression.text)) == values


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("guard_requests_total", {"served": 3, "blocked_input": 1, "blocked_output": None, "stopped": 1}),
        ("guard_refusals_total", {"unauthenticated": 1}),
    ],
)
def test_the_traffic_is_counted_as_it_was(stack: Stack, metric: str, values: dict[str, int | None]) -> None:
    label = {"guard_requests_total": "outcome", "guard_refusals_total": "code"}[metric]
    stack.prometheus.wait_for('guard_requests_total{model="llama", outcome="served"} == 3', LATEST)
    # The drill's own requests are those of another model.
    found = stack.prometheus.query(f'sum by ({label}) ({metric}{{model!="guard-selftest"}}) > 0')
    assert {sample["metric"][label]: int(sample["value"][1]) for sample in found} == {
        name: stack.cut if count is None else count for name, count in values.items()
    }


@pytest.mark.parametrize("expression", list(of_alerts()), ids=lambda each: each.place)
def test_only_the_stop_would_have_alerted(stack: Stack, expression: Expression) -> None:
    fired = stack.prometheus.query_range(expression.text, stack.began, time.time(), STEP)
    assert bool(fired) is (expression.place == "alert GuardKillSwitchEngaged")
