"""``guard audit tail`` and ``guard audit show``: read the request log; texts only when asked for."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from guard.audit.read import ALWAYS, Entry, Item, follow, iter_records, search
from guard.audit.records import Intent, Outcome
from guard.audit.render import json_line, line
from guard.audit.segments import LedgerError
from guard.cli import audit_proof
from guard.cli.options import add_config
from guard.policy.load import load

_POLL_SECONDS = 0.2
_MAX_LAST = 100_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    group = commands.add_parser("audit", help="read, verify and prove the request log").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    tail = group.add_parser("tail", help="print its records, a line each")
    how = tail.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help="go on as it grows")
    how.add_argument("-n", type=_count, dest="last", metavar="N", help="only the last N of them")
    tail.add_argument("--since", type=_instant, default=ALWAYS, metavar="TIME", help="RFC 3339, or a day")
    tail.set_defaults(run=_tail)
    show = group.add_parser("show", help="print all records of one request")
    show.add_argument("id", help="the request's id, as in the answer's x-request-id")
    show.set_defaults(run=_show)
    audit_proof.add(group)
    for parser in (tail, show):
        add_config(parser)
        parser.add_argument("--content", action="store_true", help="with the texts of prompts and completions")
        parser.add_argument("--json", action="store_true", help="a JSON object a line")


def _tail(arguments: argparse.Namespace) -> int:
    audit = _folder(arguments)
    render = json_line if arguments.json else line
    try:
        items: Iterable[Item] = (
            follow(audit, _wait, arguments.since) if arguments.follow else iter_records(audit, arguments.since)
        )
        if arguments.last is not None:
            items = deque(items, arguments.last)
        for item in items:
            sys.stdout.write(render(item, content=arguments.content) + "\n")
            if arguments.follow:
                sys.stdout.flush()
    except LedgerError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1
    return 0


def _show(arguments: argparse.Namespace) -> int:
    render = json_line if arguments.json else line
    known = False
    try:
        for item in search(_folder(arguments), arguments.id):
            known |= isinstance(item, Entry) and isinstance(item.record, Intent | Outcome)
            sys.stdout.write(render(item, content=arguments.content) + "\n")
    except LedgerError as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1
    if not known:
        sys.stderr.write("guard: no request of this id is on record\n")
        return 1
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    config = load(arguments.config)
    return config.directory / config.guard.storage.audit


def _wait() -> bool:
    time.sleep(_POLL_SECONDS)
    return True


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_LAST)) and 0 < int(text) <= _MAX_LAST):
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MAX_LAST}")
    return int(text)


def _instant(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a time as 2026-11-23T08:00:00Z, or a day") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
