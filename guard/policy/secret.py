"""Reading a secret that the configuration refers to; its text appears in no error."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from guard.policy.file import UnreadableError, read_regular
from guard.policy.secret_ref import SecretRef
from guard.policy.source import ConfigError, Problem

MAX_BYTES = 65_536

At = Callable[[str], Problem]  # puts words about a secret at the key that refers to it


def read_secret(ref: SecretRef, directory: Path, at: At | None = None) -> str:
    """Return the text behind a reference, without one line break at its end; ``directory`` is the configuration's.

    Raises ConfigError naming the file or variable: missing, unreadable, not a regular file, readable or writable by
    everybody, empty, longer than 64 KiB, not UTF-8, or of more than one line. ``at`` makes the error name the key that
    refers to it as well. An environment variable is visible to every process of the same user; prefer a file.
    """
    place, content = _read(ref, directory, at)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused(place, "is not UTF-8", at) from None
    text = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise _refused(place, "is empty", at)
    if not text.isprintable():
        raise _refused(place, "has more than one line or control characters", at)
    return text


def read_secret_bytes(ref: SecretRef, directory: Path, at: At | None = None) -> bytes:
    """Return the content behind a reference as it is, such as a private key of many lines; otherwise `read_secret`."""
    place, content = _read(ref, directory, at)
    if not content:
        raise _refused(place, "is empty", at)
    return content


def _read(ref: SecretRef, directory: Path, at: At | None) -> tuple[str, bytes]:
    if ref.env is not None:
        place = f"environment variable {ref.env}"
        value = os.environ.get(ref.env)
        if value is None:
            raise _refused(place, "is not set", at)
        content = os.fsencode(value)
    else:
        place = ref.file or ""
        try:
            content, mode = read_regular(directory / place, MAX_BYTES)
        except UnreadableError as error:
            raise _refused(place, str(error), at) from None
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise _refused(place, f"is open to every user (mode {mode:04o}); make it 0600 or 0640", at)
    if len(content) > MAX_BYTES:
        raise _refused(place, f"is longer than {MAX_BYTES} bytes", at)
    return place, content


def _refused(place: str, message: str, at: At | None) -> ConfigError:
    return ConfigError([Problem(place, 0, "", message) if at is None else at(f"{place} {message}")])
