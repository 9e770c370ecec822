"""Records of the request log to an OTLP/HTTP collector, as JSON: what a SIEM may see of each request, and no more.

Only intents, outcomes, acts of control and recoveries go, once they are under a signed head: at least once and in
order, for the cursor moves after the collector took a batch. Parts stay here, and so does everything that stands for a
text: commitments, keyed hashes, places. A collector that hangs holds up no copy: whoever ships gives this a thread.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Final

import httpx
import msgspec

from guard.audit.frames import Frame, scan
from guard.audit.note import Key
from guard.audit.records import Kind
from guard.audit.segments import LedgerError
from guard.shipping.cursor import Cursor, Position
from guard.shipping.pieces import leaves
from guard.shipping.shipper import words
from guard.shipping.store import StoreError

BATCH: Final = 500  # records of one request
ANSWER_SECONDS: Final = 10.0
MAX_ANSWER: Final = 65_536
KINDS: Final = frozenset((Kind.INTENT, Kind.OUTCOME, Kind.RECOVERED, Kind.CONTROL))
WITHHELD: Final = frozenset(("commitment", "match", "body", "flagged"))
_OK: Final = 200
_INFO: Final = (9, "INFO")
_WARN: Final = (13, "WARN")
_LARGEST: Final = 2**63 - 1


class LogSink:
    """One collector; `round` is called from one thread."""

    def __init__(
        self,
        key: Key,
        endpoint: str,
        cursor: Cursor,
        *,
        authorization: str | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Take the log's key for its name, the full URL, and the header ``Authorization`` where one is wanted.

        Raises StoreError for a header that HTTP has no room for.
        """
        if authorization is not None and not authorization.isascii():
            raise StoreError("otlp_logs: the header Authorization must be ASCII")
        self._ended = Event()
        self._answer_seconds = answer_seconds
        self._origin = key.name
        self._endpoint = endpoint
        self._cursor = cursor
        headers = {} if authorization is None else {"authorization": authorization}
        self._client = httpx.Client(
            headers={"content-type": "application/json", **headers}, timeout=answer_seconds, trust_env=False
        )

    def round(self, audit: Path, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """Send what of each log follows, up to its signed size; returns what is missing there and will not be sent.

        Raises StoreError when the collector does not take a batch.
        """
        missing: list[str] = []
        for writer, signed in sizes.items():
            try:
                self._log(audit / writer, signed, missing)
            except (LedgerError, OSError) as error:  # what is wrong with one log holds up no other
                missing.append(words(error))
        return tuple(missing)

    def close(self) -> None:
        """End a round after the batch that it sends now; from any thread."""
        self._ended.set()

    def _log(self, directory: Path, signed: int, missing: list[str]) -> None:
        writer = directory.name
        at = self._cursor.at(writer)
        while piece := leaves(directory, at, signed):
            if piece.lost:
                missing.append(piece.lost)
            for batch in _batches(scan(piece.data).frames):
                if self._ended.is_set():
                    return
                if found := [_record(f"{self._origin}/{writer}", frame) for frame in batch if frame.kind in KINDS]:
                    rejected = self._send(found)
                    if rejected:
                        missing.append(f"otlp_logs: the collector rejected {rejected} of {len(found)} records")
                last = batch[-1]
                at = Position(piece.after.segment, piece.offset + last.offset + last.size, last.sequence + 1)
                self._cursor.move(writer, at)

    def _send(self, found: list[dict[str, Any]]) -> int:
        """Send a batch; returns how many of it the collector rejected, which the protocol forbids to repeat."""
        resource = [_attribute("service.name", "asl-guard"), _attribute("service.instance.id", self._origin)]
        scoped = [{"scope": {"name": "asl-guard.request-log"}, "logRecords": found}]
        body = msgspec.json.encode({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": scoped}]})
        until = time.monotonic() + self._answer_seconds
        try:
            with self._client.stream("POST", self._endpoint, content=body) as answer:
                status, said = answer.status_code, b""
                for chunk in answer.iter_bytes():
                    said += chunk
                    if len(said) > MAX_ANSWER or time.monotonic() > until:
                        raise StoreError("otlp_logs: the collector's answer is too long")
        except httpx.HTTPError as error:
            raise StoreError(f"otlp_logs: {type(error).__name__}") from None
        if status != _OK:
            raise StoreError(f"otlp_logs: the collector answered {status}")
        return _rejected(said)


def _batches(frames: tuple[Frame, ...]) -> Iterator[tuple[Frame, ...]]:
    for at in range(0, len(frames), BATCH):
        yield frames[at : at + BATCH]


def _record(log: str, frame: Frame) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(frame.payload, type=dict[str, Any])
        body = _value(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content, body = {"record": "unreadable"}, {}
    name, request = str(content.get("record", "")), str(content.get("id", ""))
    number, words = _WARN if content.get("code") or frame.kind == Kind.RECOVERED else _INFO
    written = content.get("time")
    found: dict[str, Any] = {
        "timeUnixNano": str(round(written * 1e6) * 1000 if isinstance(written, float | int) else 0),
        "severityNumber": number,
        "severityText": words,
        "eventName": f"asl_guard.{name}",
        "body": body,
        "attributes": [_attribute("asl_guard.log", log), _attribute("asl_guard.sequence", frame.sequence)],
    }
    if request:
        found["attributes"].append(_attribute("asl_guard.request", request))
        # As the guard's traces have it, so that a collector shows both together.
        found["traceId"] = hashlib.sha256(request.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return found


def _value(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(min(value, _LARGEST))}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case dict():
            kept = [_attribute(key, each) for key, each in value.items() if key not in WITHHELD and each is not None]
            return {"kvlistValue": {"values": kept}}
    return {}


def _attribute(key: str, value: object) -> dict[str, Any]:
    return {"key": key, "value": _value(value)}


def _rejected(said: bytes) -> int:
    """How many records an answer says were not taken; 0 for an answer that says nothing of it."""
    try:
        answer = msgspec.json.decode(said, type=dict[str, Any]) if said else {}
        return int((answer.get("partialSuccess") or {}).get("rejectedLogRecords") or 0)
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, TypeError, ValueError):
        return 0
