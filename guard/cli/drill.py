"""``guard drill``: stop the self-test model once, as somebody would stop any other, and see every worker obey."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from typing import Final

from guard.cli.in_force import policy_in_force
from guard.cli.options import add_config, state_of
from guard.cli.switch import fail, out, who_on_host
from guard.clock import SystemClock
from guard.drills.drill import Ground, drill_stop
from guard.drills.folder import BusyError
from guard.drills.result import Result
from guard.drills.ways import Bench
from guard.policy.config import Config
from guard.policy.drills import DrillConfig, DrillPath
from guard.resuming import ResumeJudge
from guard.state.acknowledgements import living

FAILED: Final = 1
SKIPPED: Final = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "drill",
        help="see that a stop still stops, on a model of the guard's own",
        description="Begins a stream of harmless text on every worker of this host, stops it, sees it end and a new "
        "request refused, lifts the stop, and is served again. No model of yours is touched. Exit codes: 0 every "
        "worker did; 1 one did not, or a drill is under way; 3 something is stopped already, so nothing was tried.",
    )
    parser.add_argument(
        "--path",
        type=DrillPath,
        choices=list(DrillPath),
        help="order: an order file, as `guard stop` writes on the host; admin: the admin API; file: a STOP file "
        "(default: one of `drills.paths` of guard.yaml, by chance)",
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    add_config(parser)
    parser.set_defaults(run=_drill)


def _drill(arguments: argparse.Namespace) -> int:
    config, _ = policy_in_force(arguments.config)
    state = state_of(config.directory, config.guard)
    if not state.exists() or not living(state):
        return fail("no guard runs here: there is no worker to drill", FAILED)
    settings = config.guard.drills or DrillConfig()
    path = arguments.path or secrets.choice(settings.paths)
    try:
        result = asyncio.run(drill_stop(ground_of(config), path))
    except BusyError as busy:
        return fail(str(busy), FAILED)
    if arguments.json:
        sys.stdout.write(json.dumps(_fields(result), indent=2) + "\n")
    else:
        _print(result)
    return SKIPPED if result.skipped else 0 if result.succeeded else FAILED


def ground_of(config: Config) -> Ground:
    """Return this host as drills find it."""
    state = state_of(config.directory, config.guard)
    judge = ResumeJudge(config, state, time.time, keep=False)
    workers = tuple(str(index) for index in range(config.guard.workers))
    deadline = (config.guard.drills or DrillConfig()).deadline_seconds
    return Ground(Bench(state, judge, time.time, os.urandom), workers, deadline, SystemClock().steady, who_on_host())


def _fields(result: Result) -> dict[str, object]:
    return {
        "drill": result.id,
        "kind": result.kind.value,
        "path": result.path,
        "order": result.order,
        "succeeded": result.succeeded,
        "failure": None if result.failure is None else result.failure.value,
        "why": result.why,
        "skipped": result.skipped,
        "workers": [
            {"worker": each.worker, "cut": each.cut, "refused": each.refused, "resumed": each.resumed}
            for each in result.workers
        ],
    }


def _print(result: Result) -> None:
    out(f"drill {result.id}, a stop by {result.path}: {result.words()}")
    for each in result.workers:
        times = (("cut", each.cut), ("refused", each.refused), ("resumed", each.resumed))
        told = ", ".join(f"{what} after {_ms(seconds)}" for what, seconds in times)
        out(f"worker {each.worker}: {told}")


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
