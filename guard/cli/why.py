"""``guard why``: which safeguards decided what about a past request, or would, for a request that nobody has made."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from guard.admin.switchboard import served_by
from guard.approval.profiles import with_profiles
from guard.cli import why_recorded
from guard.cli.audit_access import add_person
from guard.cli.options import add_at, add_config, state_of
from guard.cli.switch import fail, out
from guard.clock import SystemClock
from guard.hypothetical import Answer, Asked, Says
from guard.policy.compile import Ports
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.model import Operation
from guard.policy.report import instant
from guard.pushed_rules import PushedRules, screen_of
from guard.resuming import ResumeJudge
from guard.serve.leases import as_leased
from guard.shipping.status import CopiesBehind
from guard.state.acknowledgements import living
from guard.state.counters import SharedBuckets
from guard.state.directory import OrderDirectory
from guard.state.merge import State
from guard.state.switches import FileSwitches
from guard.why import default_question, why
from safeguards.decision import Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Keep, Ladder, Stop

_INVALID: Final = 2
_WIDTH: Final = 110
_NOT_JUDGED: Final = (
    "Not judged: the text itself, how busy the guard is, whether the log's disk takes the record, a caller's "
    "certificate, whether the model's server answers."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "why",
        help="say which safeguards decided what about a past request, or would decide about a hypothetical one",
        description="With a REQUEST-ID: tells from the request log what was decided, and why; for people of "
        "operators.yaml whose role it is, with --who and --reason, and it is put on record. Exit codes: 0 told; 1 not "
        "on record; 4 not entitled. With --as and --model: takes a request without a text through the guard's own "
        "parts, with the stop orders and the counters of this host as they stand; writes and counts nothing. Exit "
        "codes: 0 it would be forwarded; 1 it would be refused; 2 an invalid configuration, or a listener that does "
        "not exist.",
    )
    parser.add_argument("request", nargs="?", metavar="REQUEST-ID", help="as in the answer's x-request-id")
    add_person(parser, required=False)
    parser.add_argument("--as", dest="key", metavar="KEY-ID", help="the id of the caller's key")
    parser.add_argument("--model", metavar="MODEL", help="the alias that is asked for")
    parser.add_argument(
        "--operation",
        type=Operation,
        choices=tuple(Operation),
        metavar="OPERATION",
        help=f"{', '.join(Operation)} (default: the first that the model lists)",
    )
    parser.add_argument("--surface", metavar="SURFACE", help="the listener (default: the model's first)")
    add_config(parser)
    add_at(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=_run, usage=parser.error)


def _run(arguments: argparse.Namespace) -> int:
    """Answer for a past request or a hypothetical one, never for a mixture."""
    supposed = (arguments.key, arguments.model, arguments.operation, arguments.surface, arguments.at)
    if arguments.request is not None:
        if any(given is not None for given in supposed):
            arguments.usage("a past request is named by its REQUEST-ID alone")
        return why_recorded.run(arguments)
    if arguments.key is None or arguments.model is None:
        arguments.usage("give a REQUEST-ID, or --as KEY-ID and --model MODEL")
    return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer for a hypothetical request; 0 forwarded, 1 refused, 2 it cannot be judged."""
    config = with_profiles(load(arguments.config), datetime.now(UTC).timestamp())
    question = default_question(config, arguments.key, arguments.model, arguments.operation, arguments.surface)
    surfaces = [surface.name for surface in config.guard.surfaces]
    if question.surface not in surfaces:
        return fail(f"there is no surface {question.surface!a}; there are: {', '.join(surfaces)}", _INVALID)
    clock = SystemClock() if arguments.at is None else _Fixed(arguments.at)
    state = state_of(config.directory, config.guard)
    try:
        with tempfile.TemporaryDirectory(prefix="guard-why-") as aside:
            # On another day today's counters say nothing.
            meters = _meters(config, state / "counters" if arguments.at is None else None, Path(aside))
            orders = _switches(config, state, clock)
            switches = as_leased(orders, config, state, SystemClock())
            ports = Ports(switches, meters, _Unwritten(), clock, CopiesBehind(state, clock), switches)
            found = asyncio.run(why(config, question, ports, _pushed(config, orders, clock)))
    except OSError as problem:  # 1 would say that the request is refused
        return fail(f"it cannot be judged: {problem.strerror}: {problem.filename}", _INVALID)
    if arguments.json:
        sys.stdout.write(for_machines(found))
    else:
        for line in for_people(found).splitlines():
            out(line)
    return 0 if found.forwarded else 1


class _Fixed(SystemClock):
    """The time of another day."""

    def __init__(self, at: datetime) -> None:
        self._now = at.timestamp()

    def now(self) -> float:
        return self._now


class _Unwritten:
    """A log that takes every record and keeps none."""

    def intent(
        self, exchange: Exchange, *, durable: bool, keep: Keep | None, patience: float = 0.0
    ) -> Awaitable[None] | None:
        return None

    def part(self, exchange: Exchange, channel: Channel, *, durable: bool = False) -> Awaitable[None] | None:
        return None

    def outcome(self, exchange: Exchange, outcome: Outcome, *, durable: bool) -> Awaitable[None] | None:
        return None


class _Unreadable:
    """The switches of workers whose orders have gone: they refuse everything."""

    def covering(self, exchange: Exchange) -> Stop | None:
        raise Unavailable(Failure.UNREACHABLE, "the stop orders cannot be read")

    cutting = detour = diverts = tightens = covering

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        raise Unavailable(Failure.UNREACHABLE, "the stop orders cannot be read")


def _switches(config: Config, state: Path, clock: SystemClock) -> Ladder:
    """The stop orders in force on this host; reading them makes nothing."""
    try:
        judge = ResumeJudge(config, state, clock.now, keep=False)
        return FileSwitches(OrderDirectory(state, create=False), clock, judge)
    except FileNotFoundError:
        return _Unreadable() if living(state) else State()


def _pushed(config: Config, orders: Ladder, clock: SystemClock) -> PushedRules:
    """The rule orders in force on this host, compiled as a worker compiles them when it begins."""
    state = orders.state if isinstance(orders, FileSwitches) else State()
    pushed = PushedRules(served_by(config), clock.now)
    pushed.follow(state)
    pushed.take({order: screen_of(order) for order in pushed.lacking})
    pushed.follow(state)
    return pushed


def _meters(config: Config, counters: Path | None, aside: Path) -> SharedBuckets:
    """Copy this host's counters aside, so that asking takes nothing from anybody's rate; None: all are full."""
    keys = [key.id for key in config.tiers.keys]
    buckets = SharedBuckets(aside, keys)
    if counters is None or not (counters / buckets.path.name).exists():
        return buckets
    buckets.close()
    shutil.copyfile(counters / buckets.path.name, buckets.path)
    return SharedBuckets(aside, keys)


def for_machines(found: Answer) -> str:
    """Return one JSON object with the fields of `Answer`."""
    return json.dumps({**asdict(found), "at": instant(found.at)}, indent=2, ensure_ascii=False) + "\n"


def for_people(found: Answer) -> str:
    """Return the text: the verdict, then the way to it."""
    asked = found.question
    lines = [
        f"{asked.key} asks {asked.model} for {asked.operation} on {asked.surface}, at {instant(found.at)}",
        f"  {_verdict(found)}",
        "",
        "The way there",
    ]
    for step in found.steps:
        lines += _wrapped(f"  {_loud(step.says):<13}", f"{step.step}: {step.detail}")
    for row in found.unmet:
        lines += _wrapped(" " * 15, f"{row.row} ({row.axis} {row.level}): {row.why}")
    if found.safeguards:
        lines += ["", "Safeguards, asked in this order"]
    for each in found.safeguards:
        lines += _wrapped(f"  {_loud(each.says):<13}", _safeguard(each))
    if found.forwarded:
        lines += ["", *_wrapped("", f"Answers are watched by {', '.join(found.watched_by) or 'nobody'}.")]
    lines += ["", *_wrapped("", _NOT_JUDGED), "", f"configuration {found.digest}"]
    return "\n".join(lines) + "\n"


def _verdict(found: Answer) -> str:
    if not found.forwarded:
        return f"would be REFUSED with {found.code} ({found.status})"
    judges = [each.name for each in found.safeguards if each.says is Says.JUDGES and each.mode == "enforce"]
    unless = f", unless {' or '.join(judges)} objects to the text" if judges else ""
    return f"would be forwarded to {found.upstream}{unless}"


def _safeguard(each: Asked) -> str:
    name = each.name if each.name == each.use else f"{each.name} ({each.use})"
    said = f": {each.code}, {each.reason}" if each.code else f": {each.reason}" if each.reason else ""
    mode = "enforced" if each.mode == "enforce" else "SHADOW"
    failure = "a failure blocks" if each.on_failure == "block" else "a failure PASSES"
    return f"{each.order}. {name}{said} [{each.asks}; {mode}, {failure}, within {each.deadline_seconds:g} s]"


def _loud(says: Says) -> str:
    return says.upper() if says is Says.REFUSES else str(says)


def _wrapped(first: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * max(len(first), 2))
