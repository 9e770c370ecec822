"""``guard check``: every way in which a model falls below the floor of its level, today or on another day."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from guard.approval.profiles import with_profiles
from guard.cli.in_force import warn
from guard.cli.options import add_at, add_config
from guard.hooks.hook import read_hooks
from guard.notices.receivers import read_receivers
from guard.policy.compile import check_compiles
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.report import report, report_json
from guard.policy.sarif import sarif, sarif_invalid
from guard.policy.source import ConfigError
from guard.serve.certificates import admin_certificates, surface_certificates


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="check a configuration against its standards")
    add_config(parser)
    add_at(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for machines")
    form.add_argument("--sarif", action="store_true", help="for code hosts and editors: SARIF 2.1.0, also if invalid")
    parser.add_argument(
        "--without-secrets",
        action="store_true",
        help="read no pepper, credential or private key, nor what is checked with one: for a machine that has none",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 fine, 1 below the floor, 2 invalid."""
    try:
        config = _checked(arguments)
    except ConfigError as error:
        if arguments.sarif:
            sys.stdout.write(sarif_invalid(arguments.config, error.problems))
        raise
    warn(config)
    at = arguments.at or datetime.now(UTC)
    text, routable = (sarif if arguments.sarif else report_json if arguments.json else report)(config, at)
    sys.stdout.write(text)
    return 0 if routable else 1


def _checked(arguments: argparse.Namespace) -> Config:
    config = with_profiles(load(arguments.config), datetime.now(UTC).timestamp())
    check_compiles(config, secrets=not arguments.without_secrets)
    read_hooks(config, secrets=not arguments.without_secrets)
    read_receivers(config, secrets=not arguments.without_secrets)
    if not arguments.without_secrets:  # a listener's certificate is judged with its key
        surface_certificates(config)
        admin_certificates(config)
    return config
