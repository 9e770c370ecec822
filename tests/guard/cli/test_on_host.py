"""Who acted on the host is what the kernel says, and nobody else's name by a variable."""

from __future__ import annotations

import os
import pwd

import pytest

from guard.cli.on_host import person, who_on_host

ROOT = pwd.getpwuid(0).pw_name
DAEMON = pwd.getpwuid(1).pw_name


@pytest.mark.parametrize(
    ("uid", "login", "claimed", "said"),
    [
        (1, None, "", f"{DAEMON} (on the host)"),
        (1, 0, "ceo", f"{DAEMON} (on the host)"),
        (0, None, "", f"{ROOT} (on the host)"),
        (0, 0, "", f"{ROOT} (on the host)"),
        (0, 1, "ceo", f"{DAEMON} (on the host, as root)"),
        (0, None, "dan", f"{ROOT} (on the host, for dan by SUDO_USER)"),
        (4_000_000_000, None, "", "uid 4000000000 (on the host)"),
    ],
)
def test_an_account_is_named_and_a_claim_is_told_as_one(uid: int, login: int | None, claimed: str, said: str) -> None:
    assert person(uid, login, claimed) == said


def test_variables_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ceo")
    monkeypatch.setattr(os, "getuid", lambda: 1)
    monkeypatch.setenv("SUDO_USER", "ceo")
    assert who_on_host() == f"{DAEMON} (on the host)"
