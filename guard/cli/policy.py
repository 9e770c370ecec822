"""``guard policy``: what is known of the policy's own form."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from guard.policy.schema import KINDS, schema, schema_text, write_schemas


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the group."""
    group = commands.add_parser("policy", help="the form of the configuration files")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    parser = verbs.add_parser(
        "schema",
        help="print the JSON Schema of the configuration files, for editors",
        description="Prints the JSON Schema of one kind of file, or of every kind as one object by kind.",
    )
    parser.add_argument("kind", nargs="?", choices=tuple(KINDS), metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write KIND.json of every kind there and print none")
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print or write; 0 done, 1 cannot be written, 2 wrong usage."""
    if arguments.write is not None:
        if arguments.kind is not None:
            arguments.refuse("--write writes every kind: leave KIND out")
        for path in write_schemas(arguments.write):
            sys.stdout.write(f"{path}\n")
    elif arguments.kind is not None:
        sys.stdout.write(schema_text(arguments.kind))
    else:
        every = {kind: schema(kind) for kind in KINDS}
        sys.stdout.write(json.dumps(every, indent=2, ensure_ascii=False) + "\n")
    return 0
