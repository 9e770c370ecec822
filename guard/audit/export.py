"""Writing exchanges out for somebody else: files of records, and a manifest that says what they are and how they hash.

Here as JSON lines; `guard.audit.parquet` writes the same as columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from guard.audit.contents import Text
from guard.audit.disk import DIRECTORY_MODE, FILE_MODE, LocalDisk
from guard.audit.read import Entry
from guard.audit.render import json_line

RECORDS: Final = "records.jsonl"
MANIFEST: Final = "manifest.json"
_CHUNK: Final = 1024 * 1024


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


@dataclass(frozen=True, slots=True)
class Shown:
    """One record of an exchange with its texts, none in a redacted export, or why they could not be opened."""

    entry: Entry
    texts: tuple[Text, ...] = ()
    lost: str = ""


# An exchange is its records in the order in which they were written: the intent first, the outcome, if any, last.
Exchanges = Iterable[Sequence[Shown]]
Writer = Callable[[Path, Exchanges], Iterator[Path]]


def export(directory: Path, purpose: Purpose, exchanges: Exchanges, tally: Tally, write: Writer) -> str:
    """Write all files into a new directory and return the SHA-256 of the manifest, which has theirs; raises OSError.

    The manifest is written last, so that a directory without one is an export that did not end. ``exchanges`` counts in
    ``tally`` what it gives.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True)
    files = [_hashed(path) for path in write(directory, exchanges)]
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
        "files": files,
    }
    data = json.dumps(manifest, indent=1).encode() + b"\n"
    with create(directory / MANIFEST) as file:
        file.write(data)
        settle(file)
    LocalDisk().sync_directory(directory)
    return hashlib.sha256(data).hexdigest()


def json_lines(directory: Path, exchanges: Exchanges) -> Iterator[Path]:
    """Write each record as a line of JSON; raises OSError."""
    path = directory / RECORDS
    with create(path) as file:
        for exchange in exchanges:
            for shown in exchange:
                file.write(json_line(shown.entry, shown.texts, shown.lost).encode() + b"\n")
        settle(file)
    yield path


def create(path: Path) -> BinaryIO:
    """Open a new file for its owner only; raises FileExistsError and OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")


def settle(file: BinaryIO) -> None:
    """Wait until what was written is on the disk; raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def _hashed(path: Path) -> dict[str, Any]:
    whole, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            whole.update(data)
            size += len(data)
    return {"name": path.name, "bytes": size, "sha256": whole.hexdigest()}
