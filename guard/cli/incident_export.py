"""``guard incident export``: an incident as a folder for somebody else: events, records, and a hash of each file.

No text is in it: records are redacted, and whoever wrote the summary was told not to quote. The hash of the manifest is
put on record, so that what was handed over can be shown to be what it was (row C19).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guard import __version__
from guard.audit.read import Damage, Entry, iter_records
from guard.audit.records import Control
from guard.audit.render import json_line, moment
from guard.audit.segments import LedgerError
from guard.cli.audit_access import RefusedError, add_person, audit_folder, failed, person, record
from guard.cli.options import add_config
from guard.cli.progress import Progress
from guard.incidents.events import encode
from guard.incidents.folder import IncidentFolder, Read
from guard.policy.load import Config, load
from guard.policy.roles import Act

MANIFEST: Final = "manifest.json"
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
    if arguments.incident not in folder.ids():
        sys.stderr.write("guard: there is no incident of that id\n")
        return 2
    if arguments.out.exists():
        sys.stderr.write(f"guard: {arguments.out} exists, and nothing is overwritten\n")
        return 2
    read = folder.read(arguments.incident)
    try:
        acting = person(config, arguments, Act.READ_RECORDS)
        record(config, acting, "export", f"incident {read.id}", "redacted")
        digest, records = write(config, read, arguments.out, acting.named, time.time())
        record(config, acting, "exported", f"incident {read.id}", f"{MANIFEST} sha256 {digest}")
    except (LedgerError, RefusedError) as error:
        return failed(error)
    sys.stdout.write(f"{len(read.events)} events, {records} records: {arguments.out}, {MANIFEST} sha256 {digest}\n")
    return 0


def write(config: Config, read: Read, out: Path, by: str, now: float) -> tuple[str, int]:
    """Write the folder; returns its manifest's hash and how many records are in it. Raises OSError, LedgerError."""
    out.mkdir(mode=0o700, parents=True)
    incident = read.incident
    files = {
        "events.jsonl": b"".join(encode(event) for event in read.events),
        "incident.json": json.dumps(None if incident is None else incident.fields(), indent=1).encode() + b"\n",
    }
    lines = list(_records(config, read))
    files["records.jsonl"] = "".join(f"{line}\n" for line in lines).encode()
    for name, content in files.items():
        _put(out / name, content)
    manifest = {
        "format": 1,
        "guard": __version__,
        "incident": read.id,
        "created": moment(now),
        "by": by,
        "redacted": True,
        "damaged": list(read.damaged),
        "files": [{"name": name, "bytes": len(content), "sha256": _hash(content)} for name, content in files.items()],
    }
    whole = json.dumps(manifest, indent=1).encode() + b"\n"
    _put(out / MANIFEST, whole)
    return _hash(whole), len(lines)


def _records(config: Config, read: Read) -> Iterator[str]:
    """Every record of the requests that show it, and every act of control that names it."""
    incident = read.incident
    wanted = frozenset(() if incident is None else incident.opened.requests)
    progress = Progress("records")
    folder = audit_folder(config)
    try:
        for count, item in enumerate(iter_records(folder) if folder.is_dir() else ()):
            progress(count)
            if isinstance(item, Damage) or (isinstance(item, Entry) and _belongs(item, read.id, wanted)):
                yield json_line(item)
    finally:
        progress.end()


def _belongs(item: Entry, incident: str, wanted: frozenset[str]) -> bool:
    found = item.record
    if isinstance(found, Control):
        return incident in found.subject or incident in found.reason
    return getattr(found, "id", "") in wanted


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _put(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
