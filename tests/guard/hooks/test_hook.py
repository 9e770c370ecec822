"""A hook's secrets are read with the configuration, and what cannot be used is named without being shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from guard.hooks.hook import read_hooks
from guard.policy.load import load
from guard.policy.source import ConfigError
from tests.guard.hooks.deliveries import OTHER, SECRET, STANDARD_SECRET
from tests.parts.configuration import write_configuration


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_configuration(tmp_path)
    return tmp_path


def configure(directory: Path, *secrets: str, **settings: Any) -> None:
    """Write one hook and a file for each of its secrets."""
    refs = []
    for index, secret in enumerate(secrets):
        file = directory / "secrets" / f"hook-{index}"
        file.write_text(secret)
        file.chmod(0o600)
        refs.append({"file": f"secrets/hook-{index}"})
    guard = json.loads((directory / "guard.yaml").read_text())
    hook = {"name": "alerts", "kind": "alertmanager", "scopes": ["all"], "secrets": refs, **settings}
    guard["admin"]["hooks"] = [hook]
    (directory / "guard.yaml").write_text(json.dumps(guard))


def name_everything(directory: Path) -> None:
    """Give the model a release, and its key an owner and an attribute, so that each kind of scope names something."""
    file = directory / "models" / "demo.yaml"
    model = json.loads(file.read_text())
    file.write_text(json.dumps({**model, "release": "2026-05-01"}))
    tiers = json.loads((directory / "tiers.yaml").read_text())
    tiers["attributes"] = {"region": ["eu", "ch"]}
    for key in tiers["keys"]:
        key["owner"], key["attributes"] = "ACME, R&D (Köln)", {"region": "eu"}
    (directory / "tiers.yaml").write_text(json.dumps(tiers))


def test_every_secret_is_read_without_its_line_break(directory: Path) -> None:
    configure(directory, f"{SECRET}\n", OTHER)
    found = read_hooks(load(directory))
    assert found["alerts"].secrets == (SECRET.encode(), OTHER.encode())
    assert found["alerts"].who == "hook:alerts"
    assert read_hooks(load(directory), secrets=False)["alerts"].secrets == ()


@pytest.mark.parametrize("secret", [STANDARD_SECRET, STANDARD_SECRET.removeprefix("whsec_")])
def test_the_key_of_standard_webhooks_is_what_the_text_encodes(secret: str, directory: Path) -> None:
    configure(directory, secret, kind="standard-webhooks", events=["stop"])
    assert read_hooks(load(directory))["alerts"].secrets == (SECRET.encode(),)


@pytest.mark.parametrize(
    ("secret", "settings", "said"),
    [
        ("short", {}, "is shorter than 16 bytes"),
        (f"{SECRET[:12]}", {"kind": "slack"}, "is shorter than 16 bytes"),
        ("no-colon-in-this-secret", {"auth": "basic"}, "must be a user and a password with a colon between them"),
        (f":{SECRET}", {"auth": "basic"}, "must be a user and a password with a colon between them"),
        ("a-very-long-user:short", {"auth": "basic"}, "is shorter than 16 bytes"),
        (
            "whsec_!!!",
            {"kind": "standard-webhooks", "events": ["a"]},
            "must be base64, with or without whsec_ before it",
        ),
        (
            "whsec_" + base64.b64encode(b"short").decode(),
            {"kind": "standard-webhooks", "events": ["a"]},
            "is shorter than 16 bytes",
        ),
        ("", {}, "secrets/hook-0 is empty"),
        ("one\ntwo", {}, "secrets/hook-0 has more than one line or control characters"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    secret: str, settings: dict[str, Any], said: str, directory: Path
) -> None:
    configure(directory, secret, **settings)
    with pytest.raises(ConfigError) as caught:
        read_hooks(load(directory))
    assert str(caught.value) == f"guard.yaml:1: admin.hooks[0].secrets[0]: {said}"


def test_every_wrong_secret_is_named_at_once(directory: Path) -> None:
    configure(directory, "short", SECRET, "also-short")
    (directory / "secrets" / "hook-0").unlink()
    with pytest.raises(ConfigError) as caught:
        read_hooks(load(directory))
    first, second = map(str, caught.value.problems)
    assert first.startswith("guard.yaml:1: admin.hooks[0].secrets[0]: secrets/hook-0 ")
    assert second == "guard.yaml:1: admin.hooks[0].secrets[2]: is shorter than 16 bytes"


EVERY_KIND = [
    "all",
    "level:3",
    "model:demo",
    "version:demo/2026-05-01",
    "tier:general",
    "key:app",
    "org:ACME, R&D (Köln)",
    "operation:chat",
    "capability:tools",
    "attribute:region=eu",
]


def test_a_hook_may_stop_whatever_a_stop_can_name(directory: Path) -> None:
    """Every form of a scope, each of something that there is."""
    configure(directory, SECRET, scopes=EVERY_KIND, field="guard_scope")
    name_everything(directory)
    assert read_hooks(load(directory))["alerts"].settings.scopes == tuple(EVERY_KIND)


@pytest.mark.parametrize("scope", ["version:demo/2020-01-01", "org:Nobody", "attribute:region=us", "key:nobody"])
def test_a_hook_that_may_stop_what_does_not_exist_is_refused(directory: Path, scope: str) -> None:
    configure(directory, SECRET, scopes=[scope])
    name_everything(directory)
    with pytest.raises(ConfigError, match=r"admin\.hooks\[0\]\.scopes\[0\]: there is no .* there are: "):
        load(directory)


@pytest.mark.parametrize("scope", ["moon:full", "level:0", "operation:sing", "version:demo", "org:a\tb", "attribute:x"])
def test_a_scope_that_no_order_can_have_is_refused(directory: Path, scope: str) -> None:
    configure(directory, SECRET, scopes=[scope])
    with pytest.raises(ConfigError, match=r"admin\.hooks\[0\]\.scopes\[0\]: is no scope: "):
        load(directory)
