"""``guard token emergency``: make a token that only stops, show it once, print its entry."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from guard.admin.emergency import PREFIX, stored
from guard.credentials import new_secret
from guard.policy.sign_in import EmergencyToken

DEFAULT_DAYS = 366
MOST_DAYS = 3650


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser("emergency", help="make a token that only stops, and print its entry")
    parser.add_argument("id", help="the name that records will give it")
    parser.add_argument("--holder", required=True, help="the person who gets it, or the envelope and where it lies")
    parser.add_argument("--owner", required=True, help="the person who answers for it")
    days = f"how long it holds, 1 to {MOST_DAYS} (default: %(default)s)"
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help=days)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the secret and the entry; it needs no configuration, and nothing is written."""
    if not 1 <= arguments.days <= MOST_DAYS:
        sys.stderr.write(f"guard: --days: 1 to {MOST_DAYS}\n")
        return 2
    secret = new_secret(PREFIX, arguments.id, os.urandom)
    expires = datetime.now(UTC).date() + timedelta(days=arguments.days + 1)
    entry = {
        "id": arguments.id,
        "holder": arguments.holder,
        "owner": arguments.owner,
        "sha256": stored(secret.encode()),
        "expires": str(expires),
    }
    try:
        EmergencyToken.model_validate(entry)
    except ValidationError as wrong:
        places = ", ".join(str(each["loc"][0]) for each in wrong.errors())
        sys.stderr.write(f"guard: {places}: not what the entry may hold; see config/REFERENCE.md\n")
        return 2
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write("The line above is the token; it is not stored and not shown again. Add to guard.yaml, ")
    sys.stderr.write("admin.emergency_tokens:\n")
    values = {**{name: json.dumps(value, ensure_ascii=False) for name, value in entry.items()}, "expires": str(expires)}
    lines = [f"    {'- ' if name == 'id' else '  '}{name}: {value}" for name, value in values.items()]
    sys.stderr.write("\n".join(lines) + "\n")
    return 0
