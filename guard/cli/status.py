"""``guard status``: what is stopped and what is served; from the admin API, else from what lies on this host."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from guard.admin.approving import still_waiting
from guard.admin.modes import strongest_first, words_of
from guard.cli.admin_client import NoTokenError
from guard.cli.in_force import policy_in_force
from guard.cli.options import state_of
from guard.cli.switch import USAGE, add_admin, board_of, client_or_none, fail, out, say, tell
from guard.clock import SystemClock
from guard.drills.folder import DrillFolder
from guard.drills.standing import fields as drill_fields
from guard.drills.standing import standing as standing_drills
from guard.policy.ladder import OPEN
from guard.policy.load import Config
from guard.policy.report import standing
from guard.serve.leases import fleet_lease, lease_fields
from guard.state.acknowledgements import living
from guard.state.asked import AskedFolder
from guard.state.merge import State
from guard.state.seen import Seen
from guard.state.snapshots import Snapshots
from safeguards.mode import Mode

STOPPED: Final = 3
MAX_LINES: Final = 5
_OK: Final = 200


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="what is stopped and what is served (exit code 3 if stopped)",
        description="Tells every stop in force (exit code 3 if there is one) and how each model stands.",
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    add_admin(parser)
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    body = standing_now(arguments)
    if isinstance(body, int):
        return body
    if arguments.json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        _print(body)
    return STOPPED if body["stops"] else 0


def standing_now(arguments: argparse.Namespace) -> dict[str, Any] | int:
    """Return what the admin API tells, else what lies on this host; an exit code where neither can be had."""
    config, differs = (None, "") if arguments.config is None else policy_in_force(arguments.config, or_files=True)
    try:
        client = client_or_none(arguments, None if config is None else config.guard)
    except NoTokenError as problem:
        return fail(str(problem), USAGE)
    answered = None if client is None else client.call("GET", "/v1/status")
    if answered is not None and answered.status == _OK:
        return answered.body
    if config is not None:
        if client is not None:
            why = "does not answer" if answered is None else f"says: {answered.error or answered.status}"
            say(f"the admin API {why}; this is what lies on this host")
        return _local(config, differs)
    if answered is not None:
        return tell(answered)
    if client is not None:
        return fail("the admin API does not answer", 1)
    return fail("give --config DIR, or a token and --admin URL", USAGE)


def _local(config: Config, differs: str) -> dict[str, Any]:
    state = state_of(config.directory, config.guard)
    # Reading makes nothing; where there is no state folder, nothing was ever ordered and no worker has ever run.
    board = board_of(config, create=False) if state.exists() else None
    orders = State() if board is None else board.state()
    held = {} if board is None else board.models_held(orders)
    at = datetime.now(UTC)
    models = []
    for alias in config.models:
        report = standing(config, alias, at)
        models.append(
            {
                "model": alias,
                "standard": f"{report.standard} {report.version}",
                "asl": {"deployment": report.deployment, "security": report.security},
                "routable": report.routable,
                "unmet": [row.row for row in report.unmet],
                "stopped_by": list(held.get(alias, ())),
                **({} if board is None else board.on_ladder(alias, orders)),
            }
        )
    stops = [] if board is None else [each.fields() for each in board.in_force(orders)]
    current = None
    with suppress(OSError):  # said on the way here
        current = Snapshots(state).current()
    policy = {"digest": config.digest, "since": None if current is None else current.since, "differs": differs}
    body: dict[str, Any] = {"stops": stops, "models": models, "workers": list(living(state)), "policy": policy}
    waits = () if board is None else still_waiting(AskedFolder(state).read(), board, time.time())
    body["waiting"] = [each.fields() for each in waits]
    body["rules"] = 0 if board is None else len(board.rules(orders))
    body["resumes_not_counted"] = dict(orders.uncounted())
    body["drills"] = _drills(config, state)
    if config.guard.fleet is not None:
        body["fleet"] = _own_lease(config, state)
    return body


def _drills(config: Config, state: Path) -> dict[str, Any]:
    """How drills stand by the results on this host; looking makes nothing."""
    folder, now = DrillFolder(state), time.time()
    try:
        found = standing_drills(config, folder.results(), folder.since(), now)
    except OSError as problem:
        return {"kinds": [], "gaps": [f"their results cannot be read: {problem.strerror}"], "models": []}
    return drill_fields(config, found)


def _own_lease(config: Config, state: Path) -> dict[str, Any]:
    """What this host alone knows of its fleet."""
    found = {"replica": config.guard.fleet.replica if config.guard.fleet else "", "problem": "", "replicas": []}
    try:
        lease = fleet_lease(config, state, SystemClock())
        wrong = Seen(state).distrust()
    except OSError as problem:
        return {**found, "problem": problem.strerror or "unknown", "lease": lease_fields(None, {}, ())}
    if lease is None:
        return {**found, "lease": lease_fields(None, {}, ())}
    return {
        **found,
        "problem": "" if wrong is None else wrong.why,
        "lease": lease_fields(lease.age(), lease.limits, lease.any_lapsed()),
    }


def _print(body: dict[str, Any]) -> None:
    if not body["workers"]:
        out("no worker runs here: nothing is served; what follows holds for the next start")
    policy = body.get("policy")
    if policy is not None:
        if policy["since"] is not None:
            out(f"policy {policy['digest'][:16]} in force since {_when(policy['since'])}")
        for line in policy["differs"].splitlines()[:MAX_LINES]:
            out(f"THE FILES ARE ANOTHER and not in force: {line}")
        if policy.get("damaged"):
            out(f"THE POLICY IN FORCE IS DAMAGED on this host's disk: {policy['damaged']}")
    if "fleet" in body:
        _print_fleet(body["fleet"])
    if "drills" in body:
        _print_drills(body["drills"])
    for stop in body["stops"]:
        since = "" if stop["since"] is None else f" since {_when(stop['since'])}"
        reason = stop["reason"] or "no reason given"
        lifted = ", lifted below ASL-3" if stop.get("lifted_below_asl_3") else ""
        what = words_of(stop.get("mode", Mode.STOP.value)).done.upper()
        out(f"{what} {stop['scope']}{since} by {stop['who']}: {reason} (order {stop['order']}{lifted})")
    for order, why in body.get("resumes_not_counted", {}).items():
        out(f"resume {order} does not count for all that it names: {why}")
    for each in body.get("waiting", ()):
        people = each["approved_by"] or "nobody yet"
        what = f"of {', '.join(each['lifts'])}, asked for by {each['asked_by']}: {each['reason']}"
        out(f"WAITS FOR APPROVAL until {_when(each['until'])}: resume {what}; approved by {people}")
    if body.get("rules"):
        out(f"{body['rules']} pushed rule orders are in force: see guard rule list")
    modes = {stop["order"]: stop.get("mode", Mode.STOP.value) for stop in body["stops"]}
    lapsed = frozenset(body["fleet"]["lease"]["lapsed"]) if "fleet" in body else frozenset[int]()
    for model in body["models"]:
        out(f"{model['model']}: {model_words(model, modes, lapsed, workers=bool(body['workers']))}")


def model_words(model: dict[str, Any], modes: Mapping[str, str], lapsed: Collection[int], *, workers: bool) -> str:
    """Say how one model stands: what keeps it from being served, or that it is, and under what."""
    if model.get("routable") is False:
        return f"not routable: {len(model['unmet'])} rows of {model['standard']} unmet"
    stopping = [modes.get(each, Mode.STOP.value) for each in model["stopped_by"]]
    named = strongest_first([model["rung"]] if "rung" in model else stopping)
    held = [words_of(mode) for mode in named if mode != OPEN]
    if any(each.refuses for each in held):
        return held[0].done.lower()
    asl = max(model.get("asl", {"": 0}).values())
    if asl in lapsed:
        return f"not served: its lease (ASL-{asl}) has lapsed, no proof that every stop order is known here"
    if not workers:
        return "not stopped, not served"
    return "served" + "".join(f", {each.done.lower()}" for each in held)


def _print_fleet(fleet: dict[str, Any]) -> None:
    age, lapsed = fleet["lease"]["age"], fleet["lease"]["lapsed"]
    known = "never known" if age is None else f"known {age:.1f} s ago"
    out(f"fleet: this is {fleet['replica']}; every stop order was {known}")
    if fleet["problem"]:
        out(f"THE FLEET CANNOT BE RELIED ON: {fleet['problem']}")
    if lapsed:
        out(f"NOT SERVED for want of proof: {', '.join(f'ASL-{asl}' for asl in lapsed)}")
    for each in fleet["replicas"]:
        found = f"SILENT for {each['heard_seconds_ago']:.0f} s" if each["silent"] else f"{each['workers']} workers"
        lapses = f", not serving ASL-{', ASL-'.join(map(str, each['lapsed']))}" if each["lapsed"] else ""
        trouble = f": {each['trouble']}" if each["trouble"] else ""
        out(f"replica {each['replica']}: {found}, orders up to {each['position']}{lapses}{trouble}")


def _print_drills(drills: dict[str, Any]) -> None:
    for each in drills["kinds"]:
        success = "never succeeded yet" if each["last_success"] is None else f"succeeded {_when(each['last_success'])}"
        newest = each["newest"]
        told = "" if newest is None else f"; the last, by {newest['path']} at {_when(newest['at'])}: {newest['words']}"
        late = f", LATE since {_when(each['late_at'])}" if each["late"] else ""
        out(f"{each['kind']} drill: {success}{late}{told}")
    for gap in drills["gaps"]:
        out(f"A GAP of {', '.join(drills['models']) or 'drills'}: {gap}")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
