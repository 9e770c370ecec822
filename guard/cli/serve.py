"""``guard serve``: run the supervisor and its workers."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import packages_distributions

from guard.audit.segments import LedgerError
from guard.cli.options import add_config
from guard.serve import supervisor

OURS = "asl-guard"


def shadowed() -> list[str]:
    """Return the foreign distributions that claim our import packages; files of theirs may stand in place of ours."""
    owners = packages_distributions()
    return sorted({other for name in ("guard", "safeguards") for other in owners.get(name, []) if other != OURS})


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="run the guard")
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    foreign = shadowed()
    if foreign:
        sys.stderr.write(
            f"guard: the installed distribution {', '.join(foreign)} also provides the package guard or safeguards; "
            "its files may have replaced ours. Install asl-guard alone, in an environment of its own.\n"
        )
        return 2
    try:
        return supervisor.main(arguments.config)
    except (LedgerError, ValueError) as problem:
        sys.stderr.write(f"guard: {problem}\n")
        return 1
