"""``guard key new`` and ``guard token new``: make a credential, show it once, print its entry."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta

from guard.cli.options import add_config
from guard.credentials import digest, new_secret
from guard.policy.load import load, read_secret
from guard.policy.model import Role

DEFAULT_DAYS = 90


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    for command, who, what in (("key", "--owner", "caller's API key"), ("token", "--person", "admin token")):
        group = commands.add_parser(command, help=f"make a new {what}").add_subparsers(
            dest="action", required=True, metavar="ACTION"
        )
        parser = group.add_parser("new", help=f"make a new {what} and print its entry")
        add_config(parser)
        parser.add_argument("id", help="the name that records will give it")
        parser.add_argument(who, dest="who", required=True, help="who answers for it")
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="how long it holds (default: %(default)s)")
        if command == "key":
            parser.add_argument("--tier", required=True, help="the tier it belongs to")
        else:
            parser.add_argument("--role", choices=[role.value for role in Role], default=Role.RESPONDER.value)
        parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the secret and the entry; nothing is written to the configuration."""
    config = load(arguments.config)
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    secret = new_secret("sk-guard" if arguments.command == "key" else "at-guard", arguments.id, os.urandom)
    expires = (datetime.now(UTC) + timedelta(days=arguments.days)).date()
    if arguments.command == "key":
        place, fields = "tiers.yaml, keys", {"owner": arguments.who, "tier": arguments.tier}
    else:
        place, fields = "guard.yaml, admin.tokens", {"person": arguments.who, "role": arguments.role}
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write(f"The line above is the credential; it is not stored and not shown again. Add to {place}:\n")
    entry = {"id": arguments.id, **fields, "digest": f'"{digest(pepper, secret.encode())}"', "expires": str(expires)}
    lines = [f"{'  - ' if name == 'id' else '    '}{name}: {value}" for name, value in entry.items()]
    sys.stderr.write("\n".join(lines) + "\n")
    return 0
