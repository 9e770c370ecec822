"""Writing exchanges out for somebody else: JSON lines, and a manifest that says what they are and how they hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from guard.audit.disk import DIRECTORY_MODE, FILE_MODE, LocalDisk

RECORDS: Final = "records.jsonl"
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What is exported, by whom and why; ``redacted`` says that no text is in it."""

    version: str
    created: str
    by: str
    reason: str
    wanted: str
    redacted: bool


@dataclass(slots=True)
class Tally:
    """What was written; ``lost`` counts records whose texts could not be opened, ``damage`` what no record is."""

    exchanges: int = 0
    records: int = 0
    lost: int = 0
    damage: list[str] = field(default_factory=list)


def export(directory: Path, purpose: Purpose, lines: Iterable[str], tally: Tally) -> str:
    """Write both files into a new directory and return the SHA-256 of the records; raises OSError.

    The manifest is written last, so that a directory without one is an export that did not end. ``lines`` counts in
    ``tally`` what it gives.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True)
    whole = hashlib.sha256()
    size = 0
    descriptor = os.open(directory / RECORDS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        for line in lines:
            data = line.encode() + b"\n"
            whole.update(data)
            size += len(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    manifest = {
        "format": 1,
        "guard": purpose.version,
        "created": purpose.created,
        "by": purpose.by,
        "reason": purpose.reason,
        "wanted": purpose.wanted,
        "redacted": purpose.redacted,
        "exchanges": tally.exchanges,
        "records": tally.records,
        "texts_lost": tally.lost,
        "damage": tally.damage,
        "files": [{"name": RECORDS, "bytes": size, "sha256": whole.hexdigest()}],
    }
    descriptor = os.open(directory / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    LocalDisk().sync_directory(directory)
    return whole.hexdigest()
