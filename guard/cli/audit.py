"""``guard audit``: reading the request log, and keeping it; texts only for whoever may open them."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterable

from guard.audit.contents import Contents
from guard.audit.read import ALWAYS, Entry, Item, follow, iter_records, search
from guard.audit.records import Intent, Outcome
from guard.audit.render import json_line, line
from guard.audit.segments import LedgerError
from guard.cli import audit_export, audit_proof, audit_recover, audit_retention, audit_search, audit_ship
from guard.cli.audit_access import RefusedError, add_access, audit_folder, failed, open_contents, texts
from guard.cli.options import add_config, instant
from guard.cli.progress import Progress
from guard.policy.load import load

_POLL_SECONDS = 0.2
_MAX_LAST = 100_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    group = commands.add_parser("audit", help="read, keep, verify and prove the request log").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    tail = group.add_parser("tail", help="print its records, a line each")
    how = tail.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help="go on as it grows")
    how.add_argument("-n", type=_count, dest="last", metavar="N", help="only the last N of them")
    tail.add_argument("--since", type=instant, default=ALWAYS, metavar="TIME", help="RFC 3339, or a day")
    tail.set_defaults(run=_tail)
    show = group.add_parser("show", help="print all records of one request")
    show.add_argument("id", help="the request's id, as in the answer's x-request-id")
    show.set_defaults(run=_show)
    audit_proof.add(group)
    audit_recover.add(group)
    for parser in (tail, show):
        add_config(parser)
        add_access(parser)
        parser.add_argument("--json", action="store_true", help="a JSON object a line")
    for each in (audit_search, audit_export, audit_retention, audit_ship):
        each.add(group)


def _tail(arguments: argparse.Namespace) -> int:
    render = json_line if arguments.json else line
    try:
        contents = _contents(arguments, "every record" if arguments.last is None else f"the last {arguments.last}")
        audit = audit_folder(load(arguments.config))
        items: Iterable[Item] = (
            follow(audit, _wait, arguments.since)
            if arguments.follow
            else iter_records(audit, arguments.since, last=arguments.last or 0)
        )
        if arguments.last is not None:
            items = deque(items, arguments.last)
        for item in items:
            sys.stdout.write(render(item, *texts(contents, item)) + "\n")
            if arguments.follow:
                sys.stdout.flush()
    except (LedgerError, RefusedError) as error:
        return failed(error)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    render = json_line if arguments.json else line
    known = False
    progress = Progress("MiB of the log")
    try:
        contents = _contents(arguments, f"request:{arguments.id[:64]}")
        for item in search(audit_folder(load(arguments.config)), arguments.id, progress.read):
            progress.end()
            known |= isinstance(item, Entry) and isinstance(item.record, Intent | Outcome)
            sys.stdout.write(render(item, *texts(contents, item)) + "\n")
    except (LedgerError, RefusedError) as error:
        return failed(error)
    finally:
        progress.end()
    if not known:
        sys.stderr.write("guard: no request of this id is on record\n")
        return 1
    return 0


def _contents(arguments: argparse.Namespace, subject: str) -> Contents | None:
    return open_contents(load(arguments.config), arguments, subject) if arguments.content else None


def _wait() -> bool:
    time.sleep(_POLL_SECONDS)
    return True


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_LAST)) and 0 < int(text) <= _MAX_LAST):
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MAX_LAST}")
    return int(text)
