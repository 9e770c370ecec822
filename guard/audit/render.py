"""Ledger records for people and for programs: one line each, in ASCII only.

Callers choose most of what a record holds, so nothing in it may steer a terminal: control characters, bidirectional
marks and everything outside printable ASCII are escaped. A record holds no text: whoever has opened some gives them
along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from guard.audit import records
from guard.audit.contents import Text
from guard.audit.read import Damage, Item

_BARE = re.compile(r"[A-Za-z0-9_./:@+\[\]-]+")


def printable(text: str) -> str:
    """The text with every character but printable ASCII as a backslash escape, and the backslash doubled."""
    return text.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().translate(_CONTROL)


_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}


def line(item: Item, texts: Sequence[Text] = (), lost: str = "") -> str:
    """One line for a person: time, writer and sequence, record, then ``name=value``, and any texts, or why not."""
    if isinstance(item, Damage):
        return f"- {_value(item.writer)} damage {_pairs(_damage(item))}"
    record = item.record
    kind = type(record).__name__.lower()
    pairs = _pairs([*_summary(record), *((one.place, one.text) for one in texts), ("lost", lost)])
    return f"{moment(record.time)} {_value(item.writer)}/{item.sequence} {kind} {pairs}"


def json_line(item: Item, texts: Sequence[Text] = (), lost: str = "") -> str:
    """One JSON object with every field of the record, its writer, segment and sequence, any texts, or why not."""
    if isinstance(item, Damage):
        fields: Any = {"record": "damage", "writer": item.writer, **dict(_damage(item))}
        return json.dumps(fields)
    place = {"writer": item.writer, "segment": item.segment, "sequence": item.sequence}
    record: Any = msgspec.to_builtins(item.record)
    if texts:
        record["texts"] = [{"place": one.place, "text": one.text} for one in texts]
    if lost:
        record["lost"] = lost
    return json.dumps({**record, **place})


def moment(seconds: float) -> str:
    """Seconds since the epoch as UTC with milliseconds, or the number itself where no date fits it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return repr(seconds)


def _damage(item: Damage) -> list[tuple[str, object]]:
    return [("segment", item.segment), ("offset", item.offset), ("reason", item.reason)]


def _summary(record: records.Record) -> Iterator[tuple[str, object]]:
    if isinstance(record, records.Intent):
        for name in ("id", "key", "owner", "tier", "model", "asl", "surface", "operation", "streamed"):
            yield name, getattr(record, name)
        if record.asked:
            yield "asked", record.asked
        yield "policy", record.policy[:12]
        yield "passages", len(record.passages)
        yield "chars", sum(passage.chars for passage in record.passages)
    elif isinstance(record, records.Part):
        for name in ("id", "channel", "start", "chars"):
            yield name, getattr(record, name)
    elif isinstance(record, records.Outcome):
        for name in ("id", "ending", "status", "code", "reason", "sent_bytes", "seconds", "first_byte_seconds"):
            yield name, getattr(record, name)
        yield "denied", ",".join(one.safeguard for one in record.decisions if one.denied)
        yield "released", ",".join(f"{one.channel}:{one.released}/{one.received}" for one in record.released)
        yield "flagged", "yes" if record.flagged else None
    else:
        for name in record.__struct_fields__[2:]:
            if name in {"commitment", "body"}:
                continue
            value = getattr(record, name)
            yield name, ",".join(value) if isinstance(value, tuple) else value or None


def _pairs(pairs: Iterable[tuple[str, object]]) -> str:
    return " ".join(f"{_value(name)}={_value(value)}" for name, value in pairs if value is not None and value != "")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"' + printable(text).replace('"', '\\"') + '"'
