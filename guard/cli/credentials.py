"""``guard key new`` and ``guard token new``: make a credential, show it once, print its entry."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from guard.cli import emergency
from guard.cli.options import add_config
from guard.credentials import digest, new_secret
from guard.policy.fields import Line, Name
from guard.policy.load import Config, load, read_secret
from guard.policy.model import Role

DEFAULT_DAYS = 90
MOST_DAYS = 3650


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    for command, who, what in (("key", "--owner", "caller's API key"), ("token", "--person", "admin token")):
        group = commands.add_parser(command, help=f"make a new {what}").add_subparsers(
            dest="action", required=True, metavar="ACTION"
        )
        if command == "token":
            emergency.add(group)
        parser = group.add_parser("new", help=f"make a new {what} and print its entry")
        add_config(parser)
        parser.add_argument("id", help="the name that records will give it")
        parser.add_argument(who, dest="who", required=True, help="who answers for it")
        days = f"how long it holds, 1 to {MOST_DAYS} (default: %(default)s)"
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help=days)
        if command == "key":
            parser.add_argument("--tier", required=True, help="the tier it belongs to")
        else:
            parser.add_argument("--role", choices=[role.value for role in Role], default=Role.RESPONDER.value)
        parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the secret and the entry; nothing is written to the configuration."""
    config = load(arguments.config)
    wrong = _wrong(arguments, config)
    if wrong:
        sys.stderr.write(f"guard: {wrong}\n")
        return 2
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    secret = new_secret("sk-guard" if arguments.command == "key" else "at-guard", arguments.id, os.urandom)
    # An entry names the first day on which it does not hold: today counts, and so does the last.
    today = datetime.now(UTC).date()
    expires = today + timedelta(days=arguments.days + 1)
    if arguments.command == "key":
        place, indent, fields = "tiers.yaml, keys", "  ", {"owner": _quoted(arguments.who), "tier": arguments.tier}
    else:
        fields = {"person": _quoted(arguments.who), "role": arguments.role}
        place, indent = "guard.yaml, admin.tokens", "    "
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write(f"The line above is the credential; it is not stored and not shown again. Add to {place}:\n")
    entry = {
        "id": _quoted(arguments.id),
        **fields,
        "digest": f'"{digest(pepper, secret.encode())}"',
        "expires": str(expires),
        **({"issued": str(today)} if arguments.command == "key" else {}),
    }
    lines = [f"{indent}{'- ' if name == 'id' else '  '}{name}: {value}" for name, value in entry.items()]
    sys.stderr.write("\n".join(lines) + "\n")
    return 0


def _wrong(arguments: argparse.Namespace, config: Config) -> str:
    """Say what the entry could not hold, or nothing."""
    taken = config.tiers.keys if arguments.command == "key" else config.guard.admin.tokens
    if not _holds(Name, arguments.id):
        return "ID: lower-case letters, digits, dot, underscore or hyphen, at most 64, beginning with a letter or digit"
    if any(each.id == arguments.id for each in taken):
        return f"ID: {arguments.id} is taken; an entry is replaced by a new one beside it, under another id"
    if not _holds(Line, arguments.who):
        return "who answers for it: 1 to 256 printable characters"
    if arguments.command == "token" and (wrong := _no_such_person(arguments, config)):
        return wrong
    if not 1 <= arguments.days <= MOST_DAYS:
        return f"--days: 1 to {MOST_DAYS}"
    if arguments.command == "key" and arguments.tier not in config.tiers.tiers:
        return f"--tier: there is no such tier; there are: {', '.join(sorted(config.tiers.tiers)) or 'none'}"
    return ""


def _no_such_person(arguments: argparse.Namespace, config: Config) -> str:
    """Say that operators.yaml, where there is one, does not have the person in this role."""
    if config.operators is None:
        return ""
    person = config.operators.person(arguments.who)
    if person is None:
        there = ", ".join(each.id for each in config.operators.persons)
        return f"--person: is the id of nobody in operators.yaml; there are: {there}"
    if Role(arguments.role) not in person.roles:
        return f"--role: is no role of {person.id} in operators.yaml, which says: {', '.join(person.roles)}"
    return ""


def _holds(form: Any, text: str) -> bool:
    try:
        TypeAdapter(form).validate_python(text)
    except ValidationError:
        return False
    return True


def _quoted(text: str) -> str:
    """Write it as YAML that is a text whatever it says."""
    return json.dumps(text, ensure_ascii=False)
