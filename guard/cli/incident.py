"""``guard incident``: what was found, how bad it is, what was done about it, and by when something is due.

These commands write events beside the stop orders of this host; a running guard records them within a second. Words
given here are kept in the clear: they must not quote prompts or completions. It is one file, so that the steps of an
incident are read in their order.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from guard.audit.render import moment, printable
from guard.cli import incident_export
from guard.cli.options import add_config, instant, state_of
from guard.cli.switch import fail, out, who_on_host
from guard.incidents.clocks import Due, answer, legal
from guard.incidents.events import WORST, Closed, Event, EventError, Imminent, Mitigated, Opened, Reported, Triaged
from guard.incidents.folder import IncidentFolder
from guard.incidents.incident import Incident
from guard.policy.lineage import surfaces_of
from guard.policy.load import Config, load
from guard.state.orders import ENTROPY_BYTES, order_id

USAGE: Final = 2
REFUSED: Final = 4
MAX_CLAIM: Final = 100
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
    one = _command(group, "list", _list, "the incidents that are not closed", writes=False)
    one.add_argument("--all", action="store_true", help="closed ones too")
    one.add_argument("--json", action="store_true", help="as JSON, one object a line")
    one = _command(group, "show", _show, "everything about one", of_one=True, writes=False)
    one.add_argument("--json", action="store_true", help="as JSON")
    incident_export.add(group)


def _command(
    group: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Any,
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


def _run(run: Any, arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    try:
        code: int = run(arguments, config, folder_of(config))
    except EventError as problem:
        return fail(str(problem), USAGE)
    return code


def folder_of(config: Config) -> IncidentFolder:
    """Where the incidents of this host are."""
    return IncidentFolder(state_of(config.directory, config.guard))


def find(folder: IncidentFolder, one: str) -> Incident | None:
    """The incident of this id; None when there is none."""
    if one not in folder.ids():
        return None
    return folder.read(one).incident


def _now() -> tuple[float, str]:
    now = time.time()
    return now, order_id(now, os.urandom(ENTROPY_BYTES))


def _open(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    if arguments.model not in config.models:
        return fail(f"there is no model of that name; there are: {', '.join(sorted(config.models)[:20])}", USAGE)
    now, one = _now()
    if arguments.discovered is not None and arguments.discovered > now:
        return fail("--discovered: lies in the future", USAGE)
    opened = Opened(
        id=one,
        incident=one,
        at=now,
        who=_who(arguments),
        model=arguments.model,
        summary=arguments.summary,
        discovered=now if arguments.discovered is None else arguments.discovered,
        severity=arguments.severity,
        requests=tuple(arguments.request),
    )
    folder.add(opened)
    out(one)
    return _say_dues(config, folder, one)


def _triage(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    now, one = _now()
    triaged = Triaged(
        id=one,
        incident=arguments.incident,
        at=now,
        who=_who(arguments),
        severity=arguments.severity,
        commander=arguments.commander,
        imminent=Imminent(arguments.imminent_risk),
        note=arguments.note,
    )
    return _add(config, folder, triaged)


def _mitigate(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    incident = find(folder, arguments.incident)
    if incident is not None:
        known = surfaces_of(config, incident.opened.model)
        if arguments.surface not in known:
            return fail(f"the model is not served on that surface; it is on: {', '.join(known) or 'none'}", USAGE)
    now, one = _now()
    mitigated = Mitigated(
        id=one,
        incident=arguments.incident,
        at=now,
        who=_who(arguments),
        surface=arguments.surface,
        how=arguments.how,
        policy=config.digest,
    )
    return _add(config, folder, mitigated)


def _report(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    names = [clock.name for clock in config.guard.clocks]
    if arguments.clock not in names:
        return fail(f"guard.yaml has no clock of that name; it has: {', '.join(names) or 'none'}", USAGE)
    now, one = _now()
    reported = Reported(
        id=one,
        incident=arguments.incident,
        at=now,
        who=_who(arguments),
        clock=arguments.clock,
        reference=arguments.reference,
    )
    return _add(config, folder, reported)


def _close(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    incident = find(folder, arguments.incident)
    if incident is None:
        return fail("there is no incident of that id", USAGE)
    if why := incident.why_not_closed(surfaces_of(config, incident.opened.model)):
        return fail(f"not closed: {why}", REFUSED)
    now, one = _now()
    closed = Closed(id=one, incident=incident.id, at=now, who=_who(arguments), resolution=arguments.resolution)
    folder.add(closed)
    return _say_dues(config, folder, incident.id)


def _add(config: Config, folder: IncidentFolder, event: Event) -> int:
    incident = find(folder, event.incident)
    if incident is None:
        return fail("there is no incident of that id", USAGE)
    if incident.closed is not None and not isinstance(event, Reported):
        return fail("it is closed; what comes up now is another incident", REFUSED)
    folder.add(event)
    return _say_dues(config, folder, incident.id)


def _list(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    for read in folder.all():
        incident = read.incident
        if incident is None:
            out(f"{read.id} damaged: {', '.join(read.damaged) or 'without its first event'}")
        elif arguments.all or incident.closed is None:
            if arguments.json:
                sys.stdout.write(json.dumps(described(config, incident)) + "\n")
            else:
                out(" ".join(_line(config, incident)))
    return 0


def _show(arguments: argparse.Namespace, config: Config, folder: IncidentFolder) -> int:
    incident = find(folder, arguments.incident)
    if incident is None:
        return fail("there is no incident of that id", USAGE)
    if arguments.json:
        sys.stdout.write(json.dumps(described(config, incident), indent=1) + "\n")
        return 0
    for name, value in incident.fields().items():
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
    return _say_dues(config, folder, incident.id)


def dues(config: Config, incident: Incident) -> Iterator[Due]:
    """Every clock of an incident: that of the answer, and the legal ones."""
    policy = config.models.get(incident.opened.model)
    surfaces = surfaces_of(config, incident.opened.model)
    due = answer(incident, None if policy is None else policy.response, surfaces)
    if due is not None:
        yield due
    yield from legal(incident, config.guard.clocks)


def described(config: Config, incident: Incident) -> dict[str, Any]:
    """What JSON tells of an incident, its clocks included; times are seconds since the epoch."""
    now = time.time()
    clocks = [
        {"clock": due.clock, "to": due.to, "at": due.at, "done": due.done, "late": due.late(now)}
        for due in dues(config, incident)
    ]
    left = incident.unfixed(surfaces_of(config, incident.opened.model))
    return {**incident.fields(), "not_mitigated": list(left), "clocks": clocks}


def _line(config: Config, incident: Incident) -> Iterator[str]:
    yield incident.id
    yield incident.stage
    yield f"severity {incident.severity}{'' if incident.triaged else ' (not judged)'}"
    yield incident.opened.model
    open_dues = [due for due in dues(config, incident) if due.done is None]
    if open_dues:
        yield _due(min(open_dues, key=lambda due: due.at))
    yield f"{printable(incident.opened.summary)}"


def _say_dues(config: Config, folder: IncidentFolder, one: str) -> int:
    incident = find(folder, one)
    if incident is None:
        return fail("the incident cannot be read back", 1)
    for due in dues(config, incident):
        out(_due(due))
    if left := incident.unfixed(surfaces_of(config, incident.opened.model)):
        out(f"not mitigated on: {', '.join(left)}")
    return 0


def _due(due: Due) -> str:
    late = " LATE" if due.late(time.time()) else ""
    done = "" if due.done is None else f", done {moment(due.done)}"
    return f"{due.clock}: {moment(due.at)}{late}{done} ({due.to})"


def _who(arguments: argparse.Namespace) -> str:
    # A name that was given is a claim: the record shows beside it whose process made it.
    return f"{arguments.who[:MAX_CLAIM]} (uid {os.getuid()})" if arguments.who else who_on_host()
