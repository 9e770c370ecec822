"""``guard audit export``: exchanges as JSON lines with a manifest, without texts unless they may be opened."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from guard import __version__
from guard.audit.contents import ContentError, Contents
from guard.audit.export import MANIFEST, RECORDS, Purpose, Tally, export
from guard.audit.read import Damage
from guard.audit.render import json_line, line
from guard.audit.search import found
from guard.audit.segments import LedgerError
from guard.cli.audit_access import (
    RefusedError,
    add_key,
    add_person,
    audit_folder,
    failed,
    open_contents,
    person,
    record,
    texts,
)
from guard.cli.audit_search import add_wanted, described, entries, known_text, wanted
from guard.cli.options import add_config
from guard.cli.progress import Progress
from guard.policy.load import Config, load
from guard.policy.roles import Act


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser(
        "export",
        help="write exchanges as JSON lines, with a manifest of hashes",
        description=f"Writes {RECORDS} and, when all of it is written, {MANIFEST} into a new directory. It is put on "
        "record with --who and --reason.",
    )
    add_config(parser)
    add_wanted(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new directory")
    parser.add_argument("--content", action="store_true", help="with texts; else the export is redacted")
    add_person(parser, required=True)
    add_key(parser)
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    asked = described(arguments)
    if arguments.out.exists():
        sys.stderr.write(f"guard: {arguments.out} exists, and nothing is overwritten\n")
        return 2
    try:
        acting = person(config, arguments, Act.READ_TEXTS if arguments.content else Act.READ_RECORDS)
        contents = None
        if arguments.content or arguments.text_file is not None:
            contents = open_contents(config, arguments, asked)
        record(config, acting, "export", asked, "with texts" if arguments.content else "redacted")
        tally = Tally()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        purpose = Purpose(__version__, created, acting.named, acting.reason, asked, not arguments.content)
        digest = export(arguments.out, purpose, _lines(config, arguments, contents, tally), tally)
        record(config, acting, "exported", asked, f"{tally.exchanges} exchanges, {RECORDS} sha256 {digest}")
    except (LedgerError, RefusedError, ContentError, MemoryError) as error:
        return failed(error)
    lost = f", texts of {tally.lost} records could not be opened" if tally.lost else ""
    sys.stdout.write(f"{tally.exchanges} exchanges, {tally.records} records{lost}: {arguments.out}\n")
    return 1 if tally.damage or tally.lost else 0


def _lines(config: Config, arguments: argparse.Namespace, contents: Contents | None, tally: Tally) -> Iterator[str]:
    text = known_text(arguments, contents)
    progress = Progress("records")
    shown = contents if arguments.content else None
    try:
        for hit in found(audit_folder(config), wanted(arguments), text, whole=True, passed=progress):
            if isinstance(hit, Damage):
                tally.damage.append(line(hit))
                continue
            tally.exchanges += 1
            for item in entries(hit):
                opened, lost = texts(shown, item)
                tally.records += 1
                tally.lost += bool(lost)
                yield json_line(item, opened, lost)
    finally:
        progress.end()
