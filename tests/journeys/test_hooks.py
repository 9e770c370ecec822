"""Webhooks over real processes: a real Prometheus and Alertmanager stop a real guard, and every sender's form does.

One file, because nearly all of it shares one running guard.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from guard.audit.read import Entry, iter_records
from guard.audit.records import Control
from guard.state.directory import OrderDirectory
from guard.state.issuer import Issuer
from guard.state.orders import Source, StopOrder, issue_resume
from tests.guard.hooks.deliveries import OTHER, SECRET, STANDARD_SECRET, alert, group, hexed
from tests.guard.serve.edge import install
from tests.guard.state.parts import of_a_known_host
from tests.journeys.test_listeners import MUTUAL
from tests.journeys.test_switch import stalls
from tests.parts.alertmanager import Alertmanager
from tests.parts.certificates import Authority
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_process import GuardProcess, wait_until
from tests.parts.prometheus import Prometheus
from tests.parts.raw_caller import RawCaller
from tests.parts.upstream import ScriptedUpstream, says

WORKERS: Final = 2
BEARER: Final = {"authorization": f"Bearer {SECRET}"}
HOOKS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "alerts", "kind": "alertmanager", "field": "guard_scope", "scopes": ["model:demo", "model:other"]},
    {"name": "basic", "kind": "alertmanager", "auth": "basic"},
    {"name": "grafana", "kind": "grafana", "timestamp_header": "X-Grafana-Alerting-Signature-Timestamp"},
    {"name": "duty", "kind": "pagerduty", "field": "event.data.service.id", "values": {"PF9KMXH": "model:demo"}},
    {"name": "chat", "kind": "slack", "scopes": ["model:demo", "all"]},
    {"name": "standard", "kind": "standard-webhooks", "events": ["incident.created"]},
    {"name": "plain", "kind": "generic", "field": "scope"},
)


@dataclass(frozen=True, slots=True)
class Host:
    """A guard with a hook of every kind."""

    guard: GuardProcess
    config: Path
    credentials: Credentials
    upstream: ScriptedUpstream

    @property
    def orders(self) -> OrderDirectory:
        """What was ordered."""
        return OrderDirectory(self.config / "var" / "state")

    def stops(self, hook: str) -> list[StopOrder]:
        """The stops of a hook, oldest first."""
        return sorted(
            (stop for stop in self.orders.snapshot(of_a_known_host).stops if stop.who == f"hook:{hook}"),
            key=lambda s: s.id,
        )

    def post(self, hook: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send one message."""
        url = f"{self.guard.admin_url}/v1/hooks/{hook}"
        return httpx.post(url, content=body, headers=dict(headers), trust_env=False, timeout=30)

    def received(self, hook: str, result: str) -> float:
        """What the metrics say of a hook."""
        found = re.search(
            rf'^guard_hook_received_total{{hook="{hook}",result="{result}"}} ([\d.]+)$',
            self.guard.get("/metrics").text,
            re.MULTILINE,
        )
        assert found is not None, (hook, result)
        return float(found[1])

    def status(self, model: str = "demo") -> tuple[int, str]:
        """The status and code of one request."""
        before, self.upstream.script = self.upstream.script, says("hello")
        try:
            with RawCaller(self.guard.data[1], self.credentials.key) as caller:
                caller.ask(stream=False, model=model)
                answer = caller.answer()
                return answer.status, "" if answer.status == 200 else answer.code
        finally:
            self.upstream.script = before

    def resume(self) -> None:
        """Lift every stop, as a responder does, and wait until it is served again."""
        ids = [stop.id for stop in self.orders.snapshot(of_a_known_host).still_held(0) if isinstance(stop, StopOrder)]
        if ids:
            entropy = os.urandom(10)
            order = issue_resume(ids, reason="over", who="ana", source=Source.CLI, now=time.time(), entropy=entropy)
            self.orders.put(Issuer.open(self.config / "var" / "state").signed(order))
        wait_until(lambda: self.status() == self.status("other") == (200, ""), "both are served again")

    def acts(self, who: str) -> list[Control]:
        """What is on record of somebody."""
        items = iter_records(self.config / "var" / "audit")
        controls = [item.record for item in items if isinstance(item, Entry) and isinstance(item.record, Control)]
        return [each for each in controls if each.who == who]


def configure(directory: Path, upstream: ScriptedUpstream, workers: int = 1) -> Credentials:
    """Two models and a hook of every kind, each with two secrets."""
    models = [ModelSpec(name, upstream=upstream.url) for name in ("demo", "other")]
    credentials = write_configuration(directory, models=models, workers=workers)
    guard = json.loads((directory / "guard.yaml").read_text())
    guard["admin"]["hooks"] = [
        {"scopes": ["model:demo"], **hook, "secrets": secrets(directory, hook)} for hook in HOOKS
    ]
    (directory / "guard.yaml").write_text(json.dumps(guard))
    return credentials


def secrets(directory: Path, hook: Mapping[str, Any]) -> list[dict[str, str]]:
    """The hook's own files of secrets: the one of before, and the one that senders have."""
    texts = {"basic": f"guard:{SECRET}", "standard": STANDARD_SECRET}
    refs = []
    for index, text in enumerate(
        (texts.get(hook["name"], SECRET), f"old:{OTHER}" if hook["name"] == "basic" else None)
    ):
        if text is not None:
            file = directory / "secrets" / f"{hook['name']}-{index}"
            file.write_text(text + "\n")
            file.chmod(0o600)
            refs.append({"file": str(file.relative_to(directory))})
    return refs


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    config = tmp_path_factory.mktemp("hooks")
    with ScriptedUpstream(stalls) as upstream:
        credentials = configure(config, upstream, WORKERS)
        with GuardProcess(config) as guard:
            wait_until(lambda: guard.get("/health/ready").json().get("serving") == WORKERS, "all serve")
            yield Host(guard, config, credentials, upstream)


@pytest.fixture
def host(running: Host) -> Iterator[Host]:
    running.upstream.script = stalls
    yield running
    running.upstream.script = stalls
    running.resume()


def webhook(host: Host) -> dict[str, object]:
    """What deploy/HOOKS.md says to write into alertmanager.yml."""
    return {
        "url": f"{host.guard.admin_url}/v1/hooks/alerts",
        "http_config": {
            "authorization": {"type": "Bearer", "credentials_file": str(host.config / "secrets" / "alerts-0")},
            "follow_redirects": False,
        },
    }


def scraping(folder: Path, host: Host, alertmanager: Alertmanager) -> dict[str, object]:
    """A Prometheus that fires as soon as a stream of the model runs, and tells Alertmanager."""
    rule = {
        "alert": "StreamRuns",
        "expr": 'sum by (model) (guard_requests_in_flight{model="demo"}) > 0',
        "labels": {"guard_scope": "model:{{ $labels.model }}"},
        "annotations": {"summary": "a stream of {{ $labels.model }} runs"},
    }
    rules = folder / "rules.yaml"
    rules.write_text(json.dumps({"groups": [{"name": "test", "rules": [rule]}]}))
    address = host.guard.admin_url.removeprefix("http://")
    return {
        "global": {"scrape_interval": "250ms", "evaluation_interval": "250ms"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "guard", "static_configs": [{"targets": [address]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
    }


def test_an_alert_of_prometheus_cuts_the_stream_it_fires_for_and_fires_anew_after_a_resume(
    host: Host, tmp_path: Path
) -> None:
    with (
        Alertmanager(tmp_path, webhook(host)) as alertmanager,
        Prometheus(tmp_path, scraping(tmp_path, host, alertmanager)),
    ):
        for count in (1, 2):
            with RawCaller(host.guard.data[1], host.credentials.key) as caller:
                caller.ask("stall")
                caller.until(b"one ")
                answer = caller.answer()  # it ends only because it is cut
            assert (answer.status, answer.code, answer.ended) == (200, "stopped", True)
            assert host.status() == (503, "stopped")
            assert host.status("other") == (200, "")
            stops = host.stops("alerts")
            assert len(stops) == count
            assert (str(stops[-1].scope), stops[-1].source) == ("model:demo", Source.WEBHOOK)
            assert stops[-1].reason == "StreamRuns: a stream of demo runs"
            # The alert is over, because the stream was cut; that lifts nothing.
            wait_until(lambda count=count: host.received("alerts", "resolved") >= count, "it is resolved")  # type: ignore[misc]  # bound at once
            assert host.status() == (503, "stopped")
            host.resume()
    assert {act.what for act in host.acts("hook:alerts")} >= {"stop", "hook"}


def test_what_alertmanager_repeats_stops_once_and_not_again_after_a_resume(host: Host, tmp_path: Path) -> None:
    before = len(host.stops("alerts"))
    labels = {"alertname": "Repeated", "guard_scope": "model:other"}
    since = datetime.now(UTC) - timedelta(minutes=5)

    def repeats(more: int) -> None:
        seen = host.received("alerts", "repeated")
        wait_until(lambda: host.received("alerts", "repeated") >= seen + more, "it is sent again")

    with Alertmanager(tmp_path, webhook(host)) as alertmanager:
        alertmanager.fire({"labels": labels, "startsAt": since.isoformat()})
        wait_until(lambda: host.status("other") == (503, "stopped"), "it is stopped")
        repeats(2)
        assert len(host.stops("alerts")) == before + 1
        host.resume()
        repeats(2)  # it fires still, and the person who resumed knew that
        assert host.status("other") == (200, "")
        resolved = host.received("alerts", "resolved")
        now = datetime.now(UTC).isoformat()
        alertmanager.fire({"labels": labels, "startsAt": since.isoformat(), "endsAt": now})
        wait_until(lambda: host.received("alerts", "resolved") > resolved, "it is resolved")
        alertmanager.fire({"labels": labels, "startsAt": datetime.now(UTC).isoformat()})
        wait_until(lambda: host.status("other") == (503, "stopped"), "it is stopped by the new firing")
    assert len(host.stops("alerts")) == before + 2


def grafana(body: bytes) -> dict[str, str]:
    when = str(int(time.time()))
    return {
        "X-Grafana-Alerting-Signature": hexed(when.encode() + b":" + body),
        "X-Grafana-Alerting-Signature-Timestamp": when,
    }


def chat(body: bytes) -> dict[str, str]:
    when = str(int(time.time()))
    signature = "v0=" + hexed(b"v0:" + when.encode() + b":" + body)
    return {
        "X-Slack-Request-Timestamp": when,
        "X-Slack-Signature": signature,
        "content-type": "application/x-www-form-urlencoded",
    }


def standard(body: bytes) -> dict[str, str]:
    when = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"msg_1.{when}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": when,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


INCIDENT: Final = {
    "event": {
        "id": "e1",
        "event_type": "incident.triggered",
        "agent": {"summary": "Ana"},
        "data": {"id": "P1", "title": "harm", "service": {"id": "PF9KMXH"}},
    }
}
COMMAND: Final = {"command": "/stop", "text": "model:demo it lies", "user_id": "U1", "trigger_id": "t1"}
MESSAGES: Final[Mapping[str, tuple[bytes, Callable[[bytes], dict[str, str]], str]]] = {
    "basic": (group(alert("b1")), lambda _: {"authorization": "Basic " + basic()}, "Test: a summary"),
    "grafana": (group(alert("g1")), grafana, "Test: a summary"),
    "duty": (
        json.dumps(INCIDENT).encode(),
        lambda body: {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={hexed(body)}"},
        "P1: harm: by Ana",
    ),
    "chat": (urlencode(COMMAND).encode(), chat, "U1 by /stop: it lies"),
    "standard": (b'{"type": "incident.created", "data": {}}', standard, "incident.created"),
    "plain": (
        b'{"id": "1", "event": "stop", "scope": "model:demo", "reason": "why"}',
        lambda body: {"X-Hub-Signature-256": f"sha256={hexed(body)}"},
        "why",
    ),
}


def basic() -> str:
    return base64.b64encode(f"guard:{SECRET}".encode()).decode()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_of_every_other_sender_stops_and_one_that_is_not_its_own_does_not(name: str, host: Host) -> None:
    body, signed, reason = MESSAGES[name]
    refused = host.received(name, "refused") + host.received(name, "stale")
    for forged in ({}, {**signed(body), **dict.fromkeys(list(signed(body))[:1], "x")}):
        answer = host.post(name, body, forged)
        assert (answer.status_code, answer.json()) == (401, {"error": "the message is not authentic"})
    assert host.received(name, "refused") + host.received(name, "stale") == refused + 2
    assert host.status() == (200, "")
    answer = host.post(name, body, signed(body))
    assert answer.status_code == 200, answer.text
    (stop,) = host.stops(name)
    assert (stop.reason, str(stop.scope)) == (reason, "model:demo")
    if name == "chat":
        said = f"Stopped model:demo (order {stop.id}): applied on {WORKERS}/{WORKERS} workers, 0 streams cut"
        assert answer.json() == {"response_type": "in_channel", "text": said}
    else:
        assert answer.json() == {
            "hook": name,
            "results": [{"result": "stopped", "scope": "model:demo", "order": stop.id}],
            "missing": [],
            "streams_cut": 0,
        }
    assert host.status() == (503, "stopped")
    assert host.status("other") == (200, "")
    host.resume()
    again = host.post(name, body, signed(body))
    assert again.status_code == 200
    assert host.status() == (200, "")
    assert len(host.stops(name)) == 1
    lines = host.guard.lines("hook_refused", who=f"hook:{name}")
    assert len(lines) == 2
    assert SECRET not in json.dumps(host.guard.log)
    wait_until(lambda: [each.what for each in host.acts(f"hook:{name}")] == ["stop", "hook"], "both are on record")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/hooks/nobody", "POST", 404),
        ("/v1/hooks/", "POST", 404),
        ("/v1/hooks/alerts/", "POST", 404),
        ("/v1/hooks/alerts?token=x", "POST", 404),
        ("/v1/hooks/alerts", "GET", 405),
        ("/v1/hooks/alerts", "PUT", 405),
    ],
)
def test_there_is_no_other_address_and_none_redirects(path: str, method: str, status: int, host: Host) -> None:
    answer = httpx.request(method, host.guard.admin_url + path, headers=BEARER, content=group(alert()), trust_env=False)
    assert answer.status_code == status
    assert answer.json() == {"error": "there is no such operation on the admin listener"}
    with RawCaller(host.guard.data[1], SECRET) as caller:
        caller.post(group(alert()), path="/v1/hooks/alerts")
        assert caller.answer().code == "unknown_route"


def test_alertmanager_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    (tmp_path / "config" / "tls").mkdir(parents=True)
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = configure(tmp_path / "config", upstream)
        install(authority.issue("127.0.0.1"), tmp_path / "config" / "tls")
        (tmp_path / "config" / "tls" / "callers.pem").write_bytes(authority.pem.read_bytes())
        document = json.loads((tmp_path / "config" / "guard.yaml").read_text())
        peer = {"auth": "certificate", "peer": "spiffe://example/alerts"}
        hook = {"name": "alerts", "kind": "alertmanager", "scopes": ["model:demo"], **peer}
        document["admin"].update(tls=MUTUAL, hooks=[hook])
        (tmp_path / "config" / "guard.yaml").write_text(json.dumps(document))
        with GuardProcess(tmp_path / "config", ready=False) as guard:
            host = Host(guard, tmp_path / "config", credentials, upstream)
            for name, stops in (("spiffe://example/other", 0), ("spiffe://example/alerts", 1)):
                own = authority.issue(name)
                files = {"ca_file": authority.pem, "cert_file": own.certificate, "key_file": own.key}
                tls = {key: str(file) for key, file in files.items()}
                url = guard.admin_url.replace("http://", "https://") + "/v1/hooks/alerts"
                with Alertmanager(tmp_path, {"url": url, "http_config": {"tls_config": tls}}) as alertmanager:
                    alertmanager.fire({"labels": {"alertname": "Test"}})
                    if stops:
                        wait_until(lambda: len(host.stops("alerts")) == 1, "it is stopped")
                    else:
                        guard.wait_for("hook_refused", reason="the client certificate is not the hook's")
                        assert host.stops("alerts") == []


def test_a_stop_needs_no_disk_for_the_log_and_says_that_it_is_not_on_record(tmp_path: Path) -> None:
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = configure(tmp_path, upstream)
        with GuardProcess(tmp_path) as guard:
            host = Host(guard, tmp_path, credentials, upstream)
            labels = {"guard_scope": "model:none"}
            for index in range(40):  # the log grows beyond what it may be in a moment
                assert host.post("alerts", group(alert(f"f{index}", **labels)), BEARER).status_code == 422
            # Files may no longer grow beyond this, as on a full disk; those of orders are smaller.
            resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            answer = host.post("alerts", group(alert(guard_scope="model:demo")), BEARER)
            assert answer.json()["results"][0]["result"] == "stopped"
            assert host.status() == (503, "stopped")
            guard.wait_for("log_failed")
            # Not even an order can be written: an empty file stops.
            resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            answer = host.post("alerts", group(alert("f2", guard_scope="model:other")), BEARER)
            assert answer.json()["results"] == [
                {"result": "stopped", "scope": "model:other", "order": "file:STOP.model.other"}
            ]
            assert host.status("other") == (503, "stopped")


def test_a_restart_forgets_nothing_that_was_acted_on(tmp_path: Path) -> None:
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = configure(tmp_path, upstream)
        for expected in ("stopped", "repeated"):
            with GuardProcess(tmp_path) as guard:
                host = Host(guard, tmp_path, credentials, upstream)
                answer = host.post("alerts", group(alert(guard_scope="model:demo")), BEARER)
                assert answer.json()["results"][0]["result"] == expected
                host.resume()


def test_a_reload_takes_up_other_hooks_and_other_secrets(tmp_path: Path) -> None:
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = configure(tmp_path, upstream)
        with GuardProcess(tmp_path) as guard:
            host = Host(guard, tmp_path, credentials, upstream)
            token = {"authorization": f"Bearer {credentials.responder}"}
            (tmp_path / "secrets" / "alerts-0").write_text(OTHER)
            reload = httpx.post(f"{guard.admin_url}/v1/reloads", json={}, headers=token, timeout=30, trust_env=False)
            assert reload.status_code == 200, reload.text
            assert host.post("alerts", group(alert()), BEARER).status_code == 401
            assert host.post("alerts", group(alert()), {"authorization": f"Bearer {OTHER}"}).status_code == 200
            document = json.loads((tmp_path / "guard.yaml").read_text())
            document["admin"]["hooks"] = []
            (tmp_path / "guard.yaml").write_text(json.dumps(document))
            reload = httpx.post(f"{guard.admin_url}/v1/reloads", json={}, headers=token, timeout=30, trust_env=False)
            assert reload.status_code == 200, reload.text
            assert host.post("alerts", group(alert()), {"authorization": f"Bearer {OTHER}"}).status_code == 404
