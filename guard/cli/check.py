"""``guard check``: every way in which a model falls below the floor of its level, today or on another day."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from guard.cli.options import add_at, add_config
from guard.policy.compile import check_compiles
from guard.policy.load import load
from guard.policy.report import report, report_json
from guard.serve.certificates import admin_certificates, surface_certificates


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="check a configuration against its standards")
    add_config(parser)
    add_at(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--without-secrets",
        action="store_true",
        help="read no pepper, credential or private key, nor what is checked with one: for a machine that has none",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 fine, 1 below the floor, 2 invalid."""
    config = load(arguments.config)
    check_compiles(config, secrets=not arguments.without_secrets)
    if not arguments.without_secrets:  # a listener's certificate is judged with its key
        surface_certificates(config)
        admin_certificates(config)
    at = arguments.at or datetime.now(UTC)
    text, routable = (report_json if arguments.json else report)(config, at)
    sys.stdout.write(text)
    return 0 if routable else 1
