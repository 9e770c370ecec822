"""``guard explain``: what is in force for one model, and why, for people and for machines."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any, Final

from pydantic import BaseModel

from guard.approval.profiles import with_profiles
from guard.cli.in_force import warn
from guard.cli.options import add_at, add_config
from guard.policy.compile import check_compiles
from guard.policy.controls import controls
from guard.policy.explain import explain
from guard.policy.explanation import Explanation
from guard.policy.ladder import Ladder
from guard.policy.load import load
from guard.policy.report import instant
from guard.policy.response import SEVERE
from safeguards.mode import Mode

_WIDTH: Final = 110
_NAMED: Final = 20
_INDENT: Final = "  "


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        help="say what is in force for one model, and why",
        description="Says what the configuration puts in force for one model, and why. Exit codes: 0 routable; "
        "1 not; 2 no such model, or an invalid configuration; with --controls 0 either way. Whether it is stopped: "
        "guard status.",
    )
    parser.add_argument("model", metavar="MODEL", help="its alias")
    add_config(parser)
    add_at(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for machines")
    form.add_argument("--controls", action="store_true", help="only its controls, for the attestation of a report")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation or the controls alone; 0 routable, 1 not, 2 no such model."""
    config = with_profiles(load(arguments.config), datetime.now(UTC).timestamp())
    check_compiles(config)
    if arguments.model not in config.models:
        names = sorted(config.models)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        sys.stderr.write(
            f"guard: there is no model {arguments.model!a}; there are: {', '.join(names[:_NAMED])}{more}\n"
        )
        return 2
    if arguments.controls:
        sys.stdout.write(controls(config, config.models[arguments.model]))
        return 0
    warn(config)
    found = explain(config, arguments.model, arguments.at or datetime.now(UTC))
    sys.stdout.write(for_machines(found) if arguments.json else for_people(found))
    return 0 if found.routable else 1


def for_machines(found: Explanation) -> str:
    """Return one JSON object with the fields of `Explanation`; instants in UTC, days as they are written."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return str(value)
    raise TypeError(type(value).__name__)


def for_people(found: Explanation) -> str:
    """Return the text, in the order in which one asks."""
    sections = (
        (None, _head(found)),
        ("Capability thresholds", _thresholds(found)),
        ("Safeguards, asked in this order", _safeguards(found)),
        ("What is done when something is found", _done(found)),
        (_count(found), _rows(found)),
        ("Evidence", _evidence(found)),
        ("Not as a report describes it", _deviations(found)),
        ("Tiers that may use it", _tiers(found)),
        ("What this does not withstand", _limits(found)),
        ("Ends next", (f"{instant(each.when)}  {each.what}: {each.then}" for each in found.endings)),
    )
    lines: list[str] = []
    for title, body in sections:
        lines += ["", title] if title else []
        lines += [_INDENT + line for line in body] or [_INDENT + "none"]
    return "\n".join([*lines, "", f"configuration {found.digest}"]).removeprefix(_INDENT) + "\n"


def _head(found: Explanation) -> Iterator[str]:
    until = f" until {instant(found.until)}" if found.until else ""
    yield f"{found.model}: {'routable' if found.routable else 'NOT ROUTABLE'}{until}, seen at {instant(found.at)}"
    yield from _said("levels", f"deployment ASL-{found.deployment}, security ASL-{found.security}")
    yield from _said("audience", found.audience)
    upstream = found.upstream
    for word, standard in (("standard", found.standard), *(("and", each) for each in found.also)):
        yield from _said(word, f"{standard.name} {standard.version}: {standard.title}")
        yield from _said("", f"{standard.source}")
        yield from _said("", f"SHA-256 {standard.sha256}")
    proves = ["a bearer token" if upstream.credential else "no credential"]
    proves += ["a client certificate"] if upstream.client_certificate else []
    trusts = ", trusting its own CA file" if upstream.own_ca else ""
    yield from _said("upstream", f"{upstream.url} ({upstream.kind}) as {upstream.model}{trusts}")
    named = f"; every answer must name {upstream.expect_model}" if upstream.expect_model else ""
    yield from _said("", f"it is sent {' and '.join(proves)}{named}")
    yield from _said("classifiers", f"fingerprint {found.classifiers}")
    yield from _said("controls", f"fingerprint {found.controls}")
    for surface in found.surfaces:
        tls = f"TLS, client certificates {surface.client_certificates}" if surface.tls else "without TLS"
        yield from _said("surface", f"{surface.name} at {surface.place}, {tls}")
    yield from _said("operations", ", ".join(found.operations))
    if found.dials is not None:
        yield from _said("dials", f"coverage {found.dials.coverage}, robustness {found.dials.robustness}, as declared")
    if found.allow_keys:
        yield from _said("unread", f"let through without inspection: {', '.join(found.allow_keys)}")


def _thresholds(found: Explanation) -> Iterator[str]:
    for each in found.thresholds:
        demands = " and ".join(f"{axis} ASL-{level}" for axis, level in each.demands)
        yield f"{each.threshold}: {'COUNTS AS CROSSED, ' if each.crossed else ''}{each.why}; past it {demands}"
    if not found.thresholds:
        yield "the standard defines none"


def _limits(found: Explanation) -> Iterator[str]:
    for each in found.limits:
        yield from textwrap.wrap(each, _WIDTH)
    if not found.limits:
        yield "levels below ASL-3 security claim little: they are to thwart opportunistic attackers"


def _said(word: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{word:<12}", subsequent_indent=" " * 12)


def _safeguards(found: Explanation) -> Iterator[str]:
    for each in found.safeguards:
        mode = "enforced" if each.mode == "enforce" else "SHADOW: recorded, not carried out"
        failure = "blocks" if each.on_failure == "block" else "PASSES"
        name = each.name if each.name == each.use else f"{each.name} ({each.use})"
        text = [mode, f"a failure {failure}", f"within {each.deadline_seconds:g} s", *each.settings]
        yield f"{each.order}. {name}: {'; '.join(text)}"
        yield from textwrap.wrap(f"meets {', '.join(each.rows) or 'no row'}", _WIDTH, initial_indent="   ",
                                 subsequent_indent="   ")  # fmt: skip


def _done(found: Explanation) -> Iterator[str]:
    response, bands, drills, ladder = found.response, found.monitoring, found.drills, found.ladder
    if response is None:
        yield "response: no time is set within which a weakness must be fixed"
    else:
        severe = response.hours_for(SEVERE)
        trip = response.trip_from_severity
        tripping = "no incident moves it by itself" if trip is None else f"a step down from severity {trip} on"
        times = f"fixed within {response.max_hours:g} h, severe within {severe:g} h"
        yield f"response: {times}; late: {response.on_overdue}; {tripping}"
    for rung in (Mode.STRICTER, Mode.FALLBACK, Mode.NO_NEW_PRINCIPALS, Mode.STOP):
        if ladder.declares(rung):
            yield f"ladder: {rung}{_rung(ladder, rung)}"
    if ladder.de_deployed is not None:
        replaced = ladder.de_deployed
        yield f"withdrawn: {replaced.replacement} {'answers' if replaced.route else 'is named'} in its place"
    for band in () if bands is None else bands.bands:
        within = f"from {band.min:g} to {band.max:g}, of at least {band.at_least}"
        yield f"monitoring: {band.name} {within}; else {band.then}"
    yield "monitoring: no band is declared" if bands is None else f"monitoring: to be reviewed by {bands.due.date()}"
    for clock in found.clocks:
        since = f"{clock.hours:g} h from {clock.starts}, severity {clock.from_severity} on"
        yield f"clock {clock.name}: {since}: {clock.to}"
    if not found.clocks:
        yield "clock: none runs"
    yield "drills: the kill switch is not drilled" if drills is None else f"drills: every {drills.every_seconds:g} s"


def _rung(ladder: Ladder, rung: Mode) -> str:
    if rung is Mode.STRICTER and ladder.stricter is not None:
        return f", enforcing {', '.join(ladder.stricter.enforce)}"
    if rung is not Mode.FALLBACK or ladder.fallback is None:
        return ""
    some = ", ".join(ladder.fallback.categories)
    return f" to {ladder.fallback.model}{f' for {some}' if some else ''}"


def _count(found: Explanation) -> str:
    missing = sum(each.why is not None for each in found.rows)
    return f"Rows that bind it: {len(found.rows) - missing} met, {missing} unmet"


def _rows(found: Explanation) -> Iterator[str]:
    for each in found.rows:
        place = f"{each.row} ({each.axis} {each.level})"
        if each.why is None:
            yield f"met    {place}: {', '.join(each.met_by)}"
            continue
        yield f"UNMET  {place}: {each.why}"
        yield from textwrap.wrap(f"requires: {each.requires}", _WIDTH, initial_indent=" " * 7,
                                 subsequent_indent=" " * 9)  # fmt: skip


def _evidence(found: Explanation) -> Iterator[str]:
    for each in found.evidence:
        days = "1 day" if abs(each.days_left) == 1 else f"{abs(each.days_left)} days"
        if each.holds:
            left = f"{days} left, until {each.until.date()}"
        elif each.days_left < 0:
            left = f"LAPSED on {each.until.date()}, {days} ago"
        else:
            left = f"NOT YET: issued {each.issued}"
        yield f"{each.claim}: {left}; {each.owner}; {', '.join(each.rows) or 'no row asks for it'}"


def _deviations(found: Explanation) -> Iterator[str]:
    for each in found.deviations:
        place = f"{each.subject} {each.key}".strip()
        yield f"{each.effect} since {each.claim}: {place}: {each.described}, now {each.now}; {each.why}"


def _tiers(found: Explanation) -> Iterator[str]:
    for each in found.tiers:
        keys = "1 key" if each.keys == 1 else f"{each.keys} keys"
        gone = f", {each.keys - each.live_keys} of them expired" if each.live_keys < each.keys else ""
        rate = f"{each.per_minute:g} a minute and {each.burst} at once for each key"
        yield f"{each.tier}: {', '.join(each.operations)}; {rate}; {keys}{gone}"
