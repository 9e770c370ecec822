"""Who signs resumes in the tests of the admin listener: Ana and Ben may, Vic may not, and nobody knows Eve's key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from guard.policy.ssh_key import KeyKind
from tests.parts.configuration import write_operators
from tests.parts.ssh_keys import SoftKey, soft_key

KEYS: Final[dict[str, SoftKey]] = {
    name: soft_key(KeyKind.ED25519, number) for number, name in enumerate(("ana", "ben", "vic", "eve"), 70)
}


def write_signers(directory: Path) -> None:
    """Write operators.yaml."""
    roles = {"ana": "approver", "ben": "approver", "vic": "viewer"}
    write_operators(
        directory,
        [
            {"id": name, "name": name.title(), "roles": [role], "keys": [KEYS[name].line], "expires": "2099-01-01"}
            for name, role in roles.items()
        ],
    )


def signed(statement: str, *names: str) -> str:
    """The signatures of these people, one below the other."""
    return "".join(KEYS[name].sign(statement.encode()).decode() for name in names)
