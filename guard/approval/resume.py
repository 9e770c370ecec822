"""What people approve when a model at ASL-3 or above is to be resumed: the very stops that are lifted, nothing later.

The form is ASCII JSON, a key a line and sorted, as that of other approvals (`guard.approval.order`), and its act keeps
the two apart. Each stop is named by its id and the SHA-256 of its written form, so that an approval cannot be turned to
another stop, and using it twice lifts nothing more; and by its scope, its mode and who ordered it, for those who read.
Version 1 says no more than the scope; it is read, and not written. An approval holds for an hour at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from guard.approval.order import MAX_REASON, OrderError, instant, instant_text
from guard.approval.port import PEOPLE, ROLES
from guard.approval.verify import Heard, NotApproved, Signed, hear
from guard.policy.operators import OperatorsFile

ACT: Final = "resume"
SCHEMA_VERSION: Final = 2
MAX_BYTES: Final = 16_384
MAX_LIFTS: Final = 50
LONGEST_SECONDS: Final = 3_600
_ID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
SKEW_SECONDS: Final = 60
_KEYS: Final = frozenset({"version", "act", "lifts", "reason", "issued", "expires", "nonce"})
_LIFT_KEYS: Final = {
    1: frozenset({"order", "scope", "sha256"}),
    2: frozenset({"order", "scope", "sha256", "mode", "who"}),
}


@dataclass(frozen=True, slots=True)
class Lift:
    """One order that may be lifted: its id, its scope as people read it, the SHA-256 of its written form.

    ``mode`` is what it does and ``who`` ordered it; both are empty in version 1.
    """

    order: str
    scope: str
    sha256: str
    mode: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class ResumeApproval:
    """One statement to be approved; ``issued`` and ``expires`` are whole seconds since the epoch."""

    lifts: tuple[Lift, ...]
    reason: str
    issued: int
    expires: int
    nonce: str
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuse what must not be signed; raises OrderError."""
        if not 1 <= len(self.lifts) <= MAX_LIFTS or len({each.order for each in self.lifts}) != len(self.lifts):
            raise OrderError(f"lifts: 1 to {MAX_LIFTS} stops, each once")
        if not all(_ID.fullmatch(each.order) and _SHA256.fullmatch(each.sha256) for each in self.lifts):
            raise OrderError("lifts: each is the id of a stop order with its scope and SHA-256")
        if self.version != 1 and not all(each.mode and each.who for each in self.lifts):
            raise OrderError("lifts: each says what it does (mode) and who ordered it")
        if not 1 <= len(self.reason) <= MAX_REASON or not self.reason.isprintable() or self.reason.isspace():
            raise OrderError(f"reason: 1 to {MAX_REASON} printable characters")
        if not 0 < self.expires - self.issued <= LONGEST_SECONDS:
            raise OrderError(f"expires: later than issued, by at most {LONGEST_SECONDS} seconds")
        if not _NONCE.fullmatch(self.nonce):
            raise OrderError("nonce: 32 lower-case hexadecimal digits")


def too_early(approval: ResumeApproval, at: float) -> str:
    """Say in words that a statement's hour is still to come; empty when it has begun.

    Nobody should approve one: what is signed today would lift a stop on a day of which nobody knows anything yet.
    """
    if approval.issued <= at + SKEW_SECONDS:
        return ""
    return f"it holds only from {instant_text(approval.issued)}; ask again then"


def canonical(approval: ResumeApproval) -> bytes:
    """Write the one form: what is signed; raises OrderError when it is too long to be read back."""
    keys = _LIFT_KEYS[approval.version]
    record = {
        "version": approval.version,
        "act": ACT,
        "lifts": [{key: getattr(each, key) for key in keys} for each in approval.lifts],
        "reason": approval.reason,
        "issued": instant_text(approval.issued),
        "expires": instant_text(approval.expires),
        "nonce": approval.nonce,
    }
    raw = json.dumps(record, indent=2, separators=(",", ": "), sort_keys=True, ensure_ascii=True).encode() + b"\n"
    if len(raw) > MAX_BYTES:
        raise OrderError(f"lifts: the approval is more than {MAX_BYTES} bytes; lift fewer stops at once")
    return raw


def parse(raw: bytes) -> ResumeApproval:
    """Read one; raises OrderError for anything but its one form."""
    if len(raw) > MAX_BYTES:
        raise OrderError(f"approval: more than {MAX_BYTES} bytes")
    try:
        record = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise OrderError("approval: not JSON in ASCII") from None
    if not isinstance(record, dict):
        raise OrderError("approval: not a JSON object")
    if unknown := sorted(record.keys() - _KEYS):
        raise OrderError(f"{unknown[0][:40]!a}: unknown key")
    if missing := sorted(_KEYS - record.keys()):
        raise OrderError(f"{missing[0]}: missing")
    version = record["version"]
    if type(version) is not int or version not in _LIFT_KEYS or record["act"] != ACT:
        raise OrderError(f"act: {ACT}, of version 1 or {SCHEMA_VERSION}")
    for key in ("reason", "issued", "expires", "nonce"):
        if not isinstance(record[key], str):
            raise OrderError(f"{key}: a text")
    approval = ResumeApproval(
        _lifts(record["lifts"], _LIFT_KEYS[version]),
        record["reason"],
        instant(record, "issued"),
        instant(record, "expires"),
        record["nonce"],
        version,
    )
    if canonical(approval) != raw:
        raise OrderError("approval: not in the form that `guard resume` writes; sign that file as it is")
    return approval


def approvers(
    raw: bytes, signatures: Sequence[Signed], operators: OperatorsFile | None, at: float
) -> tuple[ResumeApproval, Heard]:
    """Return what was approved and by whom, as of ``at`` (seconds since the epoch); raises NotApproved."""
    try:
        approval = parse(raw)
    except OrderError as error:
        raise NotApproved(str(error)) from None
    if at < approval.issued:
        raise NotApproved(f"the approval holds only from {instant_text(approval.issued)}")
    if at >= approval.expires:
        raise NotApproved(f"the approval has expired at {instant_text(approval.expires)}")
    heard = hear(raw, signatures, operators, at, ROLES)
    if len(heard.people) < PEOPLE:
        named = f" ({', '.join(heard.people)})" if heard.people else ""
        raise NotApproved("; ".join([f"{len(heard.people)} of {PEOPLE} approvals{named}", *heard.refused]))
    return approval, heard


def _lifts(value: Any, keys: frozenset[str]) -> tuple[Lift, ...]:
    wrong = OrderError(f"lifts: a list of {', '.join(sorted(keys))} each")
    if not isinstance(value, list):
        raise wrong
    found = []
    for each in value:
        if not isinstance(each, dict) or each.keys() != keys:
            raise wrong
        if not all(isinstance(text, str) for text in each.values()):
            raise wrong
        found.append(Lift(**each))
    return tuple(found)
