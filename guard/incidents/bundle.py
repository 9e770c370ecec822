"""An incident for somebody else: its events, the records that belong to it, and a hash of each file (row C19).

No text is in it: records are redacted, and whoever wrote the summary was told not to quote. The hash of the manifest is
put on record, so that what was handed over can be shown to be what it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from guard.audit.read import Damage, Entry, Item, iter_records, search
from guard.audit.records import Control
from guard.audit.render import json_line, moment
from guard.incidents.events import encode, made
from guard.incidents.folder import Read

MANIFEST: Final = "manifest.json"
MAX_RECORDS: Final = 100_000
MAX_BYTES: Final = 134_217_728
SLACK_SECONDS: Final = 86_400.0  # a clock that was set back


class BundleError(ValueError):
    """More belongs to it than is ever handed over."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files by name, the manifest last; ``digest`` is the manifest's SHA-256 in hexadecimal."""

    files: Mapping[str, bytes]
    digest: str
    records: int

    def zipped(self, folder: str, at: float) -> bytes:
        """Return the files as one archive, in a folder of this name, dated then (seconds since the epoch)."""
        when = datetime.fromtimestamp(at, UTC).timetuple()[:6]
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                place = zipfile.ZipInfo(f"{folder}/{name}", when)
                place.compress_type = zipfile.ZIP_DEFLATED
                place.external_attr = 0o600 << 16
                archive.writestr(place, content)
        return whole.getvalue()


def bundle(read: Read, items: Iterable[Item], by: str, now: float, version: str) -> Bundle:
    """Put it together; ``items`` are what `belonging` found. Raises LedgerError, BundleError and OSError as they do."""
    incident = read.incident
    lines: list[bytes] = []
    size = 0
    for item in items:
        lines.append(f"{json_line(item)}\n".encode())
        size += len(lines[-1])
        if size > MAX_BYTES:
            raise BundleError(f"the records that belong to it are more than {MAX_BYTES} bytes")
    files = {
        "events.jsonl": b"".join(encode(event) for event in read.events),
        "incident.json": json.dumps(None if incident is None else incident.fields(), indent=1).encode() + b"\n",
        "records.jsonl": b"".join(lines),
    }
    manifest = {
        "format": 1,
        "guard": version,
        "incident": read.id,
        "created": moment(now),
        "by": by,
        "redacted": True,
        "damaged": list(read.damaged),
        "files": [{"name": name, "bytes": len(content), "sha256": _hash(content)} for name, content in files.items()],
    }
    whole = json.dumps(manifest, indent=1).encode() + b"\n"
    return Bundle({**files, MANIFEST: whole}, _hash(whole), len(lines))


def belonging(audit: Path, read: Read, passed: Callable[[int], None] = lambda _: None) -> Iterator[Item]:
    """Find every record of the requests that show it, and every act of control that names it or an order of it.

    By time; of damage what may hide more of them. Nothing where there is no log. ``passed`` is told how many parts of
    the log were looked at, and may raise to end it. Raises LedgerError and BundleError.
    """
    incident = read.incident
    if not audit.is_dir():
        return
    found: list[tuple[float, Item]] = []
    looked = count(1)
    for request in () if incident is None else dict.fromkeys(incident.opened.requests):
        _keep(found, search(audit, request, lambda _: passed(next(looked))))
    names = (read.id, *(() if incident is None else incident.orders))
    # An id may be later than the clock was.
    begun = () if incident is None else (incident.opened.at,)
    since = min([*begun, *(made(name) for name in names)]) - SLACK_SECONDS
    for item in iter_records(audit, since):
        passed(next(looked))
        if _names(item, names):
            _keep(found, (item,))
    seen: set[Item] = set()
    for _, item in sorted(found, key=lambda timed: timed[0]):
        if item not in seen:  # damage is reported with everything that it may hide
            seen.add(item)
            yield item


def _keep(found: list[tuple[float, Item]], items: Iterable[Item]) -> None:
    time = float("-inf")
    for item in items:
        time = item.record.time if isinstance(item, Entry) else time
        if len(found) >= MAX_RECORDS:
            raise BundleError(f"more than {MAX_RECORDS} records belong to it")
        found.append((time, item))


def _names(item: Item, names: tuple[str, ...]) -> bool:
    if isinstance(item, Damage):
        return True
    record = item.record
    return isinstance(record, Control) and any(name in record.subject or name in record.reason for name in names)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
