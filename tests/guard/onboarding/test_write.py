"""Writing a first configuration."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from guard.credentials import digest
from guard.onboarding.write import OccupiedError, write
from guard.policy.compile import check_compiles
from guard.policy.load import load, read_secret
from guard.policy.source import ConfigError
from tests.guard.onboarding.test_files import setup

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Counting:
    """Randomness that is none: other bytes at each call."""

    def __init__(self) -> None:
        """Begin at one."""
        self._numbers: Iterator[int] = iter(range(1, 200))

    def __call__(self, count: int) -> bytes:
        """So many bytes."""
        return bytes([next(self._numbers)]) * count


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_loads_and_knows_the_two_credentials_by_their_digests(tmp_path: Path) -> None:
    credentials = write(tmp_path / "new" / "config", setup(), NOW, Counting())
    config = load(tmp_path / "new" / "config")
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    (key,), (token,) = config.tiers.keys, config.guard.admin.tokens
    assert key.digest == digest(pepper, credentials.key.encode())
    assert token.digest == digest(pepper, credentials.token.encode())
    assert key.expires == token.expires == date(2027, 2, 21)
    check_compiles(config)  # the key of kept texts is one


def test_no_file_holds_a_credential_and_the_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    credentials = write(tmp_path / "config", setup(credential=True), NOW, Counting(), "upstream-sekret")
    files = {path: path.read_text() for path in (tmp_path / "config").rglob("*") if path.is_file()}
    assert not any(secret in text for text in files.values() for secret in (credentials.key, credentials.token))
    secrets = tmp_path / "config" / "secrets"
    assert [path for path, text in files.items() if "upstream-sekret" in text] == [secrets / "upstream.key"]
    assert permissions(secrets) == 0o700
    assert {permissions(path) for path in secrets.iterdir()} == {0o600}
    assert credentials.key not in repr(credentials)


@pytest.mark.parametrize("there", ["file", "empty", "full", "dangling"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, there: str) -> None:
    target = tmp_path / "config"
    if there == "file":
        target.write_text("mine")
    elif there == "dangling":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        if there == "full":
            (target / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OccupiedError):
        write(target, setup(), NOW, Counting())
    assert sorted(tmp_path.rglob("*")) == before


def test_what_would_not_load_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="port"):
        write(tmp_path / "config", setup(port=99999), NOW, Counting())
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "config"
    randomness = Counting()

    def slow(count: int) -> bytes:
        if count == 8:  # the last that is asked for, after the look
            target.mkdir()
            (target / "mine").write_text("mine")
        return randomness(count)

    with pytest.raises(OSError, match="not empty"):
        write(target, setup(), NOW, slow)
    assert [path.name for path in tmp_path.iterdir()] == ["config"]
    assert (target / "mine").read_text() == "mine"
