"""``guard drill --disruptive``: in a maintenance window, stop a model that is served, measure, and resume it."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.cli.approved import write_unsigned
from guard.cli.drill_told import ms, tell_evidence
from guard.cli.switch import USAGE, board_of, fail, out, say
from guard.drills.disruptive import Disrupted, Window, disrupt, ways_here
from guard.drills.drill import Ground
from guard.drills.evidence import evidence_of_window
from guard.drills.ways import by_admin
from guard.policy.config import Config
from guard.policy.drills import DrillPath
from guard.state.merge import TWO_PERSON_ASL
from guard.state.scope import OrderError, Scope
from guard.state.served import UnknownScopeError

FAILED: Final = 1
SKIPPED: Final = 3
MAX_REASON: Final = 200
_NOT_HERE: Final[Mapping[DrillPath, str]] = {
    DrillPath.PAGE: "the control page takes a person's own session: stop the model there, by hand",
    DrillPath.WEBHOOK: "a webhook takes its sender's own message: have the sender send one",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--disruptive",
        metavar="MODEL",
        help="in a maintenance window: really stop this model, by --path or every way there is (admin with the token "
        "in GUARD_ADMIN_TOKEN), and resume it; from "
        "ASL-3 on it is stopped once and stays so until two people have signed",
    )
    parser.add_argument("--reason", default="", help="for --disruptive: why, for the record and for those who are told")
    parser.add_argument("--yes-stop", metavar="MODEL", help="for --disruptive: the model's name once more")


def drill(config: Config, ground: Ground, arguments: argparse.Namespace) -> int:
    """Do it if every word of it was said; returns the exit code. Raises BusyError or OSError."""
    board = board_of(config)
    if wrong := wrong_with(arguments, board):
        return fail(wrong, USAGE)
    ways = ways_here(ground)
    if token := os.environ.get("GUARD_ADMIN_TOKEN", "").strip():
        ways[DrillPath.ADMIN] = partial(by_admin, ground.bench, token=token)
    asl = board.served.models[arguments.disruptive].asl
    chosen = arguments.path or (DrillPath.ORDER if asl >= TWO_PERSON_ASL else None)
    if chosen is not None and chosen not in ways:
        return fail(f"there is no way by {chosen} here: set GUARD_ADMIN_TOKEN to a person's token", USAGE)
    window = Window(arguments.disruptive, arguments.reason, ways if chosen is None else {chosen: ways[chosen]})
    report = asyncio.run(disrupt(ground, board, window, (lambda _: None) if arguments.json else _print))
    if not arguments.json:
        out(f"drill {report.result.id}: {report.result.words()}")
    evidence = evidence_of_window(report, arguments.reason, asl, config)
    tell_evidence(evidence, arguments, made=not report.result.skipped)
    if report.approval:
        write_unsigned(report.approval, None, say if arguments.json else out, config.operators)
    return SKIPPED if report.result.skipped else 0 if report.result.succeeded else FAILED


def _print(case: Disrupted) -> None:
    if case.failure is not None:
        out(f"FAILED by {case.path}: {case.failure.value}: {case.why}")
        return
    told = f" on {case.replicas} replicas" if case.replicas > 1 else ""
    end = "left stopped" if case.left_stopped else "resumed"
    out(f"ok     by {case.path}: {case.streams_cut} streams cut{told}, {end} (order {case.order})")
    for each in case.workers:
        out(f"worker {each.worker}: cut after {ms(each.cut)}, resumed after {ms(each.resumed)}")


def wrong_with(arguments: argparse.Namespace, board: Switchboard) -> str:
    """Say why a served model may not be stopped by these arguments; empty where it may."""
    alias, reason = arguments.disruptive, arguments.reason
    try:
        board.known(str(Scope.parse(f"model:{alias}")))
    except (UnknownScopeError, OrderError) as unknown:
        return str(unknown)
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        return f"a disruptive drill needs a --reason of 1 to {MAX_REASON} printable characters: people are told of it"
    if arguments.yes_stop != alias:
        strict = board.served.models[alias].asl >= TWO_PERSON_ASL
        after = ", and it stays stopped until two people have signed" if strict else ""
        return f"this cuts every exchange of model {alias} and refuses new ones{after}: say --yes-stop {alias} too"
    if arguments.path in _NOT_HERE:
        return _NOT_HERE[arguments.path]
    if arguments.path is DrillPath.FILE and board.served.models[alias].asl >= TWO_PERSON_ASL:
        return "who removes a STOP file asks nobody, and this model is resumed by two people: take another --path"
    return ""
