"""``guard incident export``: an incident as a folder for somebody else (`guard.incidents.bundle`), put on record."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

from guard import __version__
from guard.audit.segments import LedgerError
from guard.cli.audit_access import RefusedError, add_person, audit_folder, failed, person, record
from guard.cli.options import add_config
from guard.cli.progress import Progress
from guard.incidents.bundle import MANIFEST, Bundle, BundleError, belonging, bundle
from guard.incidents.folder import IncidentFolder
from guard.policy.load import load
from guard.policy.roles import Act

MODE: Final = 0o600


def add(group: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = group.add_parser(
        "export",
        help="write it into a new folder: events, the records that belong to it, a manifest of hashes",
        description=f"Writes events.jsonl, incident.json, records.jsonl (redacted) and, last, {MANIFEST}; it is put on "
        "record with --who and --reason.",
    )
    parser.add_argument("incident", metavar="ID")
    add_config(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    add_person(parser, required=True)
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    folder = IncidentFolder(config.directory / config.guard.storage.state)
    if not folder.has(arguments.incident):
        sys.stderr.write("guard: there is no incident of that id\n")
        return 2
    if arguments.out.exists():
        sys.stderr.write(f"guard: {arguments.out} exists, and nothing is overwritten\n")
        return 2
    read = folder.read(arguments.incident)
    try:
        acting = person(config, arguments, Act.READ_RECORDS)
        record(config, acting, "export", f"incident {read.id}", "redacted")
        progress = Progress("records")
        try:
            items = belonging(audit_folder(config), read, progress)
            made = bundle(read, items, acting.named, time.time(), __version__)
        finally:
            progress.end()
        write(made, arguments.out)
        record(config, acting, "exported", f"incident {read.id}", f"{MANIFEST} sha256 {made.digest}")
    except (LedgerError, RefusedError, BundleError) as error:
        return failed(error)
    told = f"{len(read.events)} events, {made.records} records: {arguments.out}, {MANIFEST} sha256 {made.digest}\n"
    sys.stdout.write(told)
    return 0


def write(made: Bundle, out: Path) -> None:
    """Write the folder, the manifest last; raises OSError."""
    out.mkdir(mode=0o700, parents=True)
    for name, content in made.files.items():
        descriptor = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
