"""``guard audit export``: exchanges as JSON lines or Parquet, with a manifest; no texts unless they may be opened."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from guard import __version__
from guard.audit.contents import ContentError, Contents
from guard.audit.export import MANIFEST, Purpose, Shown, Tally, Writer, export, json_lines
from guard.audit.read import Damage
from guard.audit.render import line
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


class Form(StrEnum):
    """In which form the records are written."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser(
        "export",
        help="write exchanges as JSON lines or Parquet, with a manifest of hashes",
        description=f"Writes records.jsonl, or exchanges-00001.parquet and so on, and, when all of it is written, "
        f"{MANIFEST} into a new directory. It is put on record with --who and --reason.",
    )
    add_config(parser)
    add_wanted(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new directory")
    parser.add_argument(
        "--format",
        type=Form,
        choices=list(Form),
        default=Form.JSONL,
        help="jsonl: a record a line (the default); parquet: an exchange a row, in typed columns",
    )
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
    write = _writer(arguments.format)
    if write is None:
        sys.stderr.write("guard: --format parquet needs the extra parquet: pip install 'asl-guard[parquet]'\n")
        return 2
    try:
        acting = person(config, arguments, Act.READ_TEXTS if arguments.content else Act.READ_RECORDS)
        contents = None
        if arguments.content or arguments.text_file is not None:
            contents = open_contents(config, arguments, asked)
        text = "with texts" if arguments.content else "redacted"
        record(config, acting, "export", asked, f"{text}, {arguments.format}")
        tally = Tally()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        purpose = Purpose(__version__, created, acting.named, acting.reason, asked, not arguments.content)
        digest = export(arguments.out, purpose, _exchanges(config, arguments, contents, tally), tally, write)
        record(config, acting, "exported", asked, f"{tally.exchanges} exchanges, {MANIFEST} sha256 {digest}")
    except (LedgerError, RefusedError, ContentError, MemoryError) as error:
        return failed(error)
    lost = f", texts of {tally.lost} records could not be opened" if tally.lost else ""
    sys.stdout.write(f"{tally.exchanges} exchanges, {tally.records} records{lost}: {arguments.out}\n")
    return 1 if tally.damage or tally.lost else 0


def _writer(form: Form) -> Writer | None:
    """What writes the form; None where that is not installed."""
    if form is Form.JSONL:
        return json_lines
    try:
        from guard.audit.parquet import parquet_files  # noqa: PLC0415 - an extra, which may be missing
    except ImportError:
        return None
    return parquet_files


def _exchanges(
    config: Config, arguments: argparse.Namespace, contents: Contents | None, tally: Tally
) -> Iterator[tuple[Shown, ...]]:
    text = known_text(arguments, contents)
    progress = Progress("records")
    shown = contents if arguments.content else None
    try:
        for hit in found(audit_folder(config), wanted(arguments), text, whole=True, passed=progress):
            if isinstance(hit, Damage):
                tally.damage.append(line(hit))
                continue
            exchange = tuple(Shown(item, *texts(shown, item)) for item in entries(hit))
            tally.exchanges += 1
            tally.records += len(exchange)
            tally.lost += sum(bool(one.lost) for one in exchange)
            yield exchange
    finally:
        progress.end()
