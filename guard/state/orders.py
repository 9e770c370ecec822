"""Stop, rule and resume orders: immutable statements with one canonical JSON form and a strict reader.

A stop names a scope and a mode, a rule order a scope and the rules that screen it; a resume names what it lifts of
either: a resume written for one stop can never lift a later one. Version 2 says besides which host issued an order,
with its signature, and holds the approvals of a resume; orders of version 1 are read, and written again as they were.
What a signature or an approval is worth is judged elsewhere (`guard.state.issuer`, `guard.resuming`): an order that is
not signed is an order all the same, since a stop must never depend on a key. A mode or a kind that a reader does not
know makes the order unreadable, and what is unreadable stops everything (`guard.state.directory`): so new ones need no
new version. It is one file so that the written form, its bounds and its reader are seen together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from guard.state.rule_text import PushedRule, check_rules, read_rules, read_screens
from guard.state.scope import OrderError, Scope
from safeguards.decision import Target
from safeguards.mode import RUNGS, Mode
from safeguards.scope import ScopeKind

SCHEMA_VERSION: Final = 2
MAX_ORDER_BYTES: Final = 65_536
MAX_REASON: Final = 500
MAX_WHO: Final = 128
MAX_LIFTS: Final = 1_000
MAX_APPROVED_LIFTS: Final = 50
MAX_APPROVAL: Final = 16_384
MAX_SIGNATURES: Final = 8
MAX_SIGNATURE: Final = 8_192
ENTROPY_BYTES: Final = 10

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ISSUER = re.compile(r"[0-9a-f]{32}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{86}==")
_PERSON = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LATEST = float(1 << 48) / 1000.0
_FIRST_KINDS = frozenset({ScopeKind.ALL, ScopeKind.MODEL, ScopeKind.TIER, ScopeKind.KEY})
WHOLE_MODELS: Final = frozenset({ScopeKind.ALL, ScopeKind.LEVEL, ScopeKind.MODEL, ScopeKind.VERSION})
_COMMON = frozenset({"version", "kind", "id", "reason", "who", "source", "created"})
_SIGNED = _COMMON | {"issuer", "signature"}
_KEYS: Final[Mapping[tuple[int, str], frozenset[str]]] = {
    (1, "stop"): _COMMON | {"scope"},
    (1, "resume"): _COMMON | {"lifts"},
    (2, "stop"): _SIGNED | {"scope", "mode"},
    (2, "resume"): _SIGNED | {"lifts", "approval", "approvers"},
    (2, "rule"): _SIGNED | {"scope", "rules", "screens"},
}

_E = TypeVar("_E", bound=StrEnum)


class Source(StrEnum):
    """By which path an order came."""

    CLI = "cli"
    ADMIN = "admin"
    WEBHOOK = "webhook"
    DRILL = "drill"
    TRIP = "trip"


@dataclass(frozen=True, slots=True)
class Approver:
    """One person's SSH signature over an approval, or the assertion of a passkey in its place; not yet verified."""

    person: str
    signature: str

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        if not _PERSON.fullmatch(self.person):
            raise OrderError("approvers: a person is 1 to 64 of a-z 0-9 . _ -")
        text = self.signature
        if not 1 <= len(text) <= MAX_SIGNATURE or not _armour(text):
            raise OrderError(f"approvers: a signature is at most {MAX_SIGNATURE} characters of printable ASCII")


@dataclass(frozen=True, slots=True)
class StopOrder:
    """One person or machine stopped a scope; ``created`` is seconds since the epoch, ``reason`` may be empty.

    ``issuer`` is the key of the host that signed it, both empty where none did.
    """

    id: str
    scope: Scope
    reason: str
    who: str
    source: Source
    created: float
    mode: Mode = Mode.STOP
    issuer: str = ""
    signature: str = ""
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _check(self)
        if self.version == 1 and (self.mode is not Mode.STOP or self.scope.kind not in _FIRST_KINDS):
            raise OrderError("version: 1 knows neither this scope nor this mode")
        if self.mode in RUNGS and self.scope.kind not in WHOLE_MODELS:
            raise OrderError(f"mode: {self.mode} is for all, level:…, model:… or version:…")


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """One person had a scope screened by ``rules`` from now on, on the sides that ``screens`` names (rows C8, E8).

    It can only block. ``created`` is seconds since the epoch, ``issuer`` and ``signature`` are as those of a stop.
    """

    id: str
    scope: Scope
    rules: tuple[PushedRule, ...]
    screens: tuple[Target, ...]
    reason: str
    who: str
    source: Source
    created: float
    issuer: str = ""
    signature: str = ""
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _check(self)
        if self.scope.kind not in WHOLE_MODELS:
            raise OrderError("scope: of a rule is one of all, level:…, model:… or version:…")
        check_rules(self.rules, self.screens)
        if self.version == 1:
            raise OrderError("version: 1 knows no rules")
        # What is in bounds one by one may be too much together.
        if len(encode(self)) > MAX_ORDER_BYTES:
            raise OrderError(f"rules: the order is more than {MAX_ORDER_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class ResumeOrder:
    """One person lifted the stops and rule orders whose ids are in ``lifts``; ``created`` is seconds since the epoch.

    ``approval`` is the very text that the ``approvers`` signed, empty where one person was enough.
    """

    id: str
    lifts: tuple[str, ...]
    reason: str
    who: str
    source: Source
    created: float
    approval: str = ""
    approvers: tuple[Approver, ...] = ()
    issuer: str = ""
    signature: str = ""
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuse what could not be read back."""
        _check(self)
        most = MAX_APPROVED_LIFTS if self.approval else MAX_LIFTS
        if not 1 <= len(self.lifts) <= most:
            raise OrderError(f"lifts: 1 to {most} ids of stop orders")
        if len(set(self.lifts)) != len(self.lifts) or not all(is_order_id(lifted) for lifted in self.lifts):
            raise OrderError("lifts: each must be the id of a stop order, once")
        if len(self.approval) > MAX_APPROVAL or not _armour(self.approval):
            raise OrderError(f"approval: at most {MAX_APPROVAL} characters of printable ASCII")
        if len(self.approvers) > MAX_SIGNATURES or bool(self.approvers) > bool(self.approval):
            raise OrderError(f"approvers: at most {MAX_SIGNATURES}, of an approval")
        if self.version == 1 and self.approval:
            raise OrderError("version: 1 knows no approval")
        # What is in bounds one by one may be too much together.
        if self.approvers and len(encode(self)) > MAX_ORDER_BYTES:
            raise OrderError(f"approvers: the order is more than {MAX_ORDER_BYTES} bytes")


Order = StopOrder | RuleOrder | ResumeOrder


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


def issue_stop(
    scope: Scope, *, reason: str, who: str, source: Source, now: float, entropy: bytes, mode: Mode = Mode.STOP
) -> StopOrder:
    """Make a stop order; the reason is cut to what fits, because a stop is never refused for its wording."""
    return StopOrder(order_id(now, entropy), scope, _fitted(reason), who, source, float(now), mode)


def issue_rule(
    scope: Scope,
    rules: Iterable[PushedRule],
    screens: Iterable[Target],
    *,
    reason: str,
    who: str,
    source: Source,
    now: float,
    entropy: bytes,
) -> RuleOrder:
    """Make a rule order; the reason is cut to what fits, as that of a stop."""
    sides = frozenset(screens)
    named = tuple(side for side in Target if side in sides)
    return RuleOrder(order_id(now, entropy), scope, tuple(rules), named, _fitted(reason), who, source, float(now))


def issue_resume(
    lifts: Iterable[str],
    *,
    reason: str,
    who: str,
    source: Source,
    now: float,
    entropy: bytes,
    approval: str = "",
    approvers: Iterable[Approver] = (),
) -> ResumeOrder:
    """Make a resume order for these stop ids; a reason that does not fit is refused."""
    named = tuple(sorted(set(lifts)))
    return ResumeOrder(
        order_id(now, entropy), named, reason, who, source, float(now), approval=approval, approvers=tuple(approvers)
    )


def statement(order: Order) -> bytes:
    """Return what the issuer of an order signs: its canonical form without the signature, behind a word of its own."""
    return b"asl-guard order\n" + encode(replace(order, signature=""))


def encode(order: Order) -> bytes:
    """Write the canonical form: one line of ASCII JSON with sorted keys; `decode` then `encode` changes no byte."""
    record: dict[str, object] = {
        "version": order.version,
        "id": order.id,
        "reason": order.reason,
        "who": order.who,
        "source": order.source.value,
        "created": order.created,
    }
    if order.version > 1:
        record |= {"issuer": order.issuer, "signature": order.signature}
    if isinstance(order, StopOrder):
        record |= {"kind": "stop", "scope": str(order.scope)}
        if order.version > 1:
            record["mode"] = order.mode.value
    elif isinstance(order, RuleOrder):
        rules = [each.record() for each in order.rules]
        screens = [each.value for each in order.screens]
        record |= {"kind": "rule", "scope": str(order.scope), "rules": rules, "screens": screens}
    else:
        record |= {"kind": "resume", "lifts": list(order.lifts)}
        if order.version > 1:
            approvers = [{"person": each.person, "signature": each.signature} for each in order.approvers]
            record |= {"approval": order.approval, "approvers": approvers}
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def decode(raw: bytes) -> Order:
    """Read one order strictly; white space may differ from the canonical form (a hand-written file), nothing else.

    Raises OrderError naming the field for unknown, missing, repeated or mistyped keys and for another version.
    """
    record = _record(raw)
    version, kind = record.get("version"), record.get("kind")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise OrderError(f"version: 1 to {SCHEMA_VERSION} are known")
    keys = _KEYS.get((version, kind)) if isinstance(kind, str) else None
    if keys is None:
        raise OrderError("kind: stop, rule or resume")
    if unknown := sorted(record.keys() - keys):
        raise OrderError(f"{unknown[0][:40]!a}: unknown key")
    if missing := sorted(keys - record.keys()):
        raise OrderError(f"{missing[0]}: missing")
    source = _member(Source, record, "source")
    common = (_text(record, "reason"), _text(record, "who"), source, _seconds(record, "created"))
    first = version == 1
    signed = ("", "", version) if first else (_text(record, "issuer"), _text(record, "signature"), version)
    if kind == "stop":
        mode = Mode.STOP if first else _member(Mode, record, "mode")
        return StopOrder(_text(record, "id"), Scope.parse(_text(record, "scope")), *common, mode, *signed)
    if kind == "rule":
        scope, rules = Scope.parse(_text(record, "scope")), read_rules(record["rules"])
        return RuleOrder(_text(record, "id"), scope, rules, read_screens(record["screens"]), *common, *signed)
    lifts = record["lifts"]
    if not isinstance(lifts, list) or not all(isinstance(lifted, str) for lifted in lifts):
        raise OrderError("lifts: a list of texts")
    approval = "" if first else _text(record, "approval")
    approvers = () if first else _approvers(record["approvers"])
    return ResumeOrder(_text(record, "id"), tuple(lifts), *common, approval, approvers, *signed)


def _check(order: Order) -> None:
    if not is_order_id(order.id):
        raise OrderError("id: 26 characters of Crockford's base 32, the first 0 to 7")
    if len(order.reason) > MAX_REASON or not _printable(order.reason):
        raise OrderError(f"reason: at most {MAX_REASON} printable characters")
    if not 1 <= len(order.who) <= MAX_WHO or not _printable(order.who):
        raise OrderError(f"who: 1 to {MAX_WHO} printable characters")
    if not 0.0 <= order.created < _LATEST:
        raise OrderError("created: seconds since the epoch, before the year 10889")
    if order.issuer and not _ISSUER.fullmatch(order.issuer):
        raise OrderError("issuer: empty, or 32 lower-case hexadecimal digits")
    if order.signature and not (order.issuer and _SIGNATURE.fullmatch(order.signature)):
        raise OrderError("signature: empty, or 64 bytes in base64 by an issuer")
    if order.version == 1 and order.issuer:
        raise OrderError("version: 1 knows no issuer")


def _printable(text: str) -> bool:
    """No control characters and no direction overrides: orders are shown in terminals, logs and pages."""
    return text.isprintable()


def _armour(text: str) -> bool:
    return text.isascii() and text.replace("\n", "").isprintable()


def _fitted(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:MAX_REASON])


def _record(raw: bytes) -> dict[str, Any]:
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
    return record


def _approvers(value: object) -> tuple[Approver, ...]:
    wrong = OrderError("approvers: a list of a person and a signature each")
    if not isinstance(value, list):
        raise wrong
    found = []
    for each in value:
        if not isinstance(each, dict) or each.keys() != {"person", "signature"}:
            raise wrong
        found.append(Approver(_text(each, "person"), _text(each, "signature")))
    return tuple(found)


def _member(kind: type[_E], record: Mapping[str, Any], key: str) -> _E:
    try:
        return kind(_text(record, key))
    except OrderError:
        raise
    except ValueError:
        raise OrderError(f"{key}: one of {', '.join(each.value for each in kind)}") from None


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise OrderError(f"{key}: a text")
    return value


def _seconds(record: Mapping[str, Any], key: str) -> float:
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
