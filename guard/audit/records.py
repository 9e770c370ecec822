"""What the ledger's records hold: JSON that a person can read, decoded back into these types.

They are clear and pseudonymous, and hold no text of a caller or a model. What stands for a text: its length; a salted
``commitment``, which whoever opens the sealed body can check and nobody else can guess at (`guard.audit.encryption`); a
keyed ``match``, by which a known text is found while its data key exists; and in ``body`` the place of the texts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


class Kind(IntEnum):
    """The frame kind of each record; numbers are never used again for something else."""

    OPENED = 1
    INTENT = 2
    PART = 3
    OUTCOME = 4
    RECOVERED = 5
    CONTROL = 6


class RecordError(ValueError):
    """A payload that is not the record its frame says; the message never quotes it."""


class _Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="record", tag=str.lower):
    """``time`` is seconds since the epoch when it was written, ``monotonic`` the same moment in steady seconds."""

    time: float
    monotonic: float


class Passage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One text of the prompt."""

    place: str
    role: str
    chars: int
    commitment: str = ""
    match: str = ""


class Released(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One channel of the answer: characters from the model, characters to the caller, and what stands for the latter.

    Its commitment is there only if its text is in the outcome's body; otherwise the parts hold it.
    """

    channel: str
    received: int
    released: int
    commitment: str = ""
    match: str = ""


# Closed codes are plain strings from here on: a record must stay readable when a later version has other codes.
class Decision(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A decision as `safeguards.decision.Decision` has it, field by field."""

    safeguard: str
    target: str
    enforced: bool
    denied: bool
    blocked: bool
    seconds: float
    code: str | None = None
    reason: str = ""
    category: str = ""
    rule: str = ""
    failure: str | None = None
    retry_after: float | None = None
    score: float | None = None
    threshold: float | None = None
    also: tuple[str, ...] = ()


class Opened(_Record, frozen=True, gc=False):
    """The first record of every segment; ``open`` are the requests without an outcome when it began."""

    writer: str
    pid: int
    previous: str
    open: tuple[str, ...]


class Intent(_Record, frozen=True, gc=False):
    """A request before the model sees it; ``framework`` is the standard that binds it: name, version and hash.

    ``release`` is the model's own version, ``capabilities`` what the request uses. ``asked`` is the model that the
    caller named, where ``model`` answers in its place.
    ``audience`` is whom the key and the model are for, ``surface`` the listener: part of which policy it was.
    ``body`` holds the passages' texts in their order.
    """

    id: str
    received: float
    key: str
    owner: str
    tier: str
    model: str
    asl: int
    surface: str
    dialect: str
    operation: str
    streamed: bool
    policy: str
    passages: tuple[Passage, ...]
    framework: str = ""
    body: str = ""
    audience: str = ""
    release: str = ""
    capabilities: tuple[str, ...] = ()
    asked: str = ""


class Part(_Record, frozen=True, gc=False):
    """Text of one channel before its release; ``start`` is its offset in characters."""

    id: str
    channel: str
    start: int
    chars: int
    commitment: str = ""
    body: str = ""


class Outcome(_Record, frozen=True, gc=False):
    """How it ended, as `safeguards.decision.Outcome` has it, and under which standard (``framework``), as its intent.

    ``body`` holds the released texts in their order, unless the parts do; ``flagged`` the whole exchange once more, to
    be kept longer, when a classifier objected to it: the passages, then each channel with what was withheld of it.
    """

    id: str
    ending: str
    status: int
    code: str | None
    reason: str
    decisions: tuple[Decision, ...]
    released: tuple[Released, ...]
    events: int
    sent_bytes: int
    ended: float
    seconds: float
    upstream_seconds: float
    first_byte_seconds: float | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    dropped_fields: int = 0
    body: str = ""
    flagged: str = ""
    framework: str = ""
    answered_as: str = ""


class Recovered(_Record, frozen=True, gc=False):
    """What a crash or a failing disk left, and what was done about it.

    ``what`` is ``torn_tail`` (``set_aside`` bytes from ``offset`` of ``segment`` were moved to ``file``), ``torn_body``
    (the same of a segment of bodies), ``damaged`` (the records ``first`` to ``last`` cannot be read any more at
    ``offset`` of ``segment``, though they were signed; it is left as it is),
    ``open_intent`` (the request ``id`` has no outcome and will have none: ``ending``), or ``failed_segment``
    (``reason``; the records ``first`` to ``last`` were written but never confirmed by the disk).
    """

    what: str
    segment: str = ""
    reason: str = ""
    id: str = ""
    ending: str = ""
    offset: int = 0
    set_aside: int = 0
    file: str = ""
    first: int = 0
    last: int = 0


class Control(_Record, frozen=True, gc=False):
    """An act of control: ``who`` did ``what`` (start, drain, stop, resume, ...) to ``subject`` and why.

    What a caller wrote about it (a report of harm) is in ``body``, of so many ``chars``.
    """

    who: str
    what: str
    subject: str
    reason: str
    chars: int = 0
    commitment: str = ""
    body: str = ""


Record = Opened | Intent | Part | Outcome | Recovered | Control

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[int, msgspec.json.Decoder[Record]] = {
    Kind.OPENED: msgspec.json.Decoder(Opened),
    Kind.INTENT: msgspec.json.Decoder(Intent),
    Kind.PART: msgspec.json.Decoder(Part),
    Kind.OUTCOME: msgspec.json.Decoder(Outcome),
    Kind.RECOVERED: msgspec.json.Decoder(Recovered),
    Kind.CONTROL: msgspec.json.Decoder(Control),
}


def encode(record: Record) -> bytes:
    """The payload; a lone surrogate, which UTF-8 has no bytes for, is written as U+FFFD (its hash tells it apart)."""
    try:
        return _ENCODER.encode(record)
    except UnicodeEncodeError:
        return _ENCODER.encode(_without_surrogates(msgspec.to_builtins(record)))


def decode(kind: int, payload: bytes) -> Record:
    """The record; raises RecordError for an unknown kind or a payload of another shape."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise RecordError(f"unknown record kind {kind}")
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RecordError(f"not a record of kind {Kind(kind).name.lower()}") from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
