"""``guard coverage``: every path to a model on which a side is not screened in full, and why."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from guard.approval.profiles import with_profiles
from guard.cli.options import add_config
from guard.policy.compile import check_compiles
from guard.policy.config import Config
from guard.policy.coverage import Side, sides
from guard.policy.load import load


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "coverage",
        help="list every path to a model that is not screened in full",
        description="Lists each listener, model, operation and side on which no classifier blocks, also when it "
        "fails. Exit codes: 0 every path is screened in full; 1 some are not; 2 an invalid configuration.",
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="for machines: the paths that are screened in full as well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the listing; 0 all screened, 1 not all."""
    config = with_profiles(load(arguments.config), datetime.now(UTC).timestamp())
    check_compiles(config, secrets=False)
    found = sides(config)
    sys.stdout.write(for_machines(config, found) if arguments.json else for_people(found))
    return 1 if any(side.why for side in found) else 0


def for_machines(config: Config, found: Sequence[Side]) -> str:
    """Return one JSON object; ``why`` is null where a side is screened in full."""
    whole = {
        "digest": config.digest,
        "screened": sum(side.why is None for side in found),
        "sides": [asdict(side) for side in found],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def for_people(found: Sequence[Side]) -> str:
    """Return the text: the gaps, then the count."""
    lines = [
        f"{side.model}: {side.operation} on {side.surface}, {side.target}: {side.why}" for side in found if side.why
    ]
    screened = len(found) - len(lines)
    return "\n".join([*lines, f"{screened} of {len(found)} sides of all paths are screened in full"]) + "\n"
