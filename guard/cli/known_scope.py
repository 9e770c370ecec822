"""Whether there is what a stop names: by the files, and where they do not know it, by the policy in force here.

The files on this disk may be older or newer than what is served, and neither may stand in the way of a stop.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from guard.admin.switchboard import served_by
from guard.cli.in_force import policy_in_force
from guard.policy.config import Config
from guard.state.scope import Scope
from guard.state.served import UnknownScopeError

LOOK_SECONDS: Final = 2.0


def why_unknown(scope: Scope, config: Config) -> str:
    """Say why this scope would stop nothing; empty where there is such a thing, or where that cannot be known."""
    try:
        served_by(config).require(scope)
    except UnknownScopeError:
        found: list[str] = []
        # In a thread that ends with the process: a state folder that hangs must not hold up a stop.
        look = threading.Thread(target=_look, args=(scope, config, found), daemon=True)
        look.start()
        look.join(LOOK_SECONDS)
        return found[0] if found else ""
    return ""


def _look(scope: Scope, config: Config, found: list[str]) -> None:
    with suppress(Exception):  # whatever is wrong there: what cannot be known is no reason to refuse
        served = policy_in_force(config.directory)[0]  # raises where what is in force is gone, or damaged
        try:
            served_by(served).require(scope)
        except UnknownScopeError as problem:
            found.append(str(problem))
