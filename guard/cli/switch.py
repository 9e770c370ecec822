"""``guard stop``, ``guard resume``, ``guard status``: through the admin API, and without it on the host itself.

A stop asks nothing and takes any path that works: with a token the admin API, which names its person; else, or when
the API does not answer, an order written where the workers look for it.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx

from guard.admin.switchboard import ResumeRefusedError, Switchboard, UnknownScopeError
from guard.cli.options import add_config
from guard.policy.load import Config, load
from guard.state.directory import OrderDirectory
from guard.state.orders import ENTROPY_BYTES, SCOPE_FORMS, OrderError, Scope, Source, issue_stop

API_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 10.0
NOT_ALLOWED: Final = 4
NOT_CONFIRMED: Final = 5
STOPPED: Final = 3


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    stop = commands.add_parser("stop", help="stop serving and cut what runs", epilog=f"SCOPE: {SCOPE_FORMS}")
    stop.add_argument("scope", metavar="SCOPE")
    stop.add_argument("--reason", default="", help="recorded; may be told later")
    stop.add_argument("--state", type=Path, metavar="DIR", help="the state folder, when no configuration can be read")
    stop.set_defaults(run=_stop)
    resume = commands.add_parser("resume", help="lift a stop")
    resume.add_argument("target", metavar="ORDER|SCOPE", help="the order's id, or the scope it was given for")
    resume.add_argument("--reason", required=True)
    resume.set_defaults(run=_resume)
    status = commands.add_parser("status", help="what is stopped and what is served (exit code 3 if stopped)")
    status.add_argument("--json", action="store_true", help="for machines")
    status.set_defaults(run=_status)
    for parser in (stop, resume, status):
        add_config(parser, required=False)
        parser.add_argument("--admin", metavar="URL", help="the admin listener (default: from the configuration)")
        parser.add_argument("--token-file", type=Path, metavar="FILE", help="or the variable GUARD_ADMIN_TOKEN")


class _Api:
    """The admin API for somebody with a token."""

    def __init__(self, url: str, token: str) -> None:
        # localhost by name or number, never through a proxy of the environment
        self._client = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=API_SECONDS, trust_env=False
        )

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]] | None:
        """Return status and answer, or None when nobody sensible answers there."""
        try:
            answer = self._client.request(method, path, json=body)
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        return (answer.status_code, found) if isinstance(found, dict) else None


def _api(arguments: argparse.Namespace, config: Config | None) -> _Api | None:
    token = os.environ.get("GUARD_ADMIN_TOKEN", "")
    if arguments.token_file is not None:
        token = arguments.token_file.read_text().strip()
    url = arguments.admin
    if url is None and config is not None:
        host = config.guard.admin.host
        url = f"http://{f'[{host}]' if ':' in host else host}:{config.guard.admin.port}"
    return _Api(url, token) if token and url else None


def _config(arguments: argparse.Namespace) -> Config | None:
    return None if arguments.config is None else load(arguments.config)


def _board(config: Config) -> Switchboard:
    state = config.directory / config.guard.storage.state
    return Switchboard(config, OrderDirectory(state), state, time.time, os.urandom)


def _who() -> str:
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()} (on the host)"


def _stop(arguments: argparse.Namespace) -> int:
    if arguments.state is not None:
        return _stop_blindly(arguments)
    config = _config(arguments)
    api = _api(arguments, config)
    answered = api.call("POST", "/v1/stops", {"scope": arguments.scope, "reason": arguments.reason}) if api else None
    if answered is not None and answered[0] < 500:  # noqa: PLR2004 - a server that fails is no path
        return _tell(*answered)
    if config is None:
        return _fail("no path works: give --config DIR, or --state DIR, or a token and --admin URL", 2)
    if api is not None:
        sys.stderr.write("guard: the admin API does not answer; ordering on this host\n")
    board = _board(config)
    try:
        placed = board.stop(arguments.scope, arguments.reason, _who(), Source.CLI)
    except (UnknownScopeError, OrderError) as problem:
        return _fail(str(problem), 2)
    return _await_obedience(board, placed.order, config, {"scope": str(placed.scope)})


def _stop_blindly(arguments: argparse.Namespace) -> int:
    try:
        order = issue_stop(
            Scope.parse(arguments.scope),
            reason=arguments.reason,
            who=_who(),
            source=Source.CLI,
            now=time.time(),
            entropy=os.urandom(ENTROPY_BYTES),
        )
    except OrderError as problem:
        return _fail(str(problem), 2)
    OrderDirectory(arguments.state, create=False).put(order)
    sys.stdout.write(f"stopped {order.scope} (order {order.id}); not confirmed: no configuration to know workers by\n")
    return NOT_CONFIRMED


def _resume(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    api = _api(arguments, config)
    if api is not None:
        answered = api.call("POST", "/v1/resumes", {"target": arguments.target, "reason": arguments.reason})
        if answered is not None:
            return _tell(*answered)
        return _fail("the admin API does not answer", 1)
    if config is None:
        return _fail("give --config DIR, or a token and --admin URL", 2)
    board = _board(config)
    try:
        order, plan = board.resume(arguments.target, arguments.reason, _who(), Source.CLI)
    except ResumeRefusedError as refusal:
        return _fail(str(refusal), NOT_ALLOWED)
    except OrderError as problem:
        return _fail(str(problem), 2)
    held = [{"model": each.model, "why": each.why} for each in plan.held]
    return _await_obedience(board, order, config, {"lifts": list(plan.lifts), "freed": list(plan.freed), "held": held})


def _await_obedience(board: Switchboard, order: str, config: Config, fields: dict[str, Any]) -> int:
    expected = [str(index) for index in range(config.guard.workers)]
    began = time.monotonic()
    obeyed = board.obeyed(order, expected)
    while obeyed.missing and time.monotonic() < began + WAIT_SECONDS:
        time.sleep(0.01)
        obeyed = board.obeyed(order, expected)
    body = {
        "order": order,
        **fields,
        "workers": len(obeyed.acks),
        "missing": list(obeyed.missing),
        "streams_cut": obeyed.streams_cut,
        "seconds": round(time.monotonic() - began, 3),
    }
    return _tell(202 if obeyed.missing else 200, body)


def _tell(status: int, body: dict[str, Any]) -> int:
    """Say what an order did, in one line and, where something is left, one more each."""
    if "error" in body:
        codes = {400: 2, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 409: NOT_ALLOWED}
        return _fail(str(body["error"]), codes.get(status, 1))
    missing = body["missing"]
    count = body["workers"] + len(missing)
    what = f"stopped {body['scope']}" if "scope" in body else f"lifted {', '.join(body['lifts'])}"
    streams = f", {body['streams_cut']} streams cut" if "scope" in body else ""
    sys.stdout.write(
        f"{what}: applied on {body['workers']}/{count} workers in {body['seconds'] * 1000:.0f} ms{streams} "
        f"(order {body['order']})\n"
    )
    for held in body.get("held", ()):
        sys.stdout.write(f"still stopped: {held['model']}: {held['why']}\n")
    if missing:
        return _fail(f"not confirmed by worker {', '.join(missing)}", NOT_CONFIRMED)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    api = _api(arguments, config)
    answered = api.call("GET", "/v1/status") if api else None
    if answered is not None:
        status, body = answered
        if status != 200:  # noqa: PLR2004 - HTTP's OK
            return _tell(status, body)
    elif config is not None:
        body = _local_status(config)
    else:
        return _fail("give --config DIR, or a token and --admin URL", 2)
    if arguments.json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        _print_status(body)
    return STOPPED if body["stops"] else 0


def _local_status(config: Config) -> dict[str, Any]:
    board = _board(config)
    held = board.models_held()
    stops = [
        {
            "order": stop.id,
            "scope": str(stop.scope),
            "reason": stop.reason,
            "who": getattr(stop, "who", "a file"),
            "since": getattr(stop, "created", None),
        }
        for stop in board.state().still_held(0)
    ]
    models = [{"model": alias, "stopped_by": list(held.get(alias, ()))} for alias in config.models]
    return {"stops": stops, "models": models, "workers": []}


def _print_status(body: dict[str, Any]) -> None:
    for stop in body["stops"]:
        since = "" if stop["since"] is None else f" since {_when(stop['since'])}"
        reason = stop["reason"] or "no reason given"
        sys.stdout.write(f"STOPPED {stop['scope']}{since} by {stop['who']}: {reason} (order {stop['order']})\n")
    for model in body["models"]:
        standing = "stopped" if model["stopped_by"] else "served"
        if model.get("routable") is False:
            standing = f"not routable: {len(model['unmet'])} rows of {model['standard']} unmet"
        sys.stdout.write(f"{model['model']}: {standing}\n")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _fail(message: str, code: int) -> int:
    # Reasons and names may come from others: a terminal must not obey what is in them.
    printable = "".join(letter if letter.isprintable() else "?" for letter in message)
    sys.stderr.write(f"guard: {printable}\n")
    return code
