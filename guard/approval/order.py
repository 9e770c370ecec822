"""An order: what people approve by signing it, as an immutable statement with exactly one written form.

The form is ASCII JSON, a key a line and sorted, so that who signs can read it; bytes that differ from it in anything
are refused, so what was signed can be read in one way only. An order names what it changes and into what, by digests,
and holds for a bounded time:

- ``weaker_policy``: the configuration with the digest ``before`` may be replaced by the one with ``after``, once.
- ``lower_level``: the model ``subject`` may go from the levels ``before`` to ``after``, once; the reason names the
  finding that allows it (row A12).
- ``custom_profile``: the standard with the fingerprint ``after`` may be used for ASL-4 (row G1).
- ``bundle``: the whole configuration with the digest ``after`` may be loaded.

The last two are standing statements about a content, asked again at each loading: they live up to 366 days and are not
used up. The first two are acts: 7 days, and their nonce is used once, or else going back and forth between two
configurations would need no further approval.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 8192
MAX_REASON: Final = 500
NONCE_BYTES: Final = 16
DAY_SECONDS: Final = 86_400
CONFIGURATION: Final = "configuration"
STANDARD: Final = "standard"

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LEVELS: Final = re.compile(r"deployment ([1-4]), security ([1-4])")
_INSTANT: Final = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
_FIRST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(2999, 12, 31, tzinfo=UTC).timestamp())
_KEYS: Final = frozenset(
    {"version", "act", "subject", "before", "after", "reason", "issued", "expires", "nonce"},
)


class OrderError(ValueError):
    """An order, or the bytes of one, that breaks a rule; the message names the key."""


class Act(StrEnum):
    """What can be approved; the list is closed."""

    WEAKER_POLICY = "weaker_policy"
    LOWER_LEVEL = "lower_level"
    CUSTOM_PROFILE = "custom_profile"
    BUNDLE = "bundle"


STANDING: Final = frozenset({Act.CUSTOM_PROFILE, Act.BUNDLE})
MOST_DAYS: Final[Mapping[Act, int]] = {act: 366 if act in STANDING else 7 for act in Act}
_SUBJECTS: Final[Mapping[Act, str]] = {
    Act.WEAKER_POLICY: CONFIGURATION,
    Act.CUSTOM_PROFILE: STANDARD,
    Act.BUNDLE: CONFIGURATION,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One statement to be approved.

    ``subject`` is a model's alias for a level, else a fixed word. ``before`` and ``after`` are SHA-256 in hexadecimal,
    or levels as `levels_text` writes them; ``before`` is empty for standing statements. ``issued`` and ``expires`` are
    whole seconds since the epoch, and it holds from the one up to the other. ``nonce`` is 32 hexadecimal digits.
    """

    act: Act
    subject: str
    before: str
    after: str
    reason: str
    issued: int
    expires: int
    nonce: str

    def __post_init__(self) -> None:
        """Refuse what must not be signed; raises OrderError."""
        _check_content(self)
        if not 1 <= len(self.reason) <= MAX_REASON or not self.reason.isprintable() or self.reason.isspace():
            raise OrderError(f"reason: 1 to {MAX_REASON} printable characters")
        if not _FIRST <= self.issued <= _LAST or not _FIRST <= self.expires <= _LAST:
            raise OrderError("issued, expires: instants of the years 2000 to 2999")
        if not 0 < self.expires - self.issued <= MOST_DAYS[self.act] * DAY_SECONDS:
            raise OrderError(f"expires: later than issued, by at most {MOST_DAYS[self.act]} days for {self.act}")
        if not _NONCE.fullmatch(self.nonce):
            raise OrderError("nonce: 32 lower-case hexadecimal digits")


def levels_text(deployment: int, security: int) -> str:
    """Write levels as orders name them."""
    return f"deployment {deployment}, security {security}"


def instant_text(seconds: int) -> str:
    """Write whole seconds since the epoch as ``2026-11-23T08:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORM)


def canonical(order: Order) -> bytes:
    """Write the one form of an order: what is signed."""
    record = {
        "version": SCHEMA_VERSION,
        "act": order.act.value,
        "subject": order.subject,
        "before": order.before,
        "after": order.after,
        "reason": order.reason,
        "issued": instant_text(order.issued),
        "expires": instant_text(order.expires),
        "nonce": order.nonce,
    }
    return json.dumps(record, indent=2, separators=(",", ": "), sort_keys=True, ensure_ascii=True).encode() + b"\n"


def parse(raw: bytes) -> Order:
    """Read an order; raises OrderError for anything but its one form."""
    if len(raw) > MAX_BYTES:
        raise OrderError(f"order: more than {MAX_BYTES} bytes")
    try:
        record = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise OrderError("order: not JSON in ASCII") from None
    if not isinstance(record, dict):
        raise OrderError("order: not a JSON object")
    if unknown := sorted(record.keys() - _KEYS):
        raise OrderError(f"{unknown[0][:40]!a}: unknown key")
    if missing := sorted(_KEYS - record.keys()):
        raise OrderError(f"{missing[0]}: missing")
    if type(record["version"]) is not int or record["version"] != SCHEMA_VERSION:
        raise OrderError(f"version: only {SCHEMA_VERSION} is known")
    for key in sorted(_KEYS - {"version"}):
        if not isinstance(record[key], str):
            raise OrderError(f"{key}: a text")
    if record["act"] not in list(Act):
        raise OrderError(f"act: one of {', '.join(Act)}")
    order = Order(
        act=Act(record["act"]),
        subject=record["subject"],
        before=record["before"],
        after=record["after"],
        reason=record["reason"],
        issued=instant(record, "issued"),
        expires=instant(record, "expires"),
        nonce=record["nonce"],
    )
    if canonical(order) != raw:
        # Repeated keys, other white space, another escape of one character: a second reading of the same bytes.
        raise OrderError("order: not in the form that `guard approval new` writes; sign that file as it is")
    return order


def _check_content(order: Order) -> None:
    """Whether subject, before and after are of the form that the act needs."""
    subject = _SUBJECTS.get(order.act)
    if order.subject != subject if subject is not None else not _ALIAS.fullmatch(order.subject):
        raise OrderError(f"subject: {subject or 'the alias of a model'}, for {order.act}")
    if order.act is Act.LOWER_LEVEL:
        before, after = _LEVELS.fullmatch(order.before), _LEVELS.fullmatch(order.after)
        if before is None or after is None:
            raise OrderError(f"before, after: levels, written as {levels_text(3, 2)}")
        if not any(new < old for old, new in zip(before.groups(), after.groups(), strict=True)):
            raise OrderError("after: no level is lower than before")
        return
    if not _DIGEST.fullmatch(order.after):
        raise OrderError("after: 64 lower-case hexadecimal digits")
    if order.act in STANDING:
        if order.before:
            raise OrderError(f"before: empty, for {order.act}")
    elif not _DIGEST.fullmatch(order.before) or order.before == order.after:
        raise OrderError("before: 64 lower-case hexadecimal digits, others than after")


def instant(record: Mapping[str, str], key: str) -> int:
    """Read an instant as `instant_text` writes it; raises OrderError that names the key."""
    text = record[key]
    try:
        # The pattern keeps out what strptime would take besides, such as a month of one digit.
        found = datetime.strptime(text, _FORM).replace(tzinfo=UTC) if _INSTANT.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise OrderError(f"{key}: an instant, written as 2026-11-23T08:00:00Z")
    return int(found.timestamp())
