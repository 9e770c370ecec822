"""What HOOKS.md says to paste is taken by what it is for: the guard, Alertmanager's and Prometheus's tools, openssl."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from guard.hooks.desk import Result
from guard.hooks.hook import Hook, read_hooks
from guard.hooks.proof import check_signature
from guard.policy.load import load
from guard.policy.model import HookConfig, HookKind
from tests.deploy.expressions import DEPLOY
from tests.guard.hooks.deliveries import NOW, SECRET, STANDARD_SECRET
from tests.parts.configuration import write_configuration
from tests.parts.debian import binary, command, environment
from tests.parts.prometheus import promtool

PAGE = (DEPLOY / "HOOKS.md").read_text()
BLOCKS = re.findall(r"^```(yaml|sh)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OURS = [text for language, text in BLOCKS if language == "yaml" and text.startswith("# guard.yaml, below admin:")]


def beginning(first: str) -> str:
    """The one block that begins so."""
    (found,) = [str(text) for _, text in BLOCKS if text.startswith(first)]
    return found


@pytest.mark.parametrize("text", OURS, ids=lambda text: str(yaml.safe_load(text)["hooks"][0]["name"]))
def test_a_hook_of_the_page_is_a_hook(text: str, tmp_path: Path) -> None:
    write_configuration(tmp_path)
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["admin"].update(yaml.safe_load(text))
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    for hook in guard["admin"]["hooks"]:
        for ref in hook["secrets"]:
            file = tmp_path / ref["file"]
            file.write_text(STANDARD_SECRET if hook["kind"] == "standard-webhooks" else SECRET)
            file.chmod(0o600)
    assert len(read_hooks(load(tmp_path))) == 1


def test_the_page_has_a_hook_of_every_kind() -> None:
    assert {yaml.safe_load(text)["hooks"][0]["kind"] for text in OURS} == set(HookKind)


def test_alertmanager_takes_its_part(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(beginning("# alertmanager.yml"))
    package = "prometheus-alertmanager"
    done = subprocess.run(
        [binary(package, "amtool"), "check-config", file],
        env=environment(package),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 receivers" in done.stdout


def test_prometheus_takes_its_part(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(beginning("# a rule of Prometheus"))
    done = promtool("check", "rules", "--lint-fatal", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_shell_signs_is_authentic(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "hook-monitor").write_text(SECRET + "\n")
    command("openssl", "openssl")
    lines = beginning("BODY=").splitlines()
    script = "\n".join([*lines[:2], 'printf "%s\\n%s" "$SIGNATURE" "$BODY"'])
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    signature, _, body = done.stdout.partition(b"\n")
    (settings,) = yaml.safe_load(next(text for text in OURS if "kind: generic" in text))["hooks"]
    settings = {**settings, "secrets": tuple(settings["secrets"]), "scopes": tuple(settings["scopes"])}
    hook = Hook(HookConfig.model_validate(settings), (SECRET.encode(),))
    check_signature(hook, [(b"x-hub-signature-256", b"sha256=" + signature)], body, NOW)
    assert json.loads(body)["scope"] == "model:demo"


def test_every_result_is_explained_on_the_page_or_in_the_runbook() -> None:
    documents = PAGE + (DEPLOY / "runbooks" / "GuardHookRejected.md").read_text()
    for result in Result:
        assert f"`{result.value}`" in documents
