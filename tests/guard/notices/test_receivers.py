"""Credentials are read and fit for their kind; an error names the key and none of the secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.notices.forms import Receiver
from guard.notices.receivers import read_receivers
from guard.policy.load import load
from guard.policy.source import ConfigError
from tests.guard.notices.samples import HOOK_PATH
from tests.parts.certificates import Authority
from tests.parts.configuration import write_configuration

GOOD = {
    "grafana": "glsa_token",
    "slack": f"https://hooks.example{HOOK_PATH}",
    "generic": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def configured(directory: Path, kind: str, secret: str, **more: Any) -> Path:
    """A configuration that tells one receiver."""
    write_configuration(directory)
    guard = json.loads((directory / "guard.yaml").read_text())
    to = {"name": "it", "kind": kind, "credential": {"file": "secrets/it"}, "on": ["stop"], **more}
    if kind != "slack":
        to["url"] = "https://x.example/base/"
    guard["notify"] = [to]
    (directory / "guard.yaml").write_text(json.dumps(guard))
    (directory / "secrets" / "it").write_text(secret + "\n")
    (directory / "secrets" / "it").chmod(0o600)
    return directory


@pytest.mark.parametrize("kind", GOOD)
def test_a_receiver_is_read_with_its_credential(kind: str, tmp_path: Path) -> None:
    (found,) = read_receivers(load(configured(tmp_path, kind, GOOD[kind])))
    assert found.name == "it"
    assert (
        found.url
        == {
            "grafana": "https://x.example/base",
            "slack": GOOD["slack"],
            "generic": "https://x.example/base/",
        }[kind]
    )


@pytest.mark.parametrize(
    ("kind", "secret", "words"),
    [
        ("grafana", "two words", "a token"),
        ("slack", "not-an-address", "the address of an incoming webhook"),
        ("slack", "https://hooks.example/x?token=hidden", "the address of an incoming webhook"),
        ("generic", "whsec_%%%hidden", "base64"),
        ("generic", "aGlkZGVu", "shorter than 16"),
    ],
)
def test_a_credential_that_is_none_is_an_error_that_hides_it(
    kind: str, secret: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as wrong:
        read_receivers(load(configured(tmp_path, kind, secret)))
    text = str(wrong.value)
    assert "notify[0].credential" in text
    assert words in text
    assert secret not in text


def test_without_secrets_none_is_read(tmp_path: Path) -> None:
    config = load(configured(tmp_path, "grafana", ""))
    (tmp_path / "secrets" / "it").unlink()
    assert read_receivers(config, secrets=False) == ()
    with pytest.raises(ConfigError):
        read_receivers(config)


def test_the_certificates_that_it_trusts_are_looked_at_before_they_are_needed(tmp_path: Path) -> None:
    directory = configured(tmp_path / "config", "grafana", "token", ca="ca.pem")
    with pytest.raises(ConfigError, match=r"notify\[0\]\.ca"):
        read_receivers(load(directory), secrets=False)
    (directory / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"notify\[0\]\.ca"):
        read_receivers(load(directory), secrets=False)
    (directory / "ca.pem").write_bytes(Authority(tmp_path / "ca").pem.read_bytes())
    assert len(read_receivers(load(directory))) == 1


def test_certificates_renewed_under_the_same_name_make_another_receiver(tmp_path: Path) -> None:
    directory = configured(tmp_path / "config", "grafana", "token", ca="ca.pem")
    found: list[Receiver] = []
    for name in ("one", "one", "two"):
        if not (tmp_path / name).exists():
            (directory / "ca.pem").write_bytes(Authority(tmp_path / name).pem.read_bytes())
        found.extend(read_receivers(load(directory)))
    assert found[0] == found[1] != found[2]
