"""Certificates are read whole, bounded, once; everything that is wrong with them is told together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from guard.policy.certificates import MAX_BYTES, Certificates, read_certificates
from guard.policy.model import SecretRef, UpstreamTls
from guard.policy.source import ConfigError, Document

PROBLEM = Document("models/demo.yaml", b"", None, {("upstream", "tls"): 7}).problem


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def test_what_is_named_is_read_as_it_stands_and_what_is_not_is_none(tmp_path: Path) -> None:
    for name in ("ca.pem", "own.pem", "own.key"):
        put(tmp_path / name, f"{name}\nof two lines\n".encode())
    own: dict[str, Any] = {"client_certificate": "own.pem", "client_key": SecretRef(file="own.key")}
    ca, certificate, key = (f"{name}\nof two lines\n".encode() for name in ("ca.pem", "own.pem", "own.key"))
    assert read_certificates(UpstreamTls(), tmp_path, PROBLEM) == Certificates()
    assert read_certificates(UpstreamTls(ca="ca.pem"), tmp_path, PROBLEM) == Certificates(ca)
    assert read_certificates(UpstreamTls(**own), tmp_path, PROBLEM) == Certificates(None, certificate, key)
    absolute = UpstreamTls(ca=str(tmp_path / "ca.pem"))
    assert read_certificates(absolute, Path("/nowhere"), PROBLEM) == Certificates(ca)


def test_a_key_can_be_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "own.pem", b"own")
    monkeypatch.setenv("GUARD_TEST_KEY", "first\nsecond\n")
    tls = UpstreamTls(client_certificate="own.pem", client_key=SecretRef(env="GUARD_TEST_KEY"))
    assert read_certificates(tls, tmp_path, PROBLEM).client_key == b"first\nsecond\n"


def test_a_public_certificate_may_be_open_to_all_but_a_key_may_not(tmp_path: Path) -> None:
    put(tmp_path / "own.pem", b"own", 0o644)
    put(tmp_path / "own.key", b"hunter2", 0o644)
    tls = UpstreamTls(client_certificate="own.pem", client_key=SecretRef(file="own.key"))
    with pytest.raises(ConfigError) as caught:
        read_certificates(tls, tmp_path, PROBLEM)
    words = "own.key is open to every user (mode 0644); make it 0600 or 0640"
    assert str(caught.value) == f"models/demo.yaml:7: upstream.tls.client_key: {words}"


def test_everything_unfit_is_told_together(tmp_path: Path) -> None:
    put(tmp_path / "long.pem", b"x" * (MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    put(tmp_path / "empty.key", b"")
    tls = UpstreamTls(ca="long.pem", client_certificate="pipe", client_key=SecretRef(file="empty.key"))
    with pytest.raises(ConfigError) as caught:
        read_certificates(tls, tmp_path, PROBLEM)
    assert str(caught.value).splitlines() == [
        "models/demo.yaml:7: upstream.tls.ca: long.pem is longer than 1048576 bytes",
        "models/demo.yaml:7: upstream.tls.client_certificate: pipe is not a regular file",
        "models/demo.yaml:7: upstream.tls.client_key: empty.key is empty",
    ]


def test_without_secrets_a_key_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "own.pem", b"own")
    tls = UpstreamTls(client_certificate="own.pem", client_key=SecretRef(file="none"))
    assert read_certificates(tls, tmp_path, PROBLEM, secrets=False) == Certificates(None, b"own")
