"""``guard reload``: take up what the configuration's files hold now, and say whether every worker serves by it."""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import Any, Final

from guard.cli.admin_client import NoTokenError
from guard.cli.switch import NOT_ALLOWED, NOT_CONFIRMED, USAGE, add_admin, client_or_none, fail, out, say
from guard.policy.file import UnreadableError, read_regular
from guard.policy.model import GuardConfig
from guard.policy.source import MAX_BYTES, ConfigError, parse
from guard.policy.validate import validate
from guard.state.acknowledgements import process_started
from guard.state.reloads import Outcome, posted

WAIT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.02
_CODES: Final = {Outcome.INVALID.value: USAGE, Outcome.REFUSED.value: NOT_ALLOWED, Outcome.FAILED.value: 1}
_NOT_ALLOWED: Final = frozenset({401, 403})


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "reload",
        help="take up changed files without a restart",
        description="Has a running guard take up its files, and waits until every worker serves by them. Exit codes: "
        "0 in force on every worker; 1 failed, or no guard runs; 2 the files are invalid; 4 refused; 5 in force, but "
        "not confirmed by every worker. Whatever it is but 0 and 5, the policy before stays in force.",
        epilog="The same happens by itself a second after a file has changed, and on SIGHUP to the supervisor.",
    )
    parser.add_argument("--reason", default="", help="recorded, if it goes through the admin API")
    add_admin(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reload; by the admin API with a token, else by a signal on this host."""
    guard = _guard(arguments)
    try:
        client = client_or_none(arguments, guard)
    except NoTokenError as problem:
        return fail(str(problem), USAGE)
    if client is not None:
        answered = client.call("POST", "/v1/reloads", {"reason": arguments.reason}, seconds=WAIT_SECONDS)
        if answered is None:
            return fail("the admin API does not answer", 1)
        if "outcome" not in answered.body:
            code = NOT_ALLOWED if answered.status in _NOT_ALLOWED else 1
            return fail(answered.error or f"the admin API answers {answered.status}", code)
        return tell(answered.body)
    if guard is None:
        return fail("give --config DIR, or a token and --admin URL", USAGE)
    return _signal(arguments, guard)


def _guard(arguments: argparse.Namespace) -> GuardConfig | None:
    """The file guard.yaml alone: whatever is wrong with the others is for the reload to say."""
    if arguments.config is None:
        return None
    try:
        content, _ = read_regular(arguments.config / "guard.yaml", MAX_BYTES)
        return validate(parse("guard.yaml", content), GuardConfig)
    except (UnreadableError, ConfigError):
        if arguments.admin is None:
            say("guard.yaml cannot be read, so where the guard is is not known; `guard check` says what is wrong")
            raise
        return None


def _signal(arguments: argparse.Namespace, guard: GuardConfig) -> int:
    state = arguments.config / guard.storage.state
    before = posted(state)
    if before is None or process_started(before.pid) != before.started:
        return fail("no guard runs here", 1)
    try:
        os.kill(before.pid, signal.SIGHUP)
    except PermissionError:
        return fail("the guard is another user's; use a token, or that user", NOT_ALLOWED)
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and process_started(before.pid) == before.started:
        now = posted(state)
        if now is not None and now.count > before.count and now.last.get("by") == "signal":
            return tell(now.last)
        time.sleep(POLL_SECONDS)
    return fail("the guard was asked and has not answered", 1)


def tell(last: dict[str, Any]) -> int:
    """Say what became of it; returns the exit code."""
    digest = str(last["digest"])[:16] or "unknown"
    if last["outcome"] in _CODES:
        say(f"{last['outcome']}: {str(last['before'])[:16]} stays in force")
        for problem in last["problems"]:
            say(str(problem))
        return _CODES[last["outcome"]]
    missing = last["missing"]
    changes = f"{last['changes']} change{'' if last['changes'] == 1 else 's'}"
    effect = f"{changes}, {last['effect']}" if last["effect"] else "unchanged"
    approved = f", approved by {' and '.join(last['approved_by'])}" if last["approved_by"] else ""
    streams = f", {last['streams_cut']} streams cut" if last["streams_cut"] else ""
    out(
        f"{digest} in force on {last['workers']}/{last['workers'] + len(missing)} workers in "
        f"{last['seconds'] * 1000:.0f} ms: {effect}{approved}{streams}"
    )
    if missing:
        return fail(f"not confirmed by worker {', '.join(missing)}; it is being replaced", NOT_CONFIRMED)
    return 0
