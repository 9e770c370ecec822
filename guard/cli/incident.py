"""``guard incident``: what was found, how bad it is, what was done about it, and by when something is due.

These commands write events beside the stop orders of this host; a running guard records them within a second. Words
given here are kept in the clear: they must not quote prompts or completions. What may be done is
`guard.incidents.desk`'s to say, as for the control page.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from guard.audit.render import moment, printable
from guard.cli import incident_export
from guard.cli.in_force import policy_in_force
from guard.cli.on_host import who_on_host
from guard.cli.options import add_config, instant, state_of
from guard.cli.switch import fail, out, say
from guard.incidents.case import Case
from guard.incidents.clocks import Due
from guard.incidents.desk import Actor, IncidentDesk, IncidentRefusedError, UnknownIncidentError
from guard.incidents.events import WORST, EventError, Imminent, Source
from guard.incidents.folder import IncidentFolder
from guard.policy.config import Config
from guard.policy.load import load
from guard.state.directory import OrderDirectory
from guard.state.orders import ENTROPY_BYTES, order_id
from guard.state.snapshots import SnapshotError

USAGE: Final = 2
REFUSED: Final = 4
MAX_CLAIM: Final = 100
Command = Callable[[argparse.Namespace, IncidentDesk], int]
_SEVERITY: Final = "0 to 4, 4 the worst; what nobody has judged counts as 4"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "incident",
        help="open, handle, close and export incidents",
        description="A found weakness, from its discovery until every surface is fixed. Times and names go on record. "
        "Exit codes: 0 done; 2 wrong usage; 4 refused, because something is missing.",
    )
    group = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    one = _command(group, "open", _open, "say that something was found; prints the incident's id")
    one.add_argument("--model", required=True, metavar="ALIAS", help="the model it was found in")
    one.add_argument("--summary", required=True, metavar="TEXT", help="what was found, without quoting texts")
    one.add_argument("--severity", type=int, choices=range(WORST + 1), help=_SEVERITY)
    one.add_argument("--discovered", type=instant, metavar="TIME", help="when (default: now)")
    one.add_argument("--request", action="append", default=[], metavar="ID", help="a request that shows it; repeatable")
    one.add_argument("--stop", default="", metavar="ORDER", help="the order of the stop that it is opened for")
    one = _command(group, "triage", _triage, "say how bad it is and who commands", of_one=True)
    one.add_argument("--severity", type=int, required=True, choices=range(WORST + 1), help=_SEVERITY)
    one.add_argument("--commander", required=True, metavar="NAME", help="the person who decides from now on")
    one.add_argument(
        "--imminent-risk",
        required=True,
        choices=[each.value for each in Imminent],
        help="of death or serious injury; yes sets the clocks going that begin with it",
    )
    one.add_argument("--note", default="", metavar="TEXT", help="what else to know; goes on record")
    one = _command(group, "mitigate", _mitigate, "say that a surface is fixed", of_one=True)
    one.add_argument("--surface", required=True, metavar="NAME", help="the surface that has the fix")
    one.add_argument("--how", required=True, metavar="TEXT", help="by what")
    one = _command(group, "report", _report, "say that somebody outside was told, or need not be", of_one=True)
    one.add_argument("--clock", required=True, metavar="NAME", help="the clock of guard.yaml that this ends")
    one.add_argument("--reference", required=True, metavar="TEXT", help="what was told to whom, or why it need not be")
    one = _command(group, "close", _close, "end it; refused until every surface has reported its fix", of_one=True)
    one.add_argument("--resolution", required=True, metavar="TEXT", help="how it ended")
    one = _command(group, "list", _list, "the incidents that are not closed, or whose clocks still run", writes=False)
    one.add_argument("--all", action="store_true", help="all others too")
    one.add_argument("--json", action="store_true", help="as JSON, one object a line")
    one = _command(group, "show", _show, "everything about one", of_one=True, writes=False)
    one.add_argument("--json", action="store_true", help="as JSON")
    incident_export.add(group)


def _command(
    group: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Command,
    text: str,
    *,
    of_one: bool = False,
    writes: bool = True,
) -> argparse.ArgumentParser:
    parser = group.add_parser(name, help=text)
    if of_one:
        parser.add_argument("incident", metavar="ID")
    add_config(parser)
    if writes:
        parser.add_argument(
            "--who", metavar="NAME", help="the person who does this, recorded with the uid (default: the user)"
        )
    parser.set_defaults(run=lambda arguments: _run(run, arguments))
    return parser


def _run(run: Command, arguments: argparse.Namespace) -> int:
    config = _policy(run, arguments.config)
    state = state_of(config.directory, config.guard)
    desk = IncidentDesk(
        config,
        IncidentFolder(state),
        time.time,
        lambda now: order_id(now, os.urandom(ENTROPY_BYTES)),
        lambda order: _is_stop(state, order),
    )
    try:
        return run(arguments, desk)
    except (EventError, UnknownIncidentError) as problem:
        return fail(str(problem), USAGE)
    except IncidentRefusedError as refusal:
        return fail(str(refusal), REFUSED)


def _is_stop(state: Path, order: str) -> bool:
    try:
        return OrderDirectory(state, create=False).is_stop(order)
    except FileNotFoundError:
        return False  # nothing was ever ordered here


def _policy(run: Command, directory: Path) -> Config:
    """Return what is in force here, so that no edited file takes away a surface or a clock of an incident.

    Where that cannot be read, one is opened and looked at by what the files hold; for the rest raises SnapshotError.
    """
    try:
        return policy_in_force(directory)[0]
    except SnapshotError as problem:
        if run not in {_open, _list, _show}:
            raise
        say(f"it cannot be read which policy is in force ({problem.strerror or problem}); going by the files")
        return load(directory)


def _open(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    case = desk.open(
        _by(arguments),
        arguments.model,
        arguments.summary,
        discovered=arguments.discovered,
        severity=arguments.severity,
        requests=arguments.request,
        stop=arguments.stop,
    )
    out(case.id)
    return _say_dues(case)


def _triage(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    imminent = Imminent(arguments.imminent_risk)
    by, one = _by(arguments), arguments.incident
    return _say_dues(desk.triage(by, one, arguments.severity, arguments.commander, imminent, arguments.note))


def _mitigate(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    return _say_dues(desk.mitigate(_by(arguments), arguments.incident, arguments.surface, arguments.how))


def _report(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    return _say_dues(desk.report(_by(arguments), arguments.incident, arguments.clock, arguments.reference))


def _close(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    return _say_dues(desk.close(_by(arguments), arguments.incident, arguments.resolution))


def _list(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    cases, damaged = desk.all()
    for line in damaged:
        out(line)
    for case in cases:
        if arguments.all or case.pending:
            if arguments.json:
                sys.stdout.write(json.dumps(case.fields(time.time())) + "\n")
            else:
                out(" ".join(_line(case)))
    return 0


def _show(arguments: argparse.Namespace, desk: IncidentDesk) -> int:
    case = desk.find(arguments.incident)
    if arguments.json:
        sys.stdout.write(json.dumps(case.fields(time.time()), indent=1) + "\n")
        return 0
    for name, value in case.incident.fields().items():
        if isinstance(value, dict):
            for key, each in value.items():
                out(f"{name} {key}: {moment(each.pop('at'))} {' '.join(str(word) for word in each.values() if word)}")
        elif isinstance(value, list):
            for each in value:
                words = each if isinstance(each, str) else " ".join(str(word) for word in each.values())
                out(f"{name}: {words}")
        elif value is not None:
            dated = isinstance(value, float)
            out(f"{name}: {moment(value) if dated else value}")
    return _say_dues(case)


def _line(case: Case) -> Iterator[str]:
    incident = case.incident
    yield incident.id
    yield incident.stage
    yield f"severity {incident.severity}{'' if incident.triaged else ' (not judged)'}"
    yield incident.opened.model
    if case.running:
        yield _due(case.running[0])
    yield printable(incident.opened.summary)


def _say_dues(case: Case) -> int:
    for due in case.dues:
        out(_due(due))
    if left := case.unfixed:
        out(f"not mitigated on: {', '.join(left)}")
    return 0


def _due(due: Due) -> str:
    late = " LATE" if due.late(time.time()) else ""
    done = "" if due.done is None else f", done {moment(due.done)}"
    return f"{due.clock}: {moment(due.at)}{late}{done} ({due.to})"


def _by(arguments: argparse.Namespace) -> Actor:
    # A name that was given is a claim: the record shows beside it whose process made it.
    who = f"{arguments.who[:MAX_CLAIM]} (uid {os.getuid()})" if arguments.who else who_on_host()
    return Actor(who, Source.HOST)
