"""``guard stop``: through the admin API, and without it on the host itself; what `guard resume` shares with it.

A stop asks nothing and takes any path that works: with a token the admin API, which names its person; else, or when
the API does not do it, an order written where the workers look for it, even under a configuration that is broken.
It is one file because both commands share their paths and how they tell what was done.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from guard.admin.switchboard import Obeyed, Switchboard, place
from guard.cli.admin_client import AdminClient, Answer, NoTokenError, admin_client
from guard.cli.beside import Beside
from guard.cli.everywhere import Here, stop_everywhere
from guard.cli.known_scope import why_unknown
from guard.cli.on_host import who_on_host
from guard.cli.options import add_config, state_of
from guard.policy.file import UnreadableError, read_regular
from guard.policy.fleet import FleetConfig
from guard.policy.load import Config, load
from guard.policy.model import GuardConfig
from guard.policy.source import MAX_BYTES, ConfigError, Problem, parse
from guard.policy.validate import validate
from guard.serve.engines import Named, open_engine, open_peers
from guard.state.acknowledgements import waiting_for
from guard.state.directory import OrderDirectory
from guard.state.engine import StateEngine
from guard.state.merge import told_people
from guard.state.orders import ENTROPY_BYTES, Source, issue_stop
from guard.state.scope import SCOPE_FORMS, OrderError, Scope
from safeguards.mode import Mode

T = TypeVar("T")
WAIT_SECONDS: Final = 10.0
USAGE: Final = 2
NOT_ALLOWED: Final = 4
NOT_CONFIRMED: Final = 5
BAD_REQUEST: Final = 400
ALONE_SECONDS: Final = 0.25
API_SECONDS: Final = 16.0  # it is looked for, and waits for the workers
_UNASKED: Final = "is not asked"
_LATE: Final = "has not answered yet"
_DONE: Final = {
    "drain": "draining",
    "quarantine": "quarantined",
    "stricter": "stricter for",
    "fallback": "fallback for",
    "no_new_principals": "no new principals for",
    "de_deployed": "de-deployed",
}
_CODES: Final = {BAD_REQUEST: USAGE, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 409: NOT_ALLOWED}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    stop = commands.add_parser(
        "stop",
        help="stop serving and cut what runs",
        description="Stops at once and asks nothing. Exit codes: 0 every worker has obeyed; 2 no such scope; "
        "5 ordered, but not confirmed by every worker.",
        epilog=f"SCOPE: {SCOPE_FORMS}. Without any command of ours: touch STATE/orders/STOP.",
    )
    stop.add_argument("scope", metavar="SCOPE")
    stop.add_argument("--reason", default="", help="recorded; may be told later")
    stop.add_argument(
        "--mode",
        type=Mode,
        choices=list(Mode),
        default=Mode.STOP,
        help="stop: refuse and cut (default); drain: refuse what is new, let answers end; quarantine: a stop for all "
        "but the tiers that investigate; rungs of a model's ladder: stricter: enforce what is in shadow; fallback: "
        "another model answers; no_new_principals: refuse new keys; de_deployed: a stop that names the replacement",
    )
    stop.add_argument("--state", type=Path, metavar="DIR", help="the state folder, when no configuration can be read")
    stop.set_defaults(run=order_stop)
    add_admin(stop)


def add_admin(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a command finds the guard."""
    add_config(parser, required=False)
    parser.add_argument("--admin", metavar="URL", help="the admin listener (default: from the configuration)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="or the variable GUARD_ADMIN_TOKEN")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust for an https:// admin listener")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="certificate and key to show there, in one file of PEM"
    )


def board_of(config: Config, *, create: bool = True) -> Switchboard:
    """Return the switchboard over the orders of this host; without ``create`` raises OSError where there are none."""
    state = state_of(config.directory, config.guard)
    return Switchboard(config, OrderDirectory(state, create=create), state, time.time, os.urandom)


def order_stop(arguments: argparse.Namespace) -> int:
    """Order the stop that the arguments name, by every path there is; returns the exit code."""
    config, guard = _known(arguments)
    if guard is not None and guard.fleet is not None and arguments.state is None:
        return _stop_fleet(arguments, config, guard, guard.fleet)
    asking = Beside(lambda: _ask_for_stop(arguments, guard))
    alone = guard is None and arguments.state is None
    # Everywhere else the API has a moment, in which it names its person; then the order is given on this host besides.
    settled = asking.within(API_SECONDS if alone else ALONE_SECONDS)
    answered, why = settled or (None, "does not answer" if alone else _LATE)
    if answered is not None and (not why or alone):
        return tell(answered)
    if why:
        say(f"the admin API {why}; ordering on this host")
    code = _stop_here(arguments, config, guard)
    if settled is None and not alone:
        answered, why = _heard_late(asking, code, named=arguments.admin is not None)
        if answered is not None and code not in {0, NOT_CONFIRMED}:
            return tell(answered)
    if arguments.admin is None or not why.startswith(_UNASKED) or code not in {0, NOT_CONFIRMED}:
        return code
    # A confirmation by this host's workers says nothing of the guard that was meant.
    return fail(f"ordered HERE, on this host, and NOT at {arguments.admin}, which was not asked", NOT_CONFIRMED)


def _heard_late(asking: Beside[tuple[Answer | None, str]], code: int, *, named: bool) -> tuple[Answer | None, str]:
    """Return what the API says after all: waited for where somebody named it, or where this host could do nothing."""
    wait = named or code not in {0, NOT_CONFIRMED}
    answered, why = asking.within(API_SECONDS if wait else 0.0) or (None, "does not answer")
    if answered is not None and "order" in answered.body:
        say(f"the admin API gave order {answered.body['order']} besides; resuming the scope lifts both")
        return answered, why
    if wait:
        say(f"the admin API {why or 'does not do it'}")
    return None, why


def _stop_fleet(arguments: argparse.Namespace, config: Config | None, guard: GuardConfig, fleet: FleetConfig) -> int:
    """By every path at once; the admin API too, where there is a token for it."""
    try:
        scope = Scope.parse(arguments.scope)
        order = issue_stop(
            scope,
            reason=arguments.reason,
            who=who_on_host(),
            source=Source.CLI,
            now=time.time(),
            entropy=os.urandom(ENTROPY_BYTES),
            mode=arguments.mode,
        )
    except OrderError as problem:
        return fail(str(problem), USAGE)
    asking = _asking(arguments, guard)
    if config is not None and (unknown := why_unknown(scope, config)):
        # Another guard of the fleet may serve what is not known here.
        answered = None if asking is None else asking()
        if answered is not None and ("order" in answered.body or answered.status == BAD_REQUEST):
            return tell(answered)
        return fail(unknown, USAGE)
    here, named = here_of(arguments, guard), arguments.admin is not None
    engine, peers = engine_of(arguments, fleet), _usable(open_peers, arguments, fleet)
    found = stop_everywhere(order, here, engine, asking, peers=peers, named=named)
    for remark in found.remarks:
        say(remark)
    code = fail("no path works", 1) if found.answer is None else tell(found.answer)
    if found.answer is None or not found.unasked:
        return code
    # What this configuration's fleet confirms says nothing of the guard that was meant.
    return fail(f"ordered in the fleet of this configuration, and NOT by {arguments.admin}", NOT_CONFIRMED)


def here_of(arguments: argparse.Namespace, guard: GuardConfig) -> Here:
    """Return this host's part of a fleet."""
    return Here(state_of(arguments.config, guard), tuple(str(index) for index in range(guard.workers)))


def engine_of(arguments: argparse.Namespace, fleet: FleetConfig) -> StateEngine | None:
    """Return the fleet's engine; one that cannot be opened is told and is no reason not to stop."""
    return _usable(open_engine, arguments, fleet)


def _usable(
    opened: Callable[[FleetConfig, Path, Named], T], arguments: argparse.Namespace, fleet: FleetConfig
) -> T | None:
    try:
        return opened(fleet, arguments.config, lambda _, words: Problem("guard.yaml", 0, "fleet", words))
    except (ConfigError, OSError) as problem:
        say(str(problem))
        return None


def _asking(arguments: argparse.Namespace, guard: GuardConfig) -> Callable[[], Answer | None] | None:
    """Return what asks the admin API for a stop; None where there is no token, or none that can be used."""
    try:
        client = admin_client(arguments, guard)
    except (OSError, ValueError) as problem:
        say(f"the admin API {_UNASKED} ({problem})")
        return None
    if client is None:
        return None
    body = _stop_body(arguments)
    return lambda: client.call("POST", "/v1/stops", body) if client.responds() else None


def _stop_body(arguments: argparse.Namespace) -> dict[str, str]:
    body = {"scope": arguments.scope, "reason": arguments.reason}
    # A guard that knows no modes still takes a stop.
    return body if arguments.mode is Mode.STOP else {**body, "mode": arguments.mode.value}


def _known(arguments: argparse.Namespace) -> tuple[Config | None, GuardConfig | None]:
    """What is known of the guard; where the configuration is broken, its guard.yaml may still be whole."""
    if arguments.config is None:
        return None, None
    try:
        config = load(arguments.config)
    except ConfigError as error:
        try:
            content, _ = read_regular(arguments.config / "guard.yaml", MAX_BYTES)
            guard = validate(parse("guard.yaml", content), GuardConfig)
        except (UnreadableError, ConfigError):
            guard = None
        if guard is None and arguments.state is None and arguments.admin is None:
            say("the configuration cannot be read; give --state DIR, the folder `storage.state` of guard.yaml")
            raise
        say(f"the configuration is broken ({error.problems[0]}); the scope is not checked")
        return None, guard
    return config, config.guard


def _ask_for_stop(arguments: argparse.Namespace, guard: GuardConfig | None) -> tuple[Answer | None, str]:
    """Try the admin API; returns its word, and why another path is to be taken (empty: it is settled, or no token)."""
    try:
        client = admin_client(arguments, guard)
    except (OSError, ValueError) as problem:
        return None, f"{_UNASKED} ({problem})"
    if client is None:
        return None, ""
    answered = None
    if client.responds():
        answered = client.call("POST", "/v1/stops", _stop_body(arguments))
    if answered is None:
        return None, "does not answer"
    if "order" in answered.body or (answered.status == BAD_REQUEST and answered.error):
        return answered, ""
    return answered, f"does not do it ({answered.error or answered.status})"


def _stop_here(arguments: argparse.Namespace, config: Config | None, guard: GuardConfig | None) -> int:
    """Write the order where the workers of this host look; what a whole configuration does not know is refused."""
    state, known = arguments.state, None
    if state is None:
        if guard is None:
            return fail("no path works: give --config DIR, or --state DIR, or a token and --admin URL", USAGE)
        state, known = state_of(arguments.config, guard), config
    workers = [] if guard is None else [str(index) for index in range(guard.workers)]
    entropy = os.urandom(ENTROPY_BYTES)
    try:
        scope = Scope.parse(arguments.scope)
        if known is not None and (unknown := why_unknown(scope, known)):
            return fail(unknown, USAGE)
        directory = OrderDirectory(state, create=known is not None)
        who, now, mode = who_on_host(), time.time(), arguments.mode
        began = time.monotonic()
        placed = place(
            directory, scope, arguments.reason, who, Source.CLI, now=now, entropy=entropy, mode=mode, leaving=True
        )
    except OrderError as problem:
        return fail(str(problem), USAGE)
    return await_obedience(
        placed.order, placed.fields(), lambda: Obeyed(*waiting_for(state, placed.order, workers)), began
    )


def client_or_none(arguments: argparse.Namespace, guard: GuardConfig | None) -> AdminClient | None:
    """As `admin_client`; a token that cannot be used is an OSError, none at all stays a NoTokenError."""
    try:
        return admin_client(arguments, guard)
    except NoTokenError:
        raise
    except ValueError as problem:
        raise OSError(0, str(problem)) from None


def await_obedience(order: str, fields: dict[str, Any], obeyed: Callable[[], Obeyed], began: float) -> int:
    """Wait until every worker has applied an order, say what it did, and return the exit code.

    ``began`` is when it was asked for, of `time.monotonic`: whoever is told how long it took has waited for the disk.
    """
    until = time.monotonic() + WAIT_SECONDS
    found = obeyed()
    while found.missing and time.monotonic() < until:
        time.sleep(0.01)
        found = obeyed()
    body = {
        "order": order,
        **fields,
        "workers": len(found.acks),
        "missing": list(found.missing),
        "streams_cut": found.streams_cut,
        "seconds": round(time.monotonic() - began, 3),
    }
    return tell(Answer(202 if found.missing else 200, body))


def tell(answer: Answer) -> int:
    """Say what an order did, in one line and, where something is left, one more each; returns the exit code."""
    body = answer.body
    if answer.error or "order" not in body:
        return fail(answer.error or f"the admin API answers {answer.status}", _CODES.get(answer.status, 1))
    missing = body["missing"]
    count = body.get("workers_of", body["workers"] + len(missing))
    done = _DONE.get(body.get("mode", ""), "stopped")
    rule = body.get("kind") == "rule"
    if rule and "rules" in body:
        done = f"pushed {body['rules']} rule{'' if body['rules'] == 1 else 's'} on"
    what = f"{done} {body['scope']}" if "scope" in body else f"lifted {', '.join(body['lifts'])}"
    if "approved_by" in body:
        what += f" as approved by {told_people(body['approved_by'], body.get('approved_with', ()))}"
    streams = f", {body['streams_cut']} streams cut" if "scope" in body and not rule else ""
    replicas = f" on {body['replicas']}/{body['replicas_of']} replicas" if "replicas" in body else ""
    out(
        f"{what}: applied on {body['workers']}/{count} workers{replicas} in {body['seconds'] * 1000:.0f} ms{streams} "
        f"(order {body['order']})"
    )
    if body.get("on_disk") is False:
        say("it is in force, and not on the disk yet: a crash of the host could lose it; look at the disk of the state")
    for held in body.get("held", ()):
        out(f"still {'screened' if rule else 'stopped'}: {held['model']}: {held['why']}")
    if missing:
        who = f"{'' if replicas else 'worker '}{', '.join(missing)}"
        other = "" if "scope" in body else ", or not count it: see its log"
        other = ", or refuse all that the rule covers: see guard rule list" if rule and "scope" in body else other
        return fail(f"in force, but not confirmed by {who}; it may not be running{other}", NOT_CONFIRMED)
    if not body["workers"]:
        return fail("in force, but no worker that runs here was found to confirm it", NOT_CONFIRMED)
    return 0


def out(line: str) -> None:
    """Print a line of which a terminal obeys nothing: reasons and names come from others."""
    sys.stdout.write(_printable(line) + "\n")


def say(message: str) -> None:
    """Print a remark."""
    sys.stderr.write(f"guard: {_printable(message)}\n")


def fail(message: str, code: int) -> int:
    """Print what is wrong and return the exit code."""
    say(message)
    return code


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
