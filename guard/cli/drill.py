"""``guard drill``: stop the self-test model once, as somebody would stop any other, and see every worker obey."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Final

from guard.cli import disruptive
from guard.cli.drill_told import ms, tell_evidence
from guard.cli.in_force import policy_in_force
from guard.cli.on_host import who_on_host
from guard.cli.options import add_config, state_of
from guard.cli.switch import USAGE, fail, out
from guard.clock import SystemClock
from guard.drills.bench import Bench
from guard.drills.drill import Ground, drill_lease, drill_stop
from guard.drills.evidence import evidence_of
from guard.drills.folder import BusyError
from guard.drills.result import Kind, Result
from guard.drills.walk import Walked, walk
from guard.policy.config import Config
from guard.policy.drills import DrillConfig, DrillPath
from guard.policy.selftest import release_of
from guard.resuming import ResumeJudge
from guard.serve.engines import engine_of
from guard.state.acknowledgements import living

FAILED: Final = 1
SKIPPED: Final = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "drill",
        help="see that a stop still stops, on a model of the guard's own",
        description="Begins a stream of harmless text on every worker of this host, stops it, sees it end and a new "
        "request refused, lifts the stop, and is served again. No model of yours is touched, but by --disruptive. Exit "
        "codes: 0 every worker did; 1 one did not, or a drill is under way; 3 something is stopped already, so nothing "
        "was tried.",
    )
    parser.add_argument(
        "--path",
        type=DrillPath,
        choices=list(DrillPath),
        help="order: an order file, as `guard stop` writes on the host; file: a STOP file; admin: the admin API; page: "
        "the control page; webhook: a signed message, as one of its senders makes it; engine: in a fleet, an order put "
        "into its engine (default: one of `drills.paths` of guard.yaml, by chance)",
    )
    parser.add_argument(
        "--lease", action="store_true", help="in a fleet: let the lease of that model lapse instead, and renew it"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="every kind of scope, operation and path; what would stop live traffic is rehearsed beside it",
    )
    disruptive.add(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where --full or --disruptive writes its evidence (default: none)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    add_config(parser)
    parser.set_defaults(run=_drill)


def _drill(arguments: argparse.Namespace) -> int:
    config, _ = policy_in_force(arguments.config, or_files=True)
    state = state_of(config.directory, config.guard)
    if not state.exists() or not living(state):
        return fail("no guard runs here: there is no worker to drill", FAILED)
    kinds = sum(map(bool, (arguments.full, arguments.lease, arguments.disruptive is not None)))
    if kinds > 1 or (arguments.path is not None and (arguments.full or arguments.lease)):
        return fail("--path, --lease, --full and --disruptive are different drills: give one", USAGE)
    if arguments.out is not None and not (arguments.full or arguments.disruptive is not None):
        return fail("--out is what --full and --disruptive write", USAGE)
    if arguments.disruptive is None and (arguments.yes_stop or arguments.reason):
        return fail("--yes-stop and --reason belong to --disruptive", USAGE)
    if arguments.path is DrillPath.ENGINE and config.guard.fleet is None:
        return fail("this guard is no part of a fleet: there is no engine", SKIPPED)
    if arguments.lease and config.guard.fleet is None:
        return fail("this guard is no part of a fleet: nothing is leased here", SKIPPED)
    try:
        if arguments.disruptive is not None:
            return disruptive.drill(config, ground_of(config), arguments)
        if arguments.full:
            return _full(config, arguments)
        result = asyncio.run(_one(config, arguments))
    except BusyError as busy:
        return fail(str(busy), FAILED)
    if arguments.json:
        sys.stdout.write(json.dumps(_fields(result), indent=2) + "\n")
    else:
        _print(result)
    return _code(result)


def _code(result: Result) -> int:
    return SKIPPED if result.skipped else 0 if result.succeeded else FAILED


async def _one(config: Config, arguments: argparse.Namespace) -> Result:
    ground = ground_of(config)
    if arguments.lease:
        return await drill_lease(ground)
    settings = config.guard.drills or DrillConfig()
    paths = settings.here(fleet=config.guard.fleet is not None)
    return await drill_stop(ground, arguments.path or secrets.choice(paths))


def _full(config: Config, arguments: argparse.Namespace) -> int:
    """Walk, print a line for each case, and write the evidence."""
    ground = ground_of(config)
    tell = (lambda _: None) if arguments.json else _print_case
    result, cases = asyncio.run(walk(ground, tell))
    if not arguments.json:
        _print(result)
    tell_evidence(evidence_of(result, cases, config), arguments, made=not result.skipped)
    return _code(result)


def _print_case(case: Walked) -> None:
    what = f"{case.scope} by {case.path}" + (", rehearsed" if case.rehearsed else "")
    if case.failure is not None:
        out(f"FAILED {what}: {case.failure.value}: {case.why}")
        return
    cut = max((each.cut for each in case.workers if each.cut is not None), default=None)
    out(f"ok     {what}: {len(case.covered)} kinds of request cut after {ms(cut)}, {len(case.spared)} spared")


def ground_of(config: Config) -> Ground:
    """Return this host as drills find it."""
    state = state_of(config.directory, config.guard)
    judge = ResumeJudge(config, state, time.time, keep=False)
    workers = tuple(str(index) for index in range(config.guard.workers))
    deadline = (config.guard.drills or DrillConfig()).deadline_seconds
    bench = Bench(state, judge, time.time, os.urandom, release=release_of(config), engine=engine_of(config))
    return Ground(bench, workers, deadline, SystemClock().steady, who_on_host(), config.guard.fleet is not None)


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
    what = f"a stop by {result.path}" if result.kind is Kind.STOP else f"a {result.path} of the lease"
    out(f"drill {result.id}, {what}: {result.words()}")
    for each in result.workers:
        times = (("cut", each.cut), ("refused", each.refused), ("resumed", each.resumed))
        told = ", ".join(f"{what} after {ms(seconds)}" for what, seconds in times)
        out(f"worker {each.worker}: {told}")
