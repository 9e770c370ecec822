"""Log lines: one ASCII JSON object each, written whole or not at all, with no text of any exchange."""

from __future__ import annotations

import asyncio
import json
import os
import select
import threading
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from guard.telemetry.errors import frames, types
from safeguards.decision import Ending, Outcome
from safeguards.exchange import Exchange
from safeguards.ports import Clock

LINE_BYTES = 4096
"""A pipe takes this much at once or nothing (PIPE_BUF), so lines of several workers never mix."""
FIELD_CHARACTERS = 512

Value = str | int | float | bool | list[str] | None


class Level(StrEnum):
    """How much it matters; the configuration names the least that is written."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(StrEnum):
    """What happened: the closed list that searches and alerts on logs may rely on."""

    EXCHANGE = "exchange"
    REFUSED = "refused"
    REPORT = "report"
    STARTED = "started"
    DRAINING = "draining"
    ENDED = "ended"
    WORKER_STARTED = "worker_started"
    WORKER_EXITED = "worker_exited"
    WORKER_DEAF = "worker_deaf"
    WORKER_BEHIND = "worker_behind"
    CONFIG_REFUSED = "config_refused"
    POLICY_IN_FORCE = "policy_in_force"
    POLICY_REFUSED = "policy_refused"
    POLICY_HELD = "policy_held"
    POLICY_DAMAGED = "policy_damaged"
    CERTIFICATE_RENEWED = "certificate_renewed"
    CERTIFICATE_REFUSED = "certificate_refused"
    HANDSHAKE_REFUSED = "handshake_refused"
    MODEL_ROUTABLE = "model_routable"
    MODEL_NOT_ROUTABLE = "model_not_routable"
    STOP_ORDERED = "stop_ordered"
    STOP_LIFTED = "stop_lifted"
    RESUME_NOT_COUNTED = "resume_not_counted"
    ISSUER_UNUSABLE = "issuer_unusable"
    RULE_PUSHED = "rule_pushed"
    RULE_UNUSABLE = "rule_unusable"
    ORDER_REMOVED = "order_removed"
    STATE_UNREADABLE = "state_unreadable"
    STATE_READABLE = "state_readable"
    FLEET_LOST = "fleet_lost"
    FLEET_ANSWERS = "fleet_answers"
    FLEET_DISTRUSTED = "fleet_distrusted"
    LEASE_LAPSED = "lease_lapsed"
    LEASE_RENEWED = "lease_renewed"
    SAFEGUARD_FAILED = "safeguard_failed"
    UPSTREAM_FAILED = "upstream_failed"
    LOG_FAILED = "log_failed"
    LOG_RECOVERED = "log_recovered"
    SEAL_FAILED = "seal_failed"
    SEALED_AGAIN = "sealed_again"
    INDEX_FAILED = "index_failed"
    WITNESS_FAILED = "witness_failed"
    WITNESS_ANSWERS = "witness_answers"
    TIMESTAMP_FAILED = "timestamp_failed"
    TIMESTAMPED_AGAIN = "timestamped_again"
    SHIP_FAILED = "ship_failed"
    SHIPS_AGAIN = "ships_again"
    COPIES_OVERDUE = "copies_overdue"
    COPIES_IN_TIME = "copies_in_time"
    EVIDENCE_LAPSED = "evidence_lapsed"
    DRILL = "drill"
    DRILL_GAP = "drill_gap"
    INCIDENT = "incident"
    INCIDENTS_UNREADABLE = "incidents_unreadable"
    ADMIN_REFUSED = "admin_refused"
    TRIPPED = "tripped"
    OUT_OF_BAND = "out_of_band"
    IN_BAND = "in_band"
    REVIEW_LATE = "review_late"
    NOTICE_FAILED = "notice_failed"
    NOTICES_SENT = "notices_sent"
    HOOK_RECEIVED = "hook_received"
    HOOK_REFUSED = "hook_refused"
    EMERGENCY_TOKEN = "emergency_token"  # noqa: S105 - a word of the log
    INTERNAL_ERROR = "internal_error"
    LIBRARY = "library"


_RANK = {Level.INFO: 0, Level.WARNING: 1, Level.ERROR: 2}
_LEVELS = {
    Ending.BLOCKED_INPUT: Level.WARNING,
    Ending.BLOCKED_OUTPUT: Level.WARNING,
    Ending.STOPPED: Level.WARNING,
    Ending.ERROR: Level.ERROR,
}


class _Line(msgspec.Struct):
    """The line of one exchange, in the order in which it is written."""

    time: str
    level: str
    event: str
    id: str
    model: str
    tier: str
    key: str
    surface: str
    operation: str
    streamed: bool
    ending: str
    code: str | None
    safeguard: str | None
    rule: str | None
    status: int
    seconds: float
    characters_in: int
    characters_out: int
    prompt_tokens: int | None
    completion_tokens: int | None
    peer: str | msgspec.UnsetType = msgspec.UNSET  # left out where no certificate was shown
    asked: str | msgspec.UnsetType = msgspec.UNSET  # left out where the model that was asked for answers


class JsonLog:
    """Writes lines to a file descriptor without waiting for whoever reads it; those of one turn of the loop together.

    A line that does not fit into the pipe at once is dropped and counted in ``dropped``; the descriptor's own mode is
    left alone, since standard error is shared with other processes. When several processes fill one pipe in the same
    instant a write can still wait for the reader.
    """

    def __init__(self, clock: Clock, fd: int = 2, level: Level = Level.INFO) -> None:
        """Write events of at least this level to ``fd``."""
        self.dropped = 0
        self._clock = clock
        self._fd = fd
        self._least = _RANK[level]
        self._lock = threading.Lock()
        self._ready = select.poll()
        self._ready.register(fd, select.POLLOUT)
        self._gathered: list[bytes] = []

    def emit(self, level: Level, event: Event, **fields: Value) -> None:
        """Write one event; strings are cut at 512 characters, and no field may quote a prompt or a completion."""
        if _RANK[level] < self._least:
            return
        record: dict[str, Value] = {"time": rfc3339(self._clock.now()), "level": level, "event": event}
        for name, value in fields.items():
            record.setdefault(name, value[:FIELD_CHARACTERS] if isinstance(value, str) else value)
        self._write(_ascii(record))

    def failure(self, event: Event, error: BaseException, **fields: Value) -> None:
        """Write an error with its type and where it came from; never its text, which may quote what was parsed."""
        self.emit(Level.ERROR, event, **fields, error=types(error), frames=frames(error.__traceback__))

    def exchange(self, exchange: Exchange, outcome: Outcome) -> None:
        """Write the line of one ended exchange: who, what, how it ended and how much, without any of its text."""
        level = _LEVELS.get(outcome.ending, Level.INFO)
        if _RANK[level] < self._least:
            return
        blocking = next((decision for decision in outcome.decisions if decision.blocked), None)
        line = _Line(
            time=rfc3339(outcome.ended),
            level=level,
            event=Event.EXCHANGE,
            id=exchange.id,
            model=exchange.model,
            tier=exchange.caller.tier,
            key=exchange.caller.key,
            surface=exchange.surface,
            operation=exchange.operation,
            streamed=exchange.streamed,
            ending=outcome.ending,
            code=outcome.code,
            safeguard=None if blocking is None else blocking.safeguard,
            rule=None if blocking is None else blocking.rule or None,
            status=outcome.status,
            seconds=round(outcome.seconds, 6),
            characters_in=sum(len(passage.text) for passage in exchange.passages),
            characters_out=sum(released.released for released in outcome.released),
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            peer=exchange.caller.peer or msgspec.UNSET,
            asked=exchange.asked or msgspec.UNSET,
        )
        self._gather(_ascii(line))

    def _gather(self, line: bytes) -> None:
        """Write with the others of this turn of the event loop, if there is one: under load many end in each."""
        if not self._gathered:
            try:
                asyncio.get_running_loop().call_soon(self._write_gathered)
            except RuntimeError:
                self._write(line)
                return
        self._gathered.append(line)

    def _write_gathered(self) -> None:
        lines, self._gathered = self._gathered, []
        together = b""
        for line in lines:
            if together and len(together) + len(line) > LINE_BYTES:
                self._write(together, together.count(b"\n"))
                together = b""
            together += line
        self._write(together, together.count(b"\n"))

    def _write(self, line: bytes, lines: int = 1) -> None:
        if len(line) > LINE_BYTES:
            whole = msgspec.json.decode(line)
            line = _ascii({**{name: whole[name] for name in ("time", "level", "event")}, "cut": len(line)})
        with self._lock:  # libraries log from their own threads, and a poll object serves one at a time
            try:
                ready = self._ready.poll(0)
                if ready and ready[0][1] & select.POLLOUT and os.write(self._fd, line) == len(line):
                    return
            except OSError:
                pass  # a full disk, a reader that left: the log must not end the exchange
            self.dropped += lines


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond; a time no calendar has is ``unknown``."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return "unknown"
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def _ascii(record: dict[str, Value] | _Line) -> bytes:
    try:
        line = _ENCODER.encode(record)
    except (UnicodeEncodeError, OverflowError):
        fields = record if isinstance(record, dict) else msgspec.structs.asdict(record)
        fields = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        line = _ENCODER.encode({name: _writable(value) for name, value in fields.items()})
    if not line.isascii() or b"\x7f" in line:
        line = json.dumps(msgspec.json.decode(line), separators=(",", ":")).encode().replace(b"\x7f", b"\\u007f")
    return line + b"\n"


def _writable(value: Value) -> Value:
    # Half of a surrogate pair, and a number beyond 64 bits, are what JSON's readers disagree about.
    if isinstance(value, list):
        return [str(_writable(item)) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return max(-(2**63), min(value, 2**63 - 1))
    return value


_ENCODER = msgspec.json.Encoder()
