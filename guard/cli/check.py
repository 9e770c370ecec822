"""``guard check``: every way in which a model falls below the floor of its level, today or on another day."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, date, datetime, time

from guard.cli.options import add_config
from guard.policy.compile import check_compiles
from guard.policy.load import load
from guard.policy.report import report, report_json


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="check a configuration against its standards")
    add_config(parser)
    parser.add_argument("--at", type=_instant, metavar="DATE", help="judge evidence as of this day (UTC)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 fine, 1 below the floor, 2 invalid."""
    config = load(arguments.config)
    check_compiles(config)
    at = arguments.at or datetime.now(UTC)
    text, routable = (report_json if arguments.json else report)(config, at)
    sys.stdout.write(text)
    return 0 if routable else 1


def _instant(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError:
        raise argparse.ArgumentTypeError("a day as YYYY-MM-DD") from None
