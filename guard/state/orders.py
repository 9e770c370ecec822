"""Stop and resume orders: immutable statements with one canonical JSON form and a strict reader.

A stop names a scope, a resume names the stops it lifts: a resume written for one stop can never lift a later one.
Orders carry no signature yet: whoever may write into the state directory may stop, and may resume below ASL-3.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SCHEMA_VERSION = 1
MAX_ORDER_BYTES = 65_536
MAX_REASON = 500
MAX_WHO = 128
MAX_LIFTS = 1_000
ENTROPY_BYTES = 10
SCOPE_FORMS = "all, model:<alias>, tier:<name>, key:<id>, where the subject is 1 to 128 of A-Z a-z 0-9 . _ -"

_SUBJECT = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_LATEST = float(1 << 48) / 1000.0
_COMMON = frozenset({"version", "kind", "id", "reason", "who", "source", "created"})
_KEYS = {"stop": _COMMON | {"scope"}, "resume": _COMMON | {"lifts"}}


class OrderError(ValueError):
    """An order, or the bytes of one, that breaks a rule; the message names the field."""


class ScopeKind(StrEnum):
    """What a stop can cover."""

    ALL = "all"
    MODEL = "model"
    TIER = "tier"
    KEY = "key"


class Source(StrEnum):
    """By which path an order came."""

    CLI = "cli"
    ADMIN = "admin"
    WEBHOOK = "webhook"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stop covers: everything, or one model, tier or key; ``subject`` is empty for everything."""

    kind: ScopeKind
    subject: str = ""

    def __post_init__(self) -> None:
        """Refuse a subject that no form allows."""
        valid = self.subject == "" if self.kind is ScopeKind.ALL else _SUBJECT.fullmatch(self.subject) is not None
        if not valid:
            raise OrderError(f"scope: not one of {SCOPE_FORMS}")

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read ``all``, ``model:demo``, ``tier:general`` or ``key:demo-app``; OrderError names these forms."""
        if text == ScopeKind.ALL.value:
            return EVERYTHING
        word, colon, subject = text.partition(":")
        kind = _KINDS.get(word)
        if not colon or kind is None:
            raise OrderError(f"scope: not one of {SCOPE_FORMS}")
        return cls(kind, subject)

    def __str__(self) -> str:
        """Write the form that `parse` reads."""
        return self.kind.value if self.kind is ScopeKind.ALL else f"{self.kind.value}:{self.subject}"


EVERYTHING = Scope(ScopeKind.ALL)
_KINDS = {kind.value: kind for kind in ScopeKind if kind is not ScopeKind.ALL}
_SOURCES = {source.value: source for source in Source}


@dataclass(frozen=True, slots=True)
class StopOrder:
    """One person or machine stopped a scope; ``created`` is seconds since the epoch, ``reason`` may be empty."""

    id: str
    scope: Scope
    reason: str
    who: str
    source: Source
    created: float

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _check(self)


@dataclass(frozen=True, slots=True)
class ResumeOrder:
    """One person lifted the stops whose ids are in ``lifts``; ``created`` is seconds since the epoch."""

    id: str
    lifts: tuple[str, ...]
    reason: str
    who: str
    source: Source
    created: float

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _check(self)
        if not 1 <= len(self.lifts) <= MAX_LIFTS:
            raise OrderError(f"lifts: 1 to {MAX_LIFTS} ids of stop orders")
        if len(set(self.lifts)) != len(self.lifts) or not all(is_order_id(lifted) for lifted in self.lifts):
            raise OrderError("lifts: each must be the id of a stop order, once")


Order = StopOrder | ResumeOrder


def order_id(now: float, entropy: bytes) -> str:
    """Make a 26-character id that sorts by time: ``now`` in seconds since the epoch, 10 random bytes."""
    if not 0.0 <= now < _LATEST:
        raise OrderError("created: seconds since the epoch, before the year 10889")
    if len(entropy) != ENTROPY_BYTES:
        raise OrderError(f"entropy: exactly {ENTROPY_BYTES} bytes")
    number = int(now * 1000.0) << 80 | int.from_bytes(entropy)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def is_order_id(text: str) -> bool:
    """Whether this text has the form of an order's id."""
    return _ID.fullmatch(text) is not None


def issue_stop(scope: Scope, *, reason: str, who: str, source: Source, now: float, entropy: bytes) -> StopOrder:
    """Make a stop order; the reason is cut to what fits, because a stop is never refused for its wording."""
    return StopOrder(order_id(now, entropy), scope, _fitted(reason), who, source, float(now))


def issue_resume(
    lifts: Iterable[str], *, reason: str, who: str, source: Source, now: float, entropy: bytes
) -> ResumeOrder:
    """Make a resume order for these stop ids; a reason that does not fit is refused."""
    return ResumeOrder(order_id(now, entropy), tuple(sorted(set(lifts))), reason, who, source, float(now))


def encode(order: Order) -> bytes:
    """Write the canonical form: one line of ASCII JSON with sorted keys."""
    record: dict[str, object] = {
        "version": SCHEMA_VERSION,
        "id": order.id,
        "reason": order.reason,
        "who": order.who,
        "source": order.source.value,
        "created": order.created,
    }
    if isinstance(order, StopOrder):
        record |= {"kind": "stop", "scope": str(order.scope)}
    else:
        record |= {"kind": "resume", "lifts": list(order.lifts)}
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def decode(raw: bytes) -> Order:
    """Read one order strictly; white space may differ from the canonical form (a hand-written file), nothing else.

    Raises OrderError naming the field for unknown, missing, repeated or mistyped keys and for another version.
    """
    if len(raw) > MAX_ORDER_BYTES:
        raise OrderError(f"order: more than {MAX_ORDER_BYTES} bytes")
    try:
        record = json.loads(raw.decode("utf-8"), object_pairs_hook=_unrepeated, parse_constant=_no_constant)
    except OrderError:
        raise
    except (ValueError, RecursionError):
        raise OrderError("order: not JSON") from None
    if not isinstance(record, dict):
        raise OrderError("order: not a JSON object")
    version = record.get("version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise OrderError(f"version: only {SCHEMA_VERSION} is known")
    kind = record.get("kind")
    keys = _KEYS.get(kind) if isinstance(kind, str) else None
    if keys is None:
        raise OrderError("kind: stop or resume")
    if unknown := sorted(record.keys() - keys):
        raise OrderError(f"{unknown[0][:40]!a}: unknown key")
    if missing := sorted(keys - record.keys()):
        raise OrderError(f"{missing[0]}: missing")
    source = _SOURCES.get(_text(record, "source"))
    if source is None:
        raise OrderError(f"source: one of {', '.join(_SOURCES)}")
    common = (_text(record, "reason"), _text(record, "who"), source, _seconds(record, "created"))
    if kind == "stop":
        return StopOrder(_text(record, "id"), Scope.parse(_text(record, "scope")), *common)
    lifts = record["lifts"]
    if not isinstance(lifts, list) or not all(isinstance(lifted, str) for lifted in lifts):
        raise OrderError("lifts: a list of texts")
    return ResumeOrder(_text(record, "id"), tuple(lifts), *common)


def _check(order: Order) -> None:
    if not is_order_id(order.id):
        raise OrderError("id: 26 characters of Crockford's base 32, the first 0 to 7")
    if len(order.reason) > MAX_REASON or not _printable(order.reason):
        raise OrderError(f"reason: at most {MAX_REASON} printable characters")
    if not 1 <= len(order.who) <= MAX_WHO or not _printable(order.who):
        raise OrderError(f"who: 1 to {MAX_WHO} printable characters")
    if not 0.0 <= order.created < _LATEST:
        raise OrderError("created: seconds since the epoch, before the year 10889")


def _printable(text: str) -> bool:
    """No control characters and no direction overrides: orders are shown in terminals, logs and pages."""
    return text.isprintable()


def _fitted(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:MAX_REASON])


def _text(record: dict[str, object], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise OrderError(f"{key}: a text")
    return value


def _seconds(record: dict[str, object], key: str) -> float:
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OrderError(f"{key}: a number of seconds")
    try:
        return float(value)
    except OverflowError:
        return math.inf  # refused by the order's own check


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise OrderError("order: a repeated key")
    return record


def _no_constant(name: str) -> float:
    raise OrderError(f"order: {name} is not JSON")
