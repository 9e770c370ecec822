"""Who acts on this host, by what the kernel says of the process; what the environment says is only told as a claim."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

_LOGIN: Final = Path("/proc/self/loginuid")
_NOBODY: Final = 2**32 - 1  # nobody has logged in: a service, a container
_LONGEST: Final = 64
_CLAIM: Final = 32  # an order holds 128 letters of a name


def who_on_host() -> str:
    """Name the account; for root the one that logged in, where that is known."""
    return person(os.getuid(), _login(), os.environ.get("SUDO_USER", ""))


def person(uid: int, login: int | None, claimed: str) -> str:
    """Name who acts as ``uid``: root by who logged in, else with who ``claimed`` to have called sudo, marked as such.

    Anybody may set a variable, so for other accounts than root it says nothing.
    """
    if uid == 0 and login:
        return f"{_name(login)} (on the host, as root)"
    if uid == 0 and claimed:
        return f"{_name(0)} (on the host, for {claimed[:_CLAIM]} by SUDO_USER)"
    return f"{_name(uid)} (on the host)"


def _login() -> int | None:
    try:
        found = int(_LOGIN.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if found == _NOBODY else found


def _name(uid: int) -> str:
    """Name an account; a container may run as a number that has no name."""
    try:
        return pwd.getpwuid(uid).pw_name[:_LONGEST]
    except (KeyError, OSError):
        return f"uid {uid}"
