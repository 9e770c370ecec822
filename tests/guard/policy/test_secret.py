"""Secrets by reference: what is returned, what is refused, and that the secret is in no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.policy.load import read_secret
from guard.policy.model import SecretRef
from guard.policy.secret import read_secret_bytes
from guard.policy.source import ConfigError, Problem


def put(directory: Path, content: bytes, mode: int = 0o600) -> SecretRef:
    path = directory / "pepper"
    path.write_bytes(content)
    path.chmod(mode)
    return SecretRef(file="pepper")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_one_line_break_at_the_end_is_not_part_of_the_secret(tmp_path: Path, ending: bytes) -> None:
    assert read_secret(put(tmp_path, b"pass word" + ending), tmp_path) == "pass word"


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, b"word")
    assert read_secret(SecretRef(file=str(tmp_path / "pepper")), Path("/nowhere")) == "word"


def test_a_variable_is_read_at_the_time_of_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_TEST_PEPPER", "word")
    assert read_secret(SecretRef(env="GUARD_TEST_PEPPER"), tmp_path) == "word"
    monkeypatch.delenv("GUARD_TEST_PEPPER")
    with pytest.raises(ConfigError, match=r"^environment variable GUARD_TEST_PEPPER: is not set$"):
        read_secret(SecretRef(env="GUARD_TEST_PEPPER"), tmp_path)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"hunter2", 0o644, "is open to every user (mode 0644); make it 0600 or 0640"),
        (b"hunter2", 0o602, "is open to every user (mode 0602); make it 0600 or 0640"),
        (b"hunter2\nhunter2", 0o600, "has more than one line or control characters"),
        (b"hunter2\n\n", 0o600, "has more than one line or control characters"),
        (b"hunter2\xff", 0o600, "is not UTF-8"),
        (b"hunter2" * 10_000, 0o600, "is longer than 65536 bytes"),
        (b"\n", 0o640, "is empty"),
    ],
)
def test_a_secret_that_cannot_be_one_is_refused_without_being_quoted(
    tmp_path: Path, content: bytes, mode: int, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_secret(put(tmp_path, content, mode), tmp_path)
    assert str(caught.value) == f"pepper: {words}"
    assert "hunter2" not in repr(caught.value.__cause__) + repr(caught.value)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ConfigError, match=f"^{name}: is not a regular file$"):
            read_secret(SecretRef(file=name), tmp_path)
    with pytest.raises(ConfigError, match=r"^gone: is missing$"):
        read_secret(SecretRef(file="gone"), tmp_path)


def test_bytes_are_returned_as_they_are_however_many_lines(tmp_path: Path) -> None:
    assert read_secret_bytes(put(tmp_path, b"one\ntwo\xff\n"), tmp_path) == b"one\ntwo\xff\n"


@pytest.mark.parametrize(("content", "mode"), [(b"", 0o600), (b"hunter2", 0o644), (b"hunter2" * 10_000, 0o600)])
def test_bytes_are_refused_as_texts_are(tmp_path: Path, content: bytes, mode: int) -> None:
    with pytest.raises(ConfigError) as caught:
        read_secret_bytes(put(tmp_path, content, mode), tmp_path)
    assert "hunter2" not in repr(caught.value)


def test_an_error_names_the_key_that_refers_to_the_secret_when_it_is_told_which(tmp_path: Path) -> None:
    def at(message: str) -> Problem:
        return Problem("guard.yaml", 3, "keys.pepper", message)

    for read in (read_secret, read_secret_bytes):
        with pytest.raises(ConfigError, match=r"^guard\.yaml:3: keys\.pepper: gone is missing$"):
            read(SecretRef(file="gone"), tmp_path, at)
