"""Whose time stamps count is read before the guard begins, and what is wrong with it is told with its place."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.necessary import lacking
from guard.policy.source import ConfigError
from guard.policy.timestamp_ca import MAX_BYTES, read_timestamp_ca
from tests.parts.certificates import Authority
from tests.parts.configuration import write_configuration


def configured(base: Path, content: bytes | None) -> Config:
    write_configuration(base)
    guard = json.loads((base / "guard.yaml").read_text())
    guard["audit"] = {"timestamp": {"url": "http://127.0.0.1:9/", "ca": "tsa.pem"}}
    (base / "guard.yaml").write_text(json.dumps(guard, indent=1))
    if content is not None:
        (base / "tsa.pem").write_bytes(content)
    return load(base)


def test_the_certificates_are_read_as_they_are(tmp_path: Path) -> None:
    one, two = (Authority(tmp_path / name).pem.read_bytes() for name in ("one", "two"))
    config = configured(tmp_path, one + two)
    assert read_timestamp_ca(config) == one + two
    assert list(lacking(config)) == []


def test_where_nobody_is_named_nothing_is_read(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    assert read_timestamp_ca(load(tmp_path)) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "tsa.pem is missing"),
        (b"", "tsa.pem holds no certificates in PEM"),
        (b"FORBIDDEN-MARKER", "tsa.pem holds no certificates in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "tsa.pem holds no certificates in PEM"),
        (bytes(MAX_BYTES + 1), "tsa.pem holds no certificates in PEM"),
    ],
)
def test_what_is_no_certificate_is_told_with_its_place_and_not_quoted(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    config = configured(tmp_path, content)
    with pytest.raises(ConfigError, match=rf"^guard\.yaml:[1-9][0-9]*: audit\.timestamp\.ca: {words}$"):
        read_timestamp_ca(config)
    assert [problem.message for problem in lacking(config)] == [words]


def test_without_the_extra_the_guard_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, Authority(tmp_path / "one").pem.read_bytes())
    monkeypatch.setattr("guard.policy.timestamp_ca.find_spec", lambda _: None)
    assert importlib.util.find_spec("rfc3161_client") is not None
    (problem,) = lacking(config)
    assert (problem.path, problem.message) == (
        "audit.timestamp",
        "needs the extra timestamp: pip install 'asl-guard[timestamp]'",
    )
